import { FailoverClient } from '../../src/failover/client.js'
import type { FailoverConsumer } from '../../src/failover/consumer.js'
import type { FailoverMessage } from '../../src/failover/consumer-handlers.js'
import type { FailoverProducer } from '../../src/failover/producer.js'
import type { FailoverSchemaRegistry } from '../../src/failover/schema-registry.js'
import type { Mirror } from '../../src/mirror/mirror.js'
import { SchemaSync } from '../../src/schemas/sync.js'
import type { RegistryConfig } from '../../src/util/registry-config.js'
import { type Bed, eventually, silent } from './bed.js'
import { type Format, type Headers, plain, SecondClient } from './second-client.js'

type Registry = RegistryConfig & { url: string }

export interface Scenario {
  /** Service, and the beginning of its topics. */
  name: string
  ids: 'preserve' | 'translate'
  east: Registry
  west: Registry
  /** Both registries know GUIDs. */
  guids?: boolean
  /** How often SchemaSync looks by itself. Long: schemas come because records wait for them. */
  intervalMs: number
}

/** A topic: who writes it, in which language, and which message where a schema has several. */
export interface TopicKind {
  writer: 'kafkajs' | 'second'
  format: Format
  /** Only Confluent's client can write and read others than the first message. */
  nested?: boolean
  /** Keys carry a schema, too. */
  keyed?: boolean
  /** Schemas are named in headers: only Confluent's client can do that, with registries that know GUIDs. */
  headers?: boolean
}

const KINDS: Record<string, TopicKind> = {
  'k-avro': { writer: 'kafkajs', format: 'avro', keyed: true },
  'k-json': { writer: 'kafkajs', format: 'json' },
  'k-protobuf': { writer: 'kafkajs', format: 'protobuf' },
  'c-avro': { writer: 'second', format: 'avro' },
  'c-json': { writer: 'second', format: 'json' },
  'c-protobuf': { writer: 'second', format: 'protobuf' },
  'c-nested': { writer: 'second', format: 'protobuf', nested: true },
  'c-headers': { writer: 'second', format: 'avro', headers: true }
}

export interface Sent {
  payload: object
  bytes: Buffer
  headers: Headers | undefined
  key: { payload: object; bytes: Buffer } | undefined
}

export interface Read {
  key: Buffer | null
  value: Buffer
  headers: Headers
}

/** kafkajs's package knows ids before the payload, and the first message of a .proto file. */
export const readsWithKafkajs = ({ nested, headers }: TopicKind): boolean => !nested && !headers

export const idOf = (bytes: Buffer): number => bytes.readInt32BE(1)

const MONEY = {
  type: 'record',
  name: 'Money',
  namespace: 'shop',
  fields: [
    { name: 'currency', type: 'string' },
    { name: 'cents', type: 'int' }
  ]
}
const KEY = { type: 'record', name: 'Key', namespace: 'shop', fields: [{ name: 'n', type: 'int' }] }
/** Each version has one more. */
const LATER = ['note', 'city', 'coupon']

/** A service with schemas in three languages, its Mirror and its SchemaSync, from the first record on east to the last one on west. */
export class SchemaService {
  readonly scenario: Scenario
  readonly sync: SchemaSync
  readonly client: FailoverClient
  readonly registry: FailoverSchemaRegistry
  readonly sent = new Map<string, Sent[]>()
  /** What the consumer that lived through it all has decoded, by topic. */
  readonly handled = new Map<string, unknown[]>()
  /** What SchemaSync calls the ids of what was sent, on the target. */
  readonly targetIds = new Map<number, number>()
  readonly kinds: ReadonlyMap<string, TopicKind>
  readonly #bed: Bed
  readonly #producer: FailoverProducer
  readonly #consumers: FailoverConsumer[] = []
  #mirror: Mirror | undefined
  #next = 0
  #all: Promise<Map<string, Read[]>> | undefined

