import { TwinlogError } from '../errors.js'
import type { NameMap } from './names.js'
import type { SchemaConflict } from './plan-types.js'
import type { RegistryClient } from './registry-types.js'

export function unknownId(topic: string, id: number, source: RegistryClient): TwinlogError {
  const message = `schema id ${id} of topic ${topic} belongs to no subject of the topic in registry ${source.name}`
  return new TwinlogError('TWINLOG_SCHEMA_REGISTRY', message, { topic, schemaId: id })
}

export function notSelected(topic: string, id: number, subjects: readonly string[]): TwinlogError {
  const names = subjects.map(subject => JSON.stringify(subject)).join(', ')
  const message = `schema id ${id} of topic ${topic} belongs to ${names}, which SchemaSync does not copy; add it to the option subjects (or context) of the SchemaSync`
  return new TwinlogError('TWINLOG_SCHEMA_REGISTRY', message, { topic, schemaId: id, subject: subjects[0] })
}

export function notThere(
  topic: string,
  id: number,
  subjects: readonly string[],
  conflicts: readonly SchemaConflict[],
  o: { names: NameMap; target: RegistryClient }
): TwinlogError {
  const names = new Set([...subjects, ...subjects.map(subject => o.names.toTarget(subject))])
  const own = conflicts.filter(({ subject }) => names.has(subject))
  // What a subject is blocked by has a conflict of its own.
  const all = own.every(({ kind }) => kind === 'blocked')
    ? [...own, ...conflicts.filter(each => !own.includes(each))]
    : own
  const retriable = all.length === 0 || all.some(each => each.retriable === true)
  const reasons = all
    .slice(0, 3)
    .map(({ subject, message }) => (message.includes(subject) ? message : `${subject}: ${message}`))
  const why = reasons.length === 0 ? 'the sync of its subjects found nothing to do' : reasons.join('; ')
  const idConflict = all.some(({ kind }) => kind === 'id-taken' || kind === 'id-differs')
  const message = `schema id ${id} of topic ${topic} cannot be had on registry ${o.target.name}: ${why}`
  const code = idConflict ? 'TWINLOG_SCHEMA_ID_CONFLICT' : 'TWINLOG_SCHEMA_REGISTRY'
  return new TwinlogError(code, message, { topic, schemaId: id, subject: subjects[0], retriable })
}

export function unknownGuid(topic: string, guid: string): TwinlogError {
  const message = `schema GUID ${guid} of topic ${topic} is not known to the source registry`
  return new TwinlogError('TWINLOG_SCHEMA_REGISTRY', message, { topic })
}

export function otherGuid(topic: string, guid: string, id: number): TwinlogError {
  const message = `the schema of topic ${topic} with GUID ${guid} (id ${id}) was copied, but has another GUID on the target: what it refers to has another name or version there. Only ids: 'preserve' without renames keeps it`
  return new TwinlogError('TWINLOG_SCHEMA_ID_CONFLICT', message, { topic, schemaId: id })
}

export function noGuids(topic: string, guid: string, target: RegistryClient): TwinlogError {
  const message = `records of topic ${topic} name their schema by GUID ${guid}, and registry ${target.name} knows no GUIDs: it takes Confluent 8.0 or later to read them`
  return new TwinlogError('TWINLOG_UNSUPPORTED', message, { topic })
}
