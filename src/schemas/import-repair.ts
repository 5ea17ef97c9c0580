import { TwinlogError } from '../errors.js'
import type { Logger } from '../logger.js'
import { type ImportNote, readNotes, removeNote, restoreMode } from './import-note.js'
import { ImportScope } from './import-scope.js'
import { isNotInImport, isRefusal, unlessGone } from './refusals.js'
import type { CallOptions, RegistryClient, RegistryMode } from './registry-types.js'

/**
 * Undoes what an earlier run left when its process was gone: its scopes go back from IMPORT to their previous mode, versions that are
 * deleted on the source are deleted. One request when there is nothing to do. A run that is still alive notices and enters again.
 */
export async function repairImports(
  target: RegistryClient,
  o: { logger: Logger } & CallOptions
): Promise<{ scope: string | undefined; mode: RegistryMode | undefined }[]> {
  const { logger, signal } = o
  const repaired: { scope: string | undefined; mode: RegistryMode | undefined }[] = []
  const notes = await readNotes(target, o)
  // They may need the IMPORT mode that the others end.
  const deletesFirst = [...notes].sort(
    (a, b) => Number(b.note?.kind === 'deletes') - Number(a.note?.kind === 'deletes')
  )
  for (const { subject, note } of deletesFirst) {
    throwIfAborted(signal)
    const scope = await undo(target, subject, note, logger)
    if (scope !== undefined) repaired.push(scope)
  }
  return repaired
}

/** The scope that went back from IMPORT, if one did. */
async function undo(
  target: RegistryClient,
  subject: string,
  note: ImportNote | undefined,
  logger: Logger
): Promise<{ scope: string | undefined; mode: RegistryMode | undefined } | undefined> {
  try {
    if (note?.kind === 'deletes') await finishDeletes(target, note, logger)
    let left = note?.kind === 'import' && (await endImport(target, note))
    await removeNote(target, subject)
    // Again: a run that is alive may have entered between our look and the removal of its note.
    if (note?.kind === 'import' && !left) left = await endImport(target, note)
    if (note?.kind !== 'import' || !left) return undefined
    logger.warn(
      { registry: target.name, scope: note.scope ?? 'the registry', mode: note.previousMode ?? 'none of its own' },
      'a run that did not end had left this in IMPORT mode; it has its previous mode again'
    )
    return { scope: note.scope, mode: note.previousMode }
  } catch (error) {
    // One scope that cannot be put back must not keep the others in IMPORT.
    if (!isRefusal(error)) throw error
    const message = 'what a run that did not end had left cannot be undone now; every run tries it again'
    logger.error({ registry: target.name, subject, err: error }, message)
    return undefined
  }
}

async function endImport(target: RegistryClient, note: ImportNote & { kind: 'import' }): Promise<boolean> {
  const mode = await target.mode(note.scope)
  if (mode === 'READONLY_OVERRIDE' && note.scope !== undefined) {
    const message = `registry ${target.name} shows READONLY_OVERRIDE everywhere, so whether ${note.scope} is in IMPORT cannot be seen; end the override`
    throw new TwinlogError('TWINLOG_SCHEMA_REGISTRY', message, { subject: note.scope })
  }
  // Anything else was set by somebody else since, or it never came to IMPORT.
  if (mode !== 'IMPORT') return false
  await restoreMode(target, note.scope, note.previousMode)
  return true
}

async function finishDeletes(
  target: RegistryClient,
  note: ImportNote & { kind: 'deletes' },
  logger: Logger
): Promise<void> {
  for (const { version, id } of note.versions) {
    const found = await target.version(note.subject, version)
    if (found?.id !== id) continue
    const fields = { registry: target.name, subject: note.subject, version }
    try {
      await deleteSoftly(target, note.subject, version)
      logger.info(fields, 'softly deleted, as on the source: a run that did not end had not come to it')
    } catch (error) {
      if (!isRefusal(error)) throw error
      logger.warn({ ...fields, err: error }, 'softly deleted on the source, but the target refuses to delete it')
    }
  }
}

async function deleteSoftly(target: RegistryClient, subject: string, version: number): Promise<void> {
  try {
    await unlessGone(target.deleteVersion(subject, version))
  } catch (error) {
    // READONLY, which the run that did not end had left out by IMPORT.
    if (!isNotInImport(error)) throw error
    const scope = new ImportScope({ target, scope: subject, owner: 'repair' })
    try {
      await scope.enter({ force: true })
      await unlessGone(target.deleteVersion(subject, version))
    } finally {
      await scope.leave()
    }
  }
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true)
    throw new TwinlogError('TWINLOG_ABORTED', 'aborted by the caller', { cause: signal.reason })
}