  constructor(bed: Bed, scenario: Scenario) {
    const { name, ids, east, west, intervalMs } = scenario
    this.scenario = scenario
    this.#bed = bed
    const kinds = Object.entries(KINDS).filter(([, kind]) => !kind.headers || scenario.guids === true)
    this.kinds = new Map(kinds.map(([suffix, kind]) => [`${name}-${suffix}`, kind]))
    this.sync = new SchemaSync({ source: east, target: west, ids, intervalMs, subjects: this.#own, logger: silent })
    this.client = new FailoverClient({
      clusters: [
        { ...bed.east.config(), schemaRegistry: east },
        { ...bed.west.config(), schemaRegistry: west }
      ],
      service: name,
      links: { 'east>west': name },
      logger: silent
    })
    this.registry = this.client.schemaRegistry()
    this.#producer = this.client.producer()
  }

  get #own(): RegExp {
    return new RegExp(`${this.scenario.name}-.*`)
  }

  async start(): Promise<void> {
    const { name } = this.scenario
    for (const topic of this.kinds.keys()) await this.#bed.createTopic(this.#bed.east, topic)
    await this.client.connect()
    await this.#producer.connect()
    await this.registry.register(avro(MONEY), { subject: `${name}-money` })
    await this.registry.register(avro(KEY), { subject: `${name}-k-avro-key` })
    await this.register(1)
    await this.sync.start()
    const own = this.#own
    const schemas = { sync: this.sync, topics: own, timeoutMs: 20_000 }
    this.#mirror = (await this.#bed.mirror({ link: name, topics: own, schemas, syncGroups: true })).mirror
    const read = [...this.kinds].filter(([, kind]) => readsWithKafkajs(kind)).map(([topic]) => topic)
    await this.#consume(`${name}-live`, read, async (topic, { value, cluster }) => {
      const decoded: unknown = await this.registry.decode(value ?? Buffer.alloc(0), { cluster })
      this.handled.set(topic, [...(this.handled.get(topic) ?? []), plain(decoded)])
    })
  }

  /** A version of every subject, at the registry of the cluster in use. */
  async register(version: number): Promise<void> {
    for (const [topic, { format }] of this.kinds) {
      const subject = `${topic}-value`
      await this.registry.register(schemaOf(format, version, this.scenario.name), { subject })
    }
  }

  /**
   * Records of that version into every topic, with the ids of the cluster in use. `latest`: whichever number the version has there. A
   * subject whose content another one has as well, under one id, may have fewer versions there: records only wait for ids.
   */
  async send(version: number, count: number, written: number | 'latest' = version): Promise<void> {
    const second = new SecondClient((this.client.active === 'east' ? this.scenario.east : this.scenario.west).url)
    const first = this.#next + 1
    this.#next += count
    const topics = [...this.kinds].map(async ([topic, kind]) => {
      const own = kind.writer === 'kafkajs' ? await this.registry.getRegistryId(`${topic}-value`, written) : 0
      const keyId = kind.keyed ? await this.registry.getRegistryId(`${topic}-key`, 'latest') : 0
      for (let n = first; n < first + count; n++) {
        const payload = payloadOf(kind, version, n)
        const headers: Headers | undefined = kind.headers ? {} : undefined
        const type = kind.nested ? 'shop.Order.Line' : undefined
        const bytes =
          kind.writer === 'second'
            ? await second.encode(kind.format, topic, written, payload, { type, headers })
            : await this.registry.encode(own, payload)
        const key = kind.keyed ? { payload: { n }, bytes: await this.registry.encode(keyId, { n }) } : undefined
        const message = { key: key?.bytes ?? String(n), value: bytes, ...(headers && { headers }) }
        await this.#producer.send({ topic, messages: [message] })
        this.sent.set(topic, [...(this.sent.get(topic) ?? []), { payload, bytes, headers, key }])
      }
    })
    await Promise.all(topics)
  }

  async caughtUp(): Promise<void> {
    await this.#mirror?.caughtUp({ timeoutMs: 30_000 })
  }

  /** While the source's registry is there to be asked. */
  async rememberIds(): Promise<void> {
    for (const { bytes, headers, key } of [...this.sent.values()].flat()) {
      for (const id of [...(headers ? [] : [idOf(bytes)]), ...(key ? [idOf(key.bytes)] : [])]) {
        if (!this.targetIds.has(id)) this.targetIds.set(id, await this.sync.targetId(id))
      }
    }
  }

  async stopCopying(): Promise<void> {
    await Promise.all([this.#mirror?.stop(), this.sync.stop()])
  }

  /** Everything that the topics hold on the cluster in use, as bytes. */
  readAll(): Promise<Map<string, Read[]>> {
    this.#all ??= this.#readAll()
    return this.#all
  }

  async #readAll(): Promise<Map<string, Read[]>> {
    const read = new Map<string, Read[]>([...this.kinds.keys()].map(topic => [topic, []]))
    const consumer = await this.#consume(
      `${this.scenario.name}-again`,
      [...read.keys()],
      (topic, { key, value, headers }) => {
        read.get(topic)?.push({ key: key ?? null, value: value ?? Buffer.alloc(0), headers: headers ?? {} })
        return Promise.resolve()
      }
    )
    await eventually(
      () => [...read].every(([topic, records]) => records.length >= (this.sent.get(topic)?.length ?? 0)),
      () => `read ${[...read].map(([topic, records]) => `${topic}: ${records.length}`).join(', ')}`
    )
    await consumer.disconnect()
    return read
  }

  async close(): Promise<void> {
    await Promise.all([...this.#consumers.map(consumer => consumer.disconnect()), this.#producer.disconnect()])
    await this.client.disconnect()
    await this.sync.stop()
  }

  async #consume(
    groupId: string,
    topics: string[],
    handle: (topic: string, message: FailoverMessage) => Promise<void>
  ): Promise<FailoverConsumer> {
    const times = { sessionTimeout: 6_000, heartbeatInterval: 500, maxWaitTimeInMs: 100 }
    const consumer = this.client.consumer({ groupId, ...times })
    this.#consumers.push(consumer)
    await consumer.connect()
    await consumer.subscribe({ topics, fromBeginning: true })
    await consumer.run({ eachMessage: ({ topic, message }) => handle(topic, message) })
    return consumer
  }
}

