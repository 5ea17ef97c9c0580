import { isDeepStrictEqual } from 'node:util'
import type { SchemaRegistry } from '@kafkajs/confluent-schema-registry'
import type { TwinlogError } from '../errors.js'
import type { Logger } from '../logger.js'
import { createRegistryClient } from '../schemas/client/client.js'
import type { RegistryConfig } from '../util/registry-config.js'
import { answerFrom, NotThere, RegistryView } from './schema-registry-bridge.js'
import { type RegistryCall, registryError } from './schema-registry-errors.js'

export type RegistryOptions = ConstructorParameters<typeof SchemaRegistry>[1]

/** How long a missing schema is taken to be missing still: it may come any moment, but not every record shall ask for it. */
const MISSING_FOR_MS = 1_000

/** One registry with the schemas that were read from it: ids are numbers of this registry alone. */
export class RegistryEntry {
  readonly view: RegistryView
  readonly #cluster: string
  readonly #logger: Logger
  readonly #options: RegistryOptions
  /** By id, the oldest first. */
  readonly #missing = new Map<number, { until: number; error: TwinlogError }>()
  #config: RegistryConfig
  #coder: Promise<SchemaRegistry> | undefined

  constructor(o: { cluster: string; config: RegistryConfig; options: RegistryOptions; logger: Logger }) {
    this.#config = o.config
    this.#cluster = o.cluster
    this.#options = o.options
    this.#logger = o.logger
    this.view = new RegistryView(createRegistryClient(o.config, { logger: o.logger }), o.config.context)
  }

  /**
   * False: this config is of another registry, whose ids mean something else. Credentials may change while a service runs, and a config with
   * getters is a new object each time: what was read stays, the requests to come are sent with the new ones.
   */
  adopts(config: RegistryConfig): boolean {
    if (config === this.#config) return true
    const { url, context } = this.#config
    if (config.context !== context || !isDeepStrictEqual(config.url, url)) return false
    if (!isDeepStrictEqual(config, this.#config))
      this.view.client = createRegistryClient(config, { logger: this.#logger })
    this.#config = config
    return true
  }

  /** Work that needs the schema of `call.schemaId`, as far as one is named. */
  async code<T>(call: RegistryCall, work: (coder: SchemaRegistry) => Promise<T>): Promise<T> {
    const { schemaId } = call
    const known = schemaId === undefined ? undefined : this.#missing.get(schemaId)
    if (known !== undefined && performance.now() < known.until) throw known.error
    try {
      return await work(await this.#load())
    } catch (error) {
      const described = this.#describe(error, call)
      if (schemaId !== undefined && error instanceof NotThere) this.#remember(schemaId, described)
      throw described
    }
  }

  /** Work that needs no encoder. */
  async ask<T>(call: RegistryCall, work: (view: RegistryView) => Promise<T>): Promise<T> {
    try {
      return await work(this.view)
    } catch (error) {
      throw this.#describe(error, call)
    }
  }

  #load(): Promise<SchemaRegistry> {
    if (this.#coder === undefined) {
      this.#coder = this.#create()
      this.#coder.catch(() => {
        this.#coder = undefined
      })
    }
    return this.#coder
  }

  async #create(): Promise<SchemaRegistry> {
    // Loaded late: it brings three schema languages, and most services have no registry.
    const { SchemaRegistry } = await import('@kafkajs/confluent-schema-registry')
    return new SchemaRegistry({ host: this.view.client.name, middlewares: [answerFrom(this.view)] }, this.#options)
  }

  #remember(schemaId: number, error: TwinlogError): void {
    const now = performance.now()
    for (const [id, { until }] of this.#missing) {
      if (until > now) break
      this.#missing.delete(id)
    }
    this.#missing.delete(schemaId)
    this.#missing.set(schemaId, { until: now + MISSING_FOR_MS, error })
  }

  #describe(error: unknown, call: RegistryCall): TwinlogError {
    return registryError(error, call, { cluster: this.#cluster, name: this.view.client.name })
  }
}
