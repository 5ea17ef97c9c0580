import { randomUUID } from 'node:crypto'
import type { Logger } from '../logger.js'
import { isNoSuchRequest, unlessGone } from './refusals.js'
import type { CallOptions, RegistryClient, RegistryMode } from './registry-types.js'

/**
 * Notes about what must not outlive us, kept in a context of our own on the target (an id space of its own, so no id of the user's is used
 * up). A note is written before the change that it is about and removed when that is undone. Whoever starts next and finds one undoes it.
 */
export type ImportNote =
  | {
      kind: 'import'
      /** A subject, a context, or undefined for the registry (and with it its default context). */
      scope: string | undefined
      /** What was set on the scope itself. */
      previousMode: RegistryMode | undefined
    }
  /** Versions that are live for a moment, and softly deleted on the source. */
  | { kind: 'deletes'; subject: string; versions: { version: number; id: number }[] }

export const NOTE_PREFIX = ':.twinlog:import-'

const MODES: readonly RegistryMode[] = ['READWRITE', 'READONLY', 'READONLY_OVERRIDE', 'IMPORT', 'FORWARD']

/** The note's subject. */
export async function writeNote(target: RegistryClient, note: ImportNote, owner: string): Promise<string> {
  const subject = NOTE_PREFIX + randomUUID()
  const words =
    note.kind === 'import'
      ? { scope: note.scope ?? null, previousMode: note.previousMode ?? null }
      : { subject: note.subject, versions: note.versions }
  const schema = {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: subject.slice(':.twinlog:'.length),
    description:
      'Written by twinlog SchemaSync while it copies schemas; it goes by itself. Left over: the next run undoes what it says.',
    const: { ...words, owner, startedAt: new Date().toISOString() }
  }
  await target.register(subject, { schemaType: 'JSON', schema: JSON.stringify(schema), references: [] })
  return subject
}

export async function removeNote(target: RegistryClient, subject: string): Promise<void> {
  await unlessGone(target.deleteSubject(subject))
  await unlessGone(target.deleteSubject(subject, { permanent: true }))
}

/** Whether it is there and nobody has begun to remove it. */
export async function isNoteThere(target: RegistryClient, subject: string): Promise<boolean> {
  return (await target.versions(subject)) !== undefined
}

/** Back to what was set before IMPORT. */
export async function restoreMode(
  target: RegistryClient,
  scope: string | undefined,
  previous: RegistryMode | undefined
): Promise<void> {
  if (previous !== undefined) return target.putMode(scope, previous)
  try {
    await unlessGone(target.deleteMode(scope))
  } catch (error) {
    if (!isNoSuchRequest(error)) throw error
    // Nothing set and nothing that could remove it: what would count without it.
    await target.putMode(scope, 'READWRITE')
  }
}

/** One request when there are none. `note` is undefined where it was on its way out: what it says is done. What cannot be read is left alone. */
export async function readNotes(
  target: RegistryClient,
  { logger, signal }: { logger: Logger } & CallOptions
): Promise<{ subject: string; note: ImportNote | undefined }[]> {
  const subjects = (await target.subjects({ prefix: NOTE_PREFIX, deleted: true, signal })).filter(isNote)
  const notes: { subject: string; note: ImportNote | undefined }[] = []
  for (const subject of subjects) {
    const schema = (await target.version(subject, 1, { signal }))?.schema
    const note = schema === undefined ? undefined : parseNote(schema)
    if (schema !== undefined && note === undefined) {
      const message = 'a note about an import cannot be read; it is left alone, delete it if it is not yours'
      logger.warn({ registry: target.name, subject }, message)
    } else {
      notes.push({ subject, note })
    }
  }
  return notes
}

function isNote(subject: string): boolean {
  return subject.startsWith(NOTE_PREFIX)
}

function parseNote(schema: string): ImportNote | undefined {
  let words: unknown
  try {
    words = (JSON.parse(schema) as { const?: unknown } | null)?.const
  } catch {
    return undefined
  }
  if (typeof words !== 'object' || words === null) return undefined
  const { scope, previousMode, subject, versions } = words as Record<string, unknown>
  if (typeof subject === 'string' && Array.isArray(versions) && versions.every(isVersion))
    return { kind: 'deletes', subject, versions }
  if (scope !== null && typeof scope !== 'string') return undefined
  if (previousMode === null) return { kind: 'import', scope: scope ?? undefined, previousMode: undefined }
  const mode = MODES.find(known => known === previousMode)
  return mode === undefined ? undefined : { kind: 'import', scope: scope ?? undefined, previousMode: mode }
}

function isVersion(value: unknown): value is { version: number; id: number } {
  if (typeof value !== 'object' || value === null) return false
  const { version, id } = value as Record<string, unknown>
  return typeof version === 'number' && typeof id === 'number'
}
