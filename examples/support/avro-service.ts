/** What a team already has: a producer and a consumer with schemas in Avro, on plain kafkajs. Nothing of twinlog is in here. */
import { SchemaRegistry, SchemaType } from '@kafkajs/confluent-schema-registry'
import { Kafka, type KafkaConfig } from 'kafkajs'

export interface Side {
  cluster: KafkaConfig
  registry: string
}

/** Registers a schema with these fields for the topic, writes `count` orders with it and answers its id. */
export async function produceAvro({ cluster, registry }: Side, topic: string, fields: string[], count: number) {
  const coder = new SchemaRegistry({ host: registry })
  const texts = fields.map(name => ({ name, type: 'string', default: '' }))
  const schema = { type: 'record', name: 'Order', namespace: 'shop', fields: texts }
  const subject = `${topic}-value`
  const { id } = await coder.register({ type: SchemaType.AVRO, schema: JSON.stringify(schema) }, { subject })
  const order = (n: number) => Object.fromEntries(fields.map(name => [name, `${name} ${n}`]))
  const producer = new Kafka(cluster).producer()
  await producer.connect()
  const values = await Promise.all(Array.from({ length: count }, (_, n) => coder.encode(id, order(n))))
  await producer.send({ topic, messages: values.map(value => ({ value })) })
  await producer.disconnect()
  return id
}

/** Reads `count` orders from the beginning, with the schemas of the registry beside the cluster. */
export async function consumeAvro({ cluster, registry }: Side, topic: string, count: number) {
  const coder = new SchemaRegistry({ host: registry })
  const consumer = new Kafka(cluster).consumer({ groupId: `${topic}-reader` })
  const orders: { id: number; order: object }[] = []
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await new Promise<void>((enough, failed) => {
    const handle = async (value: Buffer): Promise<void> => {
      const order = (await coder.decode(value)) as object
      if (orders.push({ id: value.readInt32BE(1), order: { ...order } }) === count) enough()
    }
    consumer.run({ eachMessage: ({ message }) => handle(message.value ?? Buffer.alloc(0)).catch(failed) }).catch(failed)
  })
  await consumer.disconnect()
  return orders
}
