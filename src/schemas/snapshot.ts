import type { RegistryLevelConfig, RegistryMode, SchemaVersion } from './registry-types.js'

/** Subjects with their versions, ascending, softly deleted ones included. No subject is there without a version. */
export type SubjectTable = ReadonlyMap<string, readonly SchemaVersion[]>

/** Config and modes as far as they were read: a scope that is no key was not looked at. */
export interface Settings {
  /** What is set on the scope itself; undefined as a value: nothing. */
  configs: ReadonlyMap<string | undefined, RegistryLevelConfig | undefined>
  modes: ReadonlyMap<string | undefined, RegistryMode | undefined>
  /** What counts in a scope, its own mode or an inherited one. Target only. */
  effectiveModes: ReadonlyMap<string | undefined, RegistryMode>
}

export const NO_SETTINGS: Settings = { configs: new Map(), modes: new Map(), effectiveModes: new Map() }

/** Versions of any order, by subject. */
export function tableOf(versions: Iterable<SchemaVersion>): Map<string, SchemaVersion[]> {
  const table = new Map<string, SchemaVersion[]>()
  for (const version of versions) {
    const list = table.get(version.subject)
    if (list) list.push(version)
    else table.set(version.subject, [version])
  }
  for (const list of table.values()) list.sort((a, b) => a.version - b.version)
  return table
}
