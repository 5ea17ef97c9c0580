import { ALWAYS_READ, ConfigSweep } from './config-sweep.js'
import { type NameMap, OWN_CONTEXT, scopeOf, splitSubject } from './names.js'
import type { SchemaPlan } from './plan-types.js'
import type { RegistryClient } from './registry-types.js'
import { sameValue } from './same-content.js'
import { SettingsReader } from './settings-reader.js'
import { touched } from './sync-memory.js'

export interface SettingsChoiceOptions {
  source: RegistryClient
  target: RegistryClient
  names: NameMap
  syncConfig: boolean
  /** Asked for by name: every config is read in every run. */
  everyConfig: boolean
  syncMode: boolean
  concurrency: number
}

/** Readers of one run, one for either side. */
export interface SettingsPair {
  source: SettingsReader
  target: SettingsReader
}

interface ReadOptions {
  only?: readonly string[] | undefined
  every?: boolean | undefined
  signal?: AbortSignal | undefined
}

/** Which config and modes a run reads: they cost a request each. */
export class SettingsChoice {
  readonly #o: SettingsChoiceOptions
  readonly #sweep = new ConfigSweep()
  #contexts: { source: string[] | undefined; target: string[] | undefined } | undefined

  constructor(o: SettingsChoiceOptions) {
    this.#o = o
  }

  async settings(o: { signal?: AbortSignal | undefined }): Promise<SettingsPair> {
    const { source, target } = this.#o
    const contexts = await this.contexts(o)
    return {
      source: new SettingsReader(source, { exact: contexts.source !== undefined }),
      target: new SettingsReader(target, { exact: contexts.target !== undefined })
    }
  }

  /** Undefined where a registry has none, as Apicurio. */
  async contexts({ signal, fresh }: { signal?: AbortSignal | undefined; fresh?: boolean }) {
    const { source, target } = this.#o
    const real = (list: string[] | undefined) => (list?.includes('.') === true ? list : undefined)
    if (this.#contexts === undefined || fresh === true) {
      const [here, there] = await Promise.all([source.contexts({ signal }), target.contexts({ signal })])
      this.#contexts = { source: real(here), target: real(there) }
    }
    return this.#contexts
  }

  /** Config of the registry and of contexts, and modes that whole contexts of the target have. */
  async readLevels(subjects: readonly string[], settings: SettingsPair, o: ReadOptions): Promise<void> {
    const { names, concurrency } = this.#o
    const { syncConfig, syncMode } = this.#looksAt(o)
    const read = { concurrency, signal: o.signal }
    // Config and mode of a whole context are copied only when everything is.
    const whole = !names.narrowed && o.only === undefined && (syncConfig || syncMode)
    const contexts = await this.contexts({ signal: o.signal, fresh: whole })
    const targets = new Set(subjects.map(subject => scopeOf(splitSubject(names.toTarget(subject)).context)))
    await settings.target.readModes([undefined, ...targets], read)
    if (!whole) return
    for (const context of contexts.source ?? ['.']) {
      const there = context === OWN_CONTEXT ? undefined : names.contextToTarget(context)
      if (there === undefined) continue
      if (syncConfig) await both(settings, 'readConfigs', [scopeOf(context)], [scopeOf(there)], read)
      if (syncMode) await both(settings, 'readModes', [scopeOf(context)], [scopeOf(there)], read)
    }
  }

  /** Of subjects: what the provisional plan is about to change, and of the others as many as it is their turn. `there`: on the target. */
  async readSettings(
    subjects: readonly string[],
    { plan, there }: { plan: SchemaPlan; there: ReadonlySet<string> },
    settings: SettingsPair,
    o: ReadOptions
  ): Promise<void> {
    const { names, concurrency, everyConfig } = this.#o
    const { syncConfig, syncMode } = this.#looksAt(o)
    const read = { concurrency, signal: o.signal }
    const writing = touched(plan)
    const changed = new Set(subjects.filter(subject => writing.has(names.toTarget(subject))))
    const every = o.every === true || everyConfig
    const chosen = o.only === undefined ? this.#sweep.choose(subjects, changed, every) : changed
    // Of a subject that is not there nothing can be set, but for a config that somebody left behind.
    const small = every || (o.only === undefined && subjects.length <= ALWAYS_READ)
    const targets = [...chosen].map(subject => names.toTarget(subject)).filter(subject => small || there.has(subject))
    if (syncConfig) await both(settings, 'readConfigs', chosen, targets, read)
    if (syncMode) await both(settings, 'readModes', chosen, targets, read)
    await settings.target.readModes(
      [...writing].filter(subject => there.has(subject)),
      read
    )
  }

  #looksAt({ every }: ReadOptions): { syncConfig: boolean; syncMode: boolean } {
    return { syncConfig: this.#o.syncConfig || every === true, syncMode: this.#o.syncMode || every === true }
  }

  /** Of subjects that are about to be created. */
  async readAhead(subjects: readonly string[], settings: SettingsPair, { signal }: ReadOptions): Promise<void> {
    const { syncConfig, concurrency } = this.#o
    if (!syncConfig) return
    const read = { concurrency, signal }
    // With the same level for both registries it makes no difference to a new subject whether it has that level as its own.
    const [here, there] = [await settings.source.registryConfig(read), await settings.target.registryConfig(read)]
    if (!settings.source.exact && sameValue(here, there)) await settings.source.readWhatCounts(subjects, read)
    else await settings.source.readConfigs(subjects, read)
  }
}

async function both(
  settings: SettingsPair,
  read: 'readConfigs' | 'readModes',
  source: Iterable<string | undefined>,
  target: Iterable<string | undefined>,
  o: { concurrency: number; signal?: AbortSignal | undefined }
): Promise<void> {
  await Promise.all([settings.source[read](source, o), settings.target[read](target, o)])
}