function avro(schema: object) {
  return { type: 'AVRO' as never, schema: JSON.stringify(schema) }
}

function schemaOf(format: Format, version: number, service: string) {
  const later = LATER.slice(0, version - 1)
  if (format === 'avro') {
    const own = ['id', ...later].map(name =>
      name === 'id' ? { name, type: 'string' } : { name, type: 'string', default: '' }
    )
    const fields = [...own, { name: 'seq', type: 'int' }, { name: 'total', type: 'shop.Money' }]
    const references = [{ name: 'shop.Money', subject: `${service}-money`, version: 1 }]
    return { ...avro({ type: 'record', name: 'Order', namespace: 'shop', fields }), references }
  }
  if (format === 'json') {
    const texts = ['id', ...later].map(name => [name, { type: 'string' }] as const)
    const properties = { ...Object.fromEntries(texts), seq: { type: 'integer' } }
    const schema = { type: 'object', title: 'Order', properties, required: ['id', 'seq'], additionalProperties: false }
    return { type: 'JSON' as never, schema: JSON.stringify(schema) }
  }
  const fields = later.map((name, index) => `  string ${name} = ${index + 3};\n`).join('')
  const schema = `syntax = "proto3";\npackage shop;\n\nmessage Order {\n  string id = 1;\n  int32 seq = 2;\n${fields}\n  message Line {\n    string sku = 1;\n  }\n}\n`
  return { type: 'PROTOBUF' as never, schema }
}

function payloadOf(kind: TopicKind, version: number, n: number): object {
  if (kind.nested) return { sku: `sku ${n}` }
  const later = Object.fromEntries(LATER.slice(0, version - 1).map(name => [name, `${name} ${n}`]))
  const total = kind.format === 'avro' ? { total: { currency: 'EUR', cents: n } } : {}
  return { id: `order ${n}`, seq: n, ...later, ...total }
}
