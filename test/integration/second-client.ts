import {
  AvroDeserializer,
  AvroSerializer,
  HeaderSchemaIdSerializer,
  JsonDeserializer,
  JsonSerializer,
  ProtobufDeserializer,
  ProtobufSerializer,
  SchemaRegistryClient,
  SerdeType,
  SubjectNameStrategyType
} from '@confluentinc/schemaregistry'
import { serializedDescriptor } from '../support/proto-descriptor.js'

export type Format = 'avro' | 'json' | 'protobuf'

/** As kafkajs has them. */
export type Headers = Record<string, Buffer | string | (Buffer | string)[] | undefined>

const SUBJECTS = { subjectNameStrategyType: SubjectNameStrategyType.TOPIC }

/** Confluent's own client for Node.js, as a producer and as a consumer: nothing of it is ours, nor of kafkajs's package. */
export class SecondClient {
  readonly #client: TextClient
  readonly #writers = new Map<number | 'latest', TextClient>()
  readonly #deserializers: Record<Format, AvroDeserializer | JsonDeserializer | ProtobufDeserializer>
  readonly #protobuf: ProtobufDeserializer

  constructor(url: string) {
    this.#client = new TextClient({ baseURLs: [url], maxRetries: 0 })
    this.#protobuf = new ProtobufDeserializer(this.#client, SerdeType.VALUE, SUBJECTS)
    this.#deserializers = {
      avro: new AvroDeserializer(this.#client, SerdeType.VALUE, SUBJECTS),
      json: new JsonDeserializer(this.#client, SerdeType.VALUE, { ...SUBJECTS, validate: true }),
      protobuf: this.#protobuf
    }
  }

  async decode(format: Format, topic: string, value: Buffer, headers?: Headers): Promise<unknown> {
    return plain(await this.#deserializers[format].deserialize(topic, value, headers))
  }

  /**
   * With that version of the topic's subject (the latest is the one of the first call). `type`: which message of a .proto file. `headers`: the schema is named in them and not before
   * the payload.
   */
  async encode(
    format: Format,
    topic: string,
    version: number | 'latest',
    payload: object,
    o: { type?: string | undefined; headers?: Headers | undefined } = {}
  ): Promise<Buffer> {
    const { headers } = o
    const client = this.#writers.get(version) ?? new TextClient(this.#client.config(), version)
    this.#writers.set(version, client)
    const where = headers === undefined ? {} : { schemaIdSerializer: HeaderSchemaIdSerializer }
    const conf = { ...SUBJECTS, useLatestVersion: true, autoRegisterSchemas: false, ...where }
    if (format === 'avro') return new AvroSerializer(client, SerdeType.VALUE, conf).serialize(topic, payload, headers)
    if (format === 'json') return new JsonSerializer(client, SerdeType.VALUE, conf).serialize(topic, payload, headers)
    const serializer = new ProtobufSerializer(client, SerdeType.VALUE, conf)
    const schema = await client.getLatestSchemaMetadata(`${topic}-value`, 'serialized')
    const { messages } = await this.#protobuf.toFileDesc(client, schema)
    for (const message of messages.flatMap(each => [each, ...each.nestedMessages])) serializer.registry.add(message)
    return serializer.serialize(topic, { $typeName: o.type ?? messages[0]?.typeName, ...payload }, headers)
  }
}

type Asked = Parameters<SchemaRegistryClient['getBySubjectAndId']>

/**
 * Confluent answers descriptors where this client asks for them, the registries of our tests the text. `latest`: the version that is taken
 * for the latest one, so that a new version does not change what is written.
 */
class TextClient extends SchemaRegistryClient {
  readonly #latest: number | 'latest'

  constructor(config: ConstructorParameters<typeof SchemaRegistryClient>[0], latest: number | 'latest' = 'latest') {
    super(config)
    this.#latest = latest
  }

  override async getBySubjectAndId(subject: Asked[0], id: Asked[1], format?: string) {
    return serialized(await super.getBySubjectAndId(subject, id), format)
  }

  override async getLatestSchemaMetadata(subject: string, format?: string) {
    const latest =
      this.#latest === 'latest'
        ? super.getLatestSchemaMetadata(subject)
        : super.getSchemaMetadata(subject, this.#latest)
    return serialized(await latest, format)
  }
}

function serialized<T extends { schema: string }>(answer: T, format: string | undefined): T {
  return format === 'serialized' ? { ...answer, schema: serializedDescriptor(answer.schema) } : answer
}

/** Without classes and without what decoders add to a message. */
export function plain(decoded: unknown): unknown {
  return JSON.parse(JSON.stringify(decoded, (name, value: unknown) => (name.startsWith('$') ? undefined : value)))
}
