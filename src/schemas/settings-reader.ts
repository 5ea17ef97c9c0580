import { TwinlogError } from '../errors.js'
import { inParallel } from './in-parallel.js'
import { isLevel } from './plan-settings.js'
import { scopeOf, splitSubject } from './names.js'
import type { RegistryClient, RegistryLevelConfig, RegistryMode } from './registry-types.js'
import { sameValue } from './same-content.js'
import type { Settings } from './snapshot.js'

interface ReadOptions {
  concurrency: number
  signal?: AbortSignal | undefined
}

/**
 * Config and modes of one registry, for one run. Some registries (Apicurio) answer for a subject without any with the registry's mode, and with
 * the level NONE although that of the registry counts: neither is taken for set.
 */
export class SettingsReader {
  readonly #client: RegistryClient
  /** It answers for a scope what is set there and nowhere else, as Confluent's does. */
  readonly exact: boolean
  readonly #configs = new Map<string | undefined, RegistryLevelConfig | undefined>()
  readonly #modes = new Map<string | undefined, RegistryMode | undefined>()
  #top: { config: Promise<RegistryLevelConfig | undefined>; mode: Promise<RegistryMode | undefined> } | undefined

  constructor(client: RegistryClient, o: { exact: boolean }) {
    this.#client = client
    this.exact = o.exact
  }

  get settings(): Settings {
    return { configs: this.#configs, modes: this.#modes, effectiveModes: this.#effective() }
  }

  async readConfigs(scopes: Iterable<string | undefined>, o: ReadOptions): Promise<void> {
    const left = [...new Set(scopes)].filter(scope => !this.#configs.has(scope))
    await inParallel(left, o, async scope => {
      const config = await this.#client.config(scope, { signal: o.signal })
      this.#configs.set(scope, (await this.#isInherited(scope, config, o)) ? undefined : config)
    })
  }

  /**
   * NONE that was set is also what counts; where nothing is set, what counts is the registry's level. Taken for set, NONE would be copied, and
   * the target would take what the source refuses.
   */
  async #isInherited(
    scope: string | undefined,
    config: RegistryLevelConfig | undefined,
    o: ReadOptions
  ): Promise<boolean> {
    if (scope === undefined || this.exact || !sameValue(config, { compatibilityLevel: 'NONE' })) return false
    if (sameValue(config, (await this.#registry(o)).config)) return true
    const resolved = await this.#client.config(scope, { signal: o.signal, resolved: true })
    return resolved?.compatibilityLevel !== 'NONE'
  }

  /**
   * The same by one request each, for a registry that is not exact: what counts for the subject, taken for not set where it is what the
   * registry has. A level that was set and says the same is found the next time its config is read.
   */
  async readWhatCounts(scopes: Iterable<string>, o: ReadOptions): Promise<void> {
    const top = (await this.#registry(o)).config
    await inParallel(new Set(scopes), o, async scope => {
      const config = await this.#client.config(scope, { signal: o.signal, resolved: true })
      this.#configs.set(scope, sameValue(config, top) ? undefined : config)
    })
  }

  async registryConfig(o: ReadOptions): Promise<RegistryLevelConfig | undefined> {
    return (await this.#registry(o)).config
  }

  /** Nothing else can be set: we have just created it. */
  assumeConfig(scope: string, config: RegistryLevelConfig | undefined): void {
    this.#configs.set(scope, config)
  }

  async readModes(scopes: Iterable<string | undefined>, o: ReadOptions): Promise<void> {
    const left = [...new Set(scopes)].filter(scope => !this.#modes.has(scope))
    await inParallel(left, o, async scope => {
      const mode = await this.#mode(scope, o)
      const inherited = scope !== undefined && !this.exact && mode === (await this.#registry(o)).mode
      this.#modes.set(scope, inherited ? undefined : mode)
    })
  }

  async #registry(
    o: ReadOptions
  ): Promise<{ config: RegistryLevelConfig | undefined; mode: RegistryMode | undefined }> {
    const { signal } = o
    this.#top ??= { config: this.#client.config(undefined, { signal }), mode: this.#mode(undefined, o) }
    return { config: await this.#top.config, mode: await this.#top.mode }
  }

  async #mode(scope: string | undefined, { signal }: ReadOptions): Promise<RegistryMode | undefined> {
    try {
      return await this.#client.mode(scope, { signal })
    } catch (error) {
      // A registry without modes accepts everything.
      if (error instanceof TwinlogError && error.code === 'TWINLOG_UNSUPPORTED') return undefined
      throw error
    }
  }

  /** Subject, else its context, else READWRITE; what the registry itself has does not reach other contexts, but one mode overrides all. */
  #effective(): Map<string | undefined, RegistryMode> {
    const effective = new Map<string | undefined, RegistryMode>()
    const override = this.#modes.get(undefined) === 'READONLY_OVERRIDE'
    for (const [scope, own] of this.#modes) {
      const inherited = isLevel(scope) ? undefined : this.#modes.get(scopeOf(splitSubject(scope ?? '').context))
      effective.set(scope, override ? 'READONLY_OVERRIDE' : (own ?? inherited ?? 'READWRITE'))
    }
    return effective
  }
}
