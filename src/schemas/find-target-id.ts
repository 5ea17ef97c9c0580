import { TwinlogError } from '../errors.js'
import type { IdMap } from './id-map.js'
import { scopeOf } from './names.js'
import type { PlanMaker } from './plan-maker.js'
import type { RegistryClient } from './registry-types.js'
import { sameText } from './same-content.js'

interface FindOptions {
  maker: PlanMaker
  source: RegistryClient
  target: RegistryClient
  map: IdMap
  ids: 'preserve' | 'translate'
  contexts: { source: string; target: string }
  signal?: AbortSignal | undefined
}

/** The target's id for one of the source's: as it is known, else by what both registries have now. */
export async function findTargetId(sourceId: number, o: FindOptions): Promise<number> {
  const kept = await o.map.kept(sourceId)
  if (kept !== undefined) return kept
  return o.ids === 'preserve' ? sameId(sourceId, o) : byContent(sourceId, o)
}

async function sameId(id: number, o: FindOptions): Promise<number> {
  const { source, target, contexts, signal } = o
  const [here, there] = await Promise.all([
    source.schemaById(id, { scope: scopeOf(contexts.source), signal }),
    target.schemaById(id, { scope: scopeOf(contexts.target), signal })
  ])
  if (here === undefined) throw unknown(id, source)
  if (there === undefined) throw notCopied(id, target)
  if (sameText(here, there) || (await foundId(id, o)) === id) return id
  const message =
    `schema id ${id} is another schema in registry ${target.name} than in ${source.name}: records of the source would be decoded by the wrong ` +
    `one there. Copy into a context of its own (target.context), or with ids: 'translate'`
  throw new TwinlogError('TWINLOG_SCHEMA_ID_CONFLICT', message, { schemaId: id })
}

async function byContent(id: number, o: FindOptions): Promise<number> {
  const found = await foundId(id, o)
  if (found === undefined) throw notCopied(id, o.target)
  o.map.add(id, found)
  return (await o.map.kept(id)) ?? found
}

/** What the subjects that use it have on the target in its place. */
async function foundId(id: number, { maker, source, contexts, signal }: FindOptions): Promise<number | undefined> {
  const uses = await source.usesOf(id, { scope: scopeOf(contexts.source), signal })
  if (uses.length === 0) throw unknown(id, source)
  const only = [...new Set(uses.map(({ subject }) => subject))].filter(subject => maker.names.selects(subject))
  if (only.length === 0) throw notSelected(id, uses[0]?.subject)
  const { comparison } = await maker.prepare({ only, signal })
  for (const subject of only) {
    for (const { from, at, state } of comparison.subjects.get(subject)?.versions ?? [])
      if (from.id === id && at && state !== 'missing' && state !== 'content-differs') return at.id
  }
  return undefined
}

function unknown(id: number, source: RegistryClient): TwinlogError {
  const message = `registry ${source.name} knows no schema id ${id}: check that it is an id of the source, and of its context`
  return new TwinlogError('TWINLOG_SCHEMA_REGISTRY', message, { schemaId: id, httpStatus: 404 })
}

function notSelected(id: number, subject: string | undefined): TwinlogError {
  const message = `schema id ${id} is used by subject "${subject}" of the source, which is not selected for copying: add it to \`subjects\``
  return new TwinlogError('TWINLOG_SCHEMA_REGISTRY', message, { schemaId: id, subject })
}

function notCopied(id: number, target: RegistryClient): TwinlogError {
  const message = `schema id ${id} is not on the target (${target.name}); call syncOnce(), or start(), and see the conflicts it reports`
  return new TwinlogError('TWINLOG_SCHEMA_REGISTRY', message, { schemaId: id, httpStatus: 404, retriable: true })
}
