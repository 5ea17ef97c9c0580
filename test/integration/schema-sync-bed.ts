import type { SchemaSyncOptions } from '../../src/index.js'
import { SchemaSync } from '../../src/index.js'
import { createRegistryClient } from '../../src/schemas/client/client.js'
import type { RegistryClient, SchemaContent, SchemaReference } from '../../src/schemas/registry-types.js'
import { dumpOf, type RegistryDump } from '../support/registry/fake/registry-dump.js'
import { RegistryFault } from '../support/registry/fake/registry-fault.js'
import { RegistryRoutes } from '../support/registry/fake/registry-routes.js'

export const silent = { debug() {}, info() {}, warn() {}, error() {} }

export interface BedRequest {
  method: string
  path: string
  /** Counts from 0, over all that this registry was asked. */
  index: number
}

/** What happens to a request: its connection breaks before the registry has it, or after. */
export type Fate = 'lost-before' | 'lost-after' | undefined

export interface BedRegistryOptions {
  /** GET /schemas is there. */
  bulk?: boolean
  /** Its entries have only their texts, as with Apicurio. */
  textsOnly?: boolean
  ruleSets?: boolean
}

/** The fake registry without sockets: what `fetch` sends is answered in this process, so that thousands of syncs are quick. */
export class BedRegistry {
  readonly url: string
  readonly log: BedRequest[] = []
  readonly client: RegistryClient
  fate: (request: BedRequest) => Fate = () => undefined
  readonly #routes: RegistryRoutes

  readonly #o: BedRegistryOptions

  constructor(name: string, o: BedRegistryOptions = {}) {
    this.#o = o
    this.url = `http://${name}.test`
    this.#routes = new RegistryRoutes({ bulk: o.bulk ?? true, ruleSets: o.ruleSets ?? true })
    this.client = createRegistryClient({ url: this.url, fetch: this.fetch }, { logger: silent })
  }

  readonly fetch: typeof fetch = async (input, init) => {
    const { pathname, searchParams } = new URL(input instanceof Request ? input.url : input)
    const method = init?.method ?? 'GET'
    const request = { method, path: pathname, index: this.log.length }
    this.log.push(request)
    init?.signal?.throwIfAborted()
    const fate = this.fate(request)
    if (fate === 'lost-before') throw new TypeError('fetch failed')
    const { status, body } = this.#answer(method, pathname, searchParams, (init?.body as string | undefined) ?? '')
    if (fate === 'lost-after') throw new TypeError('fetch failed')
    return new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json' } })
  }

  /** All but our own context. The registry's own mode cannot be unset again, only put to what it is without. */
  dump(): RegistryDump {
    const { '.twinlog': _own, ...rest } = dumpOf(this.#routes.state)
    if (rest['.']?.mode === 'READWRITE') delete rest['.'].mode
    return rest
  }

  /** Subjects of our own context: notes of imports. */
  notes(): string[] {
    return Object.keys(dumpOf(this.#routes.state)['.twinlog']?.subjects ?? {})
  }

  /** Scopes in IMPORT mode. */
  importing(): string[] {
    return [...this.#routes.state.modes].filter(([, mode]) => mode === 'IMPORT').map(([scope]) => scope ?? '(registry)')
  }

  #answer(method: string, path: string, query: URLSearchParams, body: string): { status: number; body: unknown } {
    try {
      const answer = this.#routes.answer(method, path, query, body)
      if (this.#o.textsOnly !== true || path !== '/schemas') return { status: 200, body: answer }
      // `:*:` is a prefix like any other there, and nothing has it.
      const entries = query.get('subjectPrefix') === ':*:' ? [] : (answer as { schema: string }[])
      return { status: 200, body: entries.map(({ schema }) => ({ schema })) }
    } catch (error) {
      if (!(error instanceof RegistryFault)) throw error
      return { status: error.status, body: { error_code: error.errorCode, message: error.message } }
    }
  }
}

/** Two registries, and SchemaSyncs between them. */
export class SyncBed implements AsyncDisposable {
  readonly source: BedRegistry
  readonly target: BedRegistry
  readonly #syncs: SchemaSync[] = []

  constructor(o: BedRegistryOptions & { source?: BedRegistry } = {}) {
    this.source = o.source ?? new BedRegistry('source', o)
    this.target = new BedRegistry('target', o)
  }

  get here(): RegistryClient {
    return this.source.client
  }

  get there(): RegistryClient {
    return this.target.client
  }

  sync(
    o: Omit<Partial<SchemaSyncOptions>, 'source' | 'target'> & { source?: object; target?: object } = {}
  ): SchemaSync {
    const source = { url: this.source.url, fetch: this.source.fetch, ...o.source }
    const target = { url: this.target.url, fetch: this.target.fetch, ...o.target }
    const sync = new SchemaSync({ logger: silent, ...o, source, target })
    this.#syncs.push(sync)
    return sync
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#syncs.map(sync => sync.stop()))
  }
}

/** A record with one field of its own, and one for each reference. */
export function avro(name: string, field = 'id', references: SchemaReference[] = []): SchemaContent {
  const fields = [
    { name: field, type: ['null', 'long'], default: null },
    ...references.map((reference, index) => ({ name: `r${index}`, type: ['null', reference.name], default: null }))
  ]
  return { schemaType: 'AVRO', schema: JSON.stringify({ type: 'record', name, fields }), references }
}

/** Subjects in two contexts, references within and across them, three languages, deleted versions, config and modes. */
export async function furnish(here: RegistryClient): Promise<void> {
  await here.register('customer', avro('Customer'))
  await here.register('customer', avro('Customer', 'name'))
  const toCustomer = { name: 'Customer', subject: 'customer', version: 2 }
  await here.register('orders-value', avro('Order', 'id', [toCustomer]))
  await here.register('orders-value', avro('Order', 'sum', [toCustomer]))
  await here.register('orders-value', avro('Order', 'tax', [toCustomer]))
  await here.register('orders-key', { schemaType: 'AVRO', schema: '"string"', references: [] })
  const toInvoice = { name: 'Invoice', subject: 'invoice', version: 1 }
  await here.register(':.emea:invoice', avro('Invoice'))
  await here.register(':.emea:bill', avro('Bill', 'id', [toInvoice]))
  await here.register('ledger-value', avro('Ledger', 'id', [{ ...toInvoice, subject: ':.emea:invoice' }]))
  await here.register('users-value', { schemaType: 'JSON', schema: '{"type":"object","title":"User"}', references: [] })
  const proto = 'syntax = "proto3";\nmessage Ping {\n  int64 at = 1;\n}\n'
  await here.register('pings-value', { schemaType: 'PROTOBUF', schema: proto, references: [] })
  await here.register('old-value', avro('Old'))
  await here.register('old-value', avro('Old', 'b'))
  await here.deleteVersion('orders-value', 2)
  await here.deleteSubject('old-value')
  await here.putConfig('orders-value', { compatibilityLevel: 'FULL', normalize: true })
  await here.putConfig(undefined, { compatibilityLevel: 'FORWARD' })
  await here.putConfig(':.emea:', { compatibilityLevel: 'NONE' })
  await here.putMode('users-value', 'READONLY')
}
