import type { DecodeOptions, SchemaRegistry } from '@kafkajs/confluent-schema-registry'
import { TwinlogError } from '../errors.js'
import type { RegistryConfig } from '../util/registry-config.js'
import type { ClientHandle } from './client-handle.js'

type RegistryArguments = ConstructorParameters<typeof SchemaRegistry>[0]
type RegistryOptions = ConstructorParameters<typeof SchemaRegistry>[1]

const UNREACHABLE =
  /ECONNREFUSED|ECONNRESET|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|EPIPE|socket hang up|timeout/i

/**
 * The client of `@kafkajs/confluent-schema-registry` for the registry of the active cluster: after a move it speaks to the
 * registry of the new one. Each registry has a client and a cache of its own, because the same id can mean another schema
 * in another registry.
 */
export class FailoverSchemaRegistry {
  readonly #client: ClientHandle
  readonly #options: RegistryOptions
  readonly #registries = new Map<string, Promise<SchemaRegistry[]>>()

  /** `options`: the second argument of SchemaRegistry's constructor, for example schema-type options. */
  constructor(client: ClientHandle, options?: RegistryOptions) {
    this.#client = client
    this.#options = options
  }

  async encode(registryId: number, payload: unknown): Promise<Buffer> {
    return this.#use(`encode with schema id ${registryId}`, registry => registry.encode(registryId, payload))
  }

  async decode<T = unknown>(buffer: Buffer, options?: DecodeOptions): Promise<T> {
    const id = Buffer.isBuffer(buffer) && buffer.length >= 5 ? buffer.readUInt32BE(1) : undefined
    const what = id === undefined ? 'decode' : `decode with schema id ${id}`
    return this.#use(what, registry => registry.decode(buffer, options) as Promise<T>)
  }

  async register(
    schema: Parameters<SchemaRegistry['register']>[0],
    options?: Parameters<SchemaRegistry['register']>[1]
  ): Promise<{ id: number }> {
    const subject = options?.subject
    const what = subject === undefined ? 'register' : `register under subject "${subject}"`
    return this.#use(what, registry => registry.register(schema, options as { subject: string }))
  }

  async getSchema(registryId: number): ReturnType<SchemaRegistry['getSchema']> {
    return this.#use(`read schema id ${registryId}`, registry => registry.getSchema(registryId))
  }

  async getLatestSchemaId(subject: string): Promise<number> {
    return this.#use(`read the latest version of "${subject}"`, registry => registry.getLatestSchemaId(subject))
  }

  async getRegistryId(subject: string, version: number | string): Promise<number> {
    return this.#use(`read "${subject}" version ${version}`, registry => registry.getRegistryId(subject, version))
  }

  async getRegistryIdBySchema(
    subject: string,
    schema: Parameters<SchemaRegistry['getRegistryIdBySchema']>[1]
  ): Promise<number> {
    return this.#use(`look a schema up in "${subject}"`, registry => registry.getRegistryIdBySchema(subject, schema))
  }

  async #use<T>(what: string, work: (registry: SchemaRegistry) => Promise<T>): Promise<T> {
    const { alias, config } = this.#client.current() ?? (await this.#client.cluster())
    if (config.schemaRegistry === undefined) {
      throw new TwinlogError(
        'TWINLOG_SCHEMA_REGISTRY',
        `${what}: cluster "${alias}" has no schemaRegistry in its configuration; add one to its entry in \`clusters\``,
        { cluster: alias }
      )
    }
    const registries = await this.#registriesOf(alias, config.schemaRegistry)
    let failure: unknown
    for (const registry of registries) {
      try {
        return await work(registry)
      } catch (error) {
        failure = error
        if (!isUnreachable(error)) break
      }
    }
    throw describe(failure, what, alias)
  }

  #registriesOf(alias: string, config: RegistryConfig): Promise<SchemaRegistry[]> {
    // By alias and address: the configuration holds secrets, which belong in no key.
    const urls = typeof config.url === 'string' ? [config.url] : config.url
    const key = JSON.stringify([alias, urls, config.context])
    let registries = this.#registries.get(key)
    if (registries === undefined) {
      registries = this.#load(urls, config)
      registries.catch(() => this.#registries.delete(key))
      this.#registries.set(key, registries)
    }
    return registries
  }

  async #load(urls: string[], config: RegistryConfig): Promise<SchemaRegistry[]> {
    // Loaded late: it brings three schema languages, and most services have no registry.
    const { SchemaRegistry } = await import('@kafkajs/confluent-schema-registry')
    return urls.map(url => new SchemaRegistry(argumentsFor(url, config), this.#options))
  }
}

function argumentsFor(url: string, { auth, headers, context }: RegistryConfig): RegistryArguments {
  const extra = {
    ...headers,
    ...(auth !== undefined && 'token' in auth ? { authorization: `Bearer ${auth.token}` } : {})
  }
  const base = url.replace(/\/+$/, '')
  return {
    host: context === undefined ? base : `${base}/contexts/${encodeURIComponent(context)}`,
    ...(auth !== undefined && 'username' in auth ? { auth } : {}),
    middlewares: [() => ({ prepareRequest: async next => (await next()).enhance({ headers: extra }) })]
  }
}

/** Its HTTP client answers with status 400 when no answer came at all. */
function isUnreachable(error: unknown): boolean {
  const { status, message } = error as { status?: number; message?: string }
  if (status === 502 || status === 503 || status === 504) return true
  return status === 400 && UNREACHABLE.test(message ?? '')
}

function describe(error: unknown, what: string, alias: string): TwinlogError {
  if (error instanceof TwinlogError) return error
  const { status, message } = error as { status?: number; message?: string }
  const where = `the schema registry of cluster "${alias}"`
  const context = { cluster: alias, cause: error }
  if (isUnreachable(error)) {
    return new TwinlogError('TWINLOG_SCHEMA_REGISTRY', `${what}: ${where} does not answer: ${message}`, {
      ...context,
      retriable: true
    })
  }
  if (status === 401 || status === 403) {
    const hint = 'check auth in its configuration'
    return new TwinlogError('TWINLOG_UNAUTHORIZED', `${what}: ${where} refused the credentials; ${hint}`, context)
  }
  if (status === 404) {
    const hint = 'copy the schemas to this registry, or check that they were registered there'
    return new TwinlogError('TWINLOG_SCHEMA_REGISTRY', `${what}: ${where} does not know it; ${hint}`, context)
  }
  const retriable = status !== undefined && (status >= 500 || status === 429)
  return new TwinlogError('TWINLOG_SCHEMA_REGISTRY', `${what} at ${where} failed: ${message ?? String(error)}`, {
    ...context,
    retriable
  })
}
