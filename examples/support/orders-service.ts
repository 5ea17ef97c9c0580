/** What a team already has: a producer and a consumer on plain kafkajs. Nothing of twinlog is in here. */
import { Kafka, type KafkaConfig } from 'kafkajs'

export const ORDERS = 1_000

/** The orders, and before them an aborted transaction: its 200 records take offsets here that no copy will have. */
export async function produceOrders(cluster: KafkaConfig, topic: string): Promise<void> {
  const admin = new Kafka(cluster).admin()
  await admin.connect()
  await admin.createTopics({ topics: [{ topic, numPartitions: 3 }] })
  await admin.disconnect()
  const producer = new Kafka(cluster).producer({ transactionalId: topic, idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  const steps = [
    ['abort', 200],
    ['commit', ORDERS]
  ] as const
  for (const [end, count] of steps) {
    const transaction = await producer.transaction()
    await transaction.send({ topic, messages: Array.from({ length: count }, (_, n) => ({ value: `order ${n}` })) })
    await transaction[end]()
  }
  await producer.disconnect()
}

/** Handles `count` orders (one or two more may be on their way), commits and leaves. */
export async function handleOrders(cluster: KafkaConfig, topic: string, groupId: string, count: number) {
  const consumer = new Kafka(cluster).consumer({ groupId })
  const handled: string[] = []
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await new Promise<void>((enough, failed) => {
    const handle = async (value: string): Promise<void> => {
      handled.push(value)
      if (handled.length < count) return
      consumer.pause([{ topic }])
      enough()
    }
    consumer.run({ eachMessage: ({ message }) => handle(String(message.value)) }).catch(failed)
  })
  await consumer.disconnect()
  return handled
}
