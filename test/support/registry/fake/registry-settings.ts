import { faults } from './registry-fault.js'
import type { RegistryState, Scope, StoredConfig, StoredMetadata } from './registry-state.js'
import { contextPrefix, defaultContext, parseName } from './subject-names.js'

export const compatibilityLevels = [
  'NONE',
  'BACKWARD',
  'BACKWARD_TRANSITIVE',
  'FORWARD',
  'FORWARD_TRANSITIVE',
  'FULL',
  'FULL_TRANSITIVE'
]
const modes = ['READWRITE', 'READONLY', 'READONLY_OVERRIDE', 'IMPORT']
const defaultLevel = 'BACKWARD'
const defaultMode = 'READWRITE'

/** Config and mode: which record counts where, and what may be changed. */
export class RegistrySettings {
  readonly #state: RegistryState

  constructor(state: RegistryState) {
    this.#state = state
  }

  /** What is set on the scope itself. The registry as a whole always has a config. */
  config(scope: Scope): StoredConfig | undefined {
    const config = this.#state.configs.get(scope)
    if (config === undefined) return scope === undefined ? { compatibilityLevel: defaultLevel } : undefined
    return withLevel(config)
  }

  /** The subject's own record, else that of its context, which for the default context is the registry's. Records are not merged. */
  configInScope(scope: Scope): StoredConfig {
    const own = this.#state.configs.get(scope) ?? this.#state.configs.get(outerScope(scope))
    return withLevel(own ?? {})
  }

  putConfig(scope: Scope, update: StoredConfig): void {
    this.#refuseReadOnly(scope)
    this.#state.configs.set(scope, { ...this.#state.configs.get(scope), ...update })
  }

  deleteConfig(scope: Scope): void {
    this.#refuseReadOnly(scope)
    this.#state.configs.delete(scope)
  }

  /** What is set on the scope itself; READONLY_OVERRIDE of the registry shows everywhere. */
  mode(scope: Scope): string | undefined {
    const everywhere = this.#state.modes.get(undefined) ?? defaultMode
    if (everywhere === 'READONLY_OVERRIDE' || scope === undefined) return everywhere
    return this.#state.modes.get(scope)
  }

  modeInScope(scope: Scope): string {
    return this.mode(scope) ?? this.#state.modes.get(outerScope(scope)) ?? defaultMode
  }

  isReadOnly(scope: Scope): boolean {
    return this.modeInScope(scope).startsWith('READONLY')
  }

  putMode(scope: Scope, name: string, o: { force: boolean }): void {
    const mode = name.toUpperCase()
    if (!modes.includes(mode)) throw faults.invalidMode()
    if (mode === 'IMPORT' && this.modeInScope(scope) !== 'IMPORT' && !o.force) this.#clearForImport(scope)
    this.#state.modes.set(scope, mode)
  }

  deleteMode(scope: Scope): void {
    this.#state.modes.delete(scope)
  }

  /** A subject that is gone loses its own config and mode. */
  forget(subject: string): void {
    this.#state.modes.delete(subject)
    this.#state.configs.delete(subject)
  }

  /** Without force: nothing alive may be there, and what was softly deleted goes for good. The registry as a whole means every context. */
  #clearForImport(scope: Scope): void {
    if (this.#state.hasSubject(scope, { deleted: false })) {
      throw faults.notPermitted('Cannot import since found existing subjects')
    }
    const versions = this.#state.subjectsIn(scope).flatMap(subject => this.#state.versionsOf(subject))
    for (const { subject, version } of versions) {
      if (this.#state.referrers(subject, version).length > 0) throw faults.referenceExists(subject, version)
    }
    for (const { subject, version } of versions) this.#state.remove(subject, version)
  }

  #refuseReadOnly(scope: Scope): void {
    if (this.isReadOnly(scope)) throw faults.notPermitted(`Subject ${scope ?? 'null'} is in read-only mode`)
  }
}

function outerScope(scope: Scope): Scope {
  if (scope === undefined) return undefined
  const { context } = parseName(scope)
  return context === defaultContext ? undefined : contextPrefix(context)
}

function withLevel(config: StoredConfig): StoredConfig {
  return { ...config, compatibilityLevel: config.compatibilityLevel ?? defaultLevel }
}

/** Later entries win; lists are united. */
export function mergeMetadata(
  older: StoredMetadata | undefined,
  newer: StoredMetadata | undefined
): StoredMetadata | undefined {
  if (older === undefined || newer === undefined) return newer ?? older
  return orderedMetadata({
    tags: { ...older.tags, ...newer.tags },
    properties: { ...older.properties, ...newer.properties },
    sensitive: [...(older.sensitive ?? []), ...(newer.sensitive ?? [])]
  })
}

/** One spelling: keys and lists sorted, empty parts left out. */
export function orderedMetadata(metadata: StoredMetadata): StoredMetadata {
  const tags = sortedEntries(metadata.tags).map(([key, list]) => [key, [...new Set(list)].sort()] as const)
  const properties = sortedEntries(metadata.properties)
  const sensitive = [...new Set(metadata.sensitive)].sort()
  return {
    ...(tags.length === 0 ? {} : { tags: Object.fromEntries(tags) }),
    ...(properties.length === 0 ? {} : { properties: Object.fromEntries(properties) }),
    ...(sensitive.length === 0 ? {} : { sensitive })
  }
}

function sortedEntries<T>(map: Record<string, T> | undefined): [string, T][] {
  return Object.entries(map ?? {}).sort(([a], [b]) => (a < b ? -1 : 1))
}
