import type { DecodeOptions, SchemaRegistry } from '@kafkajs/confluent-schema-registry'
import { InvalidOptionError, TwinlogError } from '../errors.js'
import type { ClusterConfig } from '../kafka/types.js'
import type { Logger } from '../logger.js'
import { abortable } from '../util/abortable.js'
import { contentOf, LATEST_VERSION } from './schema-registry-bridge.js'
import { RegistryEntry, type RegistryOptions } from './schema-registry-entry.js'
import type { RegistryCall } from './schema-registry-errors.js'

type Schema = Parameters<SchemaRegistry['register']>[0]
type Cluster = Pick<ClusterConfig, 'alias' | 'schemaRegistry'>

export interface FailoverRegistryCallOptions {
  signal?: AbortSignal | undefined
}

export type FailoverRegisterOptions = Parameters<SchemaRegistry['register']>[1] & FailoverRegistryCallOptions

export type FailoverDecodeOptions = DecodeOptions &
  FailoverRegistryCallOptions & {
    /**
     * Alias of the cluster that the bytes were read from: `message.cluster` of a FailoverConsumer's message. Its registry is asked, even
     * when the service moves while the handler works: the same number may be another schema elsewhere.
     * @defaultValue the cluster in use
     */
    cluster?: string | undefined
  }

/** What it needs of the FailoverClient that hands it out. */
export interface RegistryClusters {
  readonly logger: Logger
  /** The cluster in use; waits for the end of a move. */
  cluster(): Promise<{ readonly config: Cluster }>
  /** The cluster in use, during a move the one that is being left; undefined before the client is connected. */
  reading(): { readonly config: Cluster } | undefined
  /** Any cluster of the client, by its alias. */
  config(alias: string): Cluster | undefined
}

/**
 * Encodes and decodes as `@kafkajs/confluent-schema-registry` does, with the registry of the cluster in use: after a move that of the new
 * one. Each registry has a cache of its own, because the same id can mean another schema in another registry. Requests go through our own
 * client: several addresses, retries, time-outs, proxies and contexts as the cluster's `schemaRegistry` says.
 *
 * What it reads is a record's prefix (magic byte 0 and four bytes of id); ids in headers are for clients that know them.
 */
export class FailoverSchemaRegistry {
  readonly #clusters: RegistryClusters
  readonly #options: RegistryOptions
  readonly #entries = new Map<string, RegistryEntry>()

  /** `options`: the second argument of SchemaRegistry's constructor, for example options of a schema language. */
  constructor(clusters: RegistryClusters, options?: RegistryOptions) {
    this.#clusters = clusters
    this.#options = options
  }

  /**
   * The id is one of the registry in use: ask for it again after a move (`getLatestSchemaId`, `register`), unless both registries have the
   * same ids (`ids: 'preserve'`). Waits for the end of a move, as a producer's send does.
   */
  async encode(registryId: number, payload: unknown, o: FailoverRegistryCallOptions = {}): Promise<Buffer> {
    const call = { what: `encode with schema id ${registryId}`, schemaId: registryId }
    return this.#inUse(call, entry => entry.code(call, coder => coder.encode(registryId, payload)), o)
  }

  /** Does not wait for the end of a move: what is decoded was read before it. */
  async decode<T = unknown>(buffer: Buffer, options: FailoverDecodeOptions = {}): Promise<T> {
    const { cluster, signal, ...decodeOptions } = options
    const schemaId = schemaIdOf(buffer)
    const call = { what: schemaId === undefined ? 'decode' : `decode with schema id ${schemaId}`, schemaId }
    const decode = async (): Promise<T> => {
      const from =
        cluster === undefined
          ? (this.#clusters.reading() ?? (await this.#clusters.cluster())).config
          : this.#named(cluster)
      return this.#entryOf(from, call).code(call, coder => coder.decode(buffer, decodeOptions) as Promise<T>)
    }
    return abortable(decode(), signal)
  }

  async register(schema: Schema, options?: FailoverRegisterOptions): Promise<{ id: number }> {
    const { signal, ...rest } = options ?? {}
    const { subject } = rest as { subject?: string }
    const call = { what: subject === undefined ? 'register a schema' : `register under subject "${subject}"`, subject }
    return this.#inUse(call, entry => entry.code(call, coder => coder.register(schema, rest as { subject: string })), {
      signal
    })
  }

  async getSchema(registryId: number, o: FailoverRegistryCallOptions = {}): ReturnType<SchemaRegistry['getSchema']> {
    const call = { what: `read schema id ${registryId}`, schemaId: registryId }
    return this.#inUse(call, entry => entry.code(call, coder => coder.getSchema(registryId)), o)
  }

  async getLatestSchemaId(subject: string, o: FailoverRegistryCallOptions = {}): Promise<number> {
    return this.getRegistryId(subject, 'latest', o)
  }

  async getRegistryId(subject: string, version: number | string, o: FailoverRegistryCallOptions = {}): Promise<number> {
    const number = version === 'latest' ? LATEST_VERSION : Number(version)
    const call = { what: `read version ${version} of subject "${subject}"`, subject }
    return this.#inUse(call, entry => entry.ask(call, async view => (await view.version(subject, number)).id), o)
  }

  async getRegistryIdBySchema(
    subject: string,
    schema: Parameters<SchemaRegistry['getRegistryIdBySchema']>[1],
    o: FailoverRegistryCallOptions = {}
  ): Promise<number> {
    const call = { what: `look a schema up in subject "${subject}"`, subject }
    return this.#inUse(
      call,
      entry => entry.ask(call, async view => (await view.lookup(subject, contentOf(schema))).id),
      o
    )
  }

  #inUse<T>(
    call: RegistryCall,
    work: (entry: RegistryEntry) => Promise<T>,
    o: FailoverRegistryCallOptions
  ): Promise<T> {
    const run = async (): Promise<T> => work(this.#entryOf((await this.#clusters.cluster()).config, call))
    return abortable(run(), o.signal)
  }

  #named(alias: string): Cluster {
    const config = this.#clusters.config(alias)
    if (config !== undefined) return config
    throw new InvalidOptionError('decode.cluster', `no cluster of this client is called "${alias}"`)
  }

  #entryOf({ alias, schemaRegistry: config }: Cluster, call: RegistryCall): RegistryEntry {
    if (config === undefined) {
      const message = `${call.what}: cluster "${alias}" has no schemaRegistry in its configuration; add one to its entry in \`clusters\``
      throw new TwinlogError('TWINLOG_SCHEMA_REGISTRY', message, { cluster: alias })
    }
    const known = this.#entries.get(alias)
    if (known?.adopts(config)) return known
    const entry = new RegistryEntry({ cluster: alias, config, options: this.#options, logger: this.#clusters.logger })
    this.#entries.set(alias, entry)
    return entry
  }
}

function schemaIdOf(buffer: unknown): number | undefined {
  return Buffer.isBuffer(buffer) && buffer.length >= 5 && buffer[0] === 0 ? buffer.readInt32BE(1) : undefined
}
