import type { RegistryState, StoredConfig, StoredMetadata, StoredReference } from './registry-state.js'
import { contextPrefix, parseName } from './subject-names.js'

export interface DumpedVersion {
  id: number
  deleted: boolean
  schemaType: string
  schema: string
  references: StoredReference[]
  metadata?: StoredMetadata
  ruleSet?: unknown
}

export interface DumpedSubject {
  config?: StoredConfig
  mode?: string
  versions: Record<number, DumpedVersion>
}

export interface DumpedContext {
  /** Of the context itself; for the default one, of the registry. */
  config?: StoredConfig
  mode?: string
  /** By the name within the context. */
  subjects: Record<string, DumpedSubject>
}

export type RegistryDump = Record<string, DumpedContext>

/** What is in a registry, by context. A context with nothing in it is left out. */
export function dumpOf(state: RegistryState): RegistryDump {
  const dump: RegistryDump = {}
  const contextOf = (context: string): DumpedContext => (dump[context] ??= { subjects: {} })
  const place = (name: string): DumpedSubject => {
    const { context, subject } = parseName(name)
    return (contextOf(context).subjects[subject] ??= { versions: {} })
  }
  for (const subject of state.subjectsIn(undefined)) {
    for (const { version, id, deleted, schemaType, schema, references, metadata, ruleSet } of state.versionsOf(
      subject
    )) {
      place(subject).versions[version] = {
        id,
        deleted,
        schemaType,
        schema,
        references,
        ...(metadata === undefined ? {} : { metadata }),
        ...(ruleSet === undefined ? {} : { ruleSet })
      }
    }
  }
  const settingsOf = (scope: string | undefined): DumpedContext | DumpedSubject => {
    const { context } = parseName(scope ?? '')
    return scope === undefined || (scope !== '' && scope === contextPrefix(context)) ? contextOf(context) : place(scope)
  }
  for (const [scope, config] of state.configs) settingsOf(scope).config = config
  for (const [scope, mode] of state.modes) settingsOf(scope).mode = mode
  return sorted(dump) as RegistryDump
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(entries.map(([key, item]) => [key, sorted(item)]))
}
