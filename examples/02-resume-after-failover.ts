/**
 * A consumer group handles half of a topic on east, then east is gone and the group goes on upon west, at exactly the record where
 * it stopped. Every run makes a topic and a group of its own.
 *
 *   EAST_BROKERS=east-1:9092 WEST_BROKERS=west-1:9092 npx tsx examples/02-resume-after-failover.ts
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { logLevel } from 'kafkajs'
import { Mirror, OffsetTranslator } from 'twinlog'
import { handleOrders, ORDERS, produceOrders } from './support/orders-service.js'

const east = { alias: 'east', brokers: brokers('EAST_BROKERS'), logLevel: logLevel.ERROR }
const west = { alias: 'west', brokers: brokers('WEST_BROKERS'), logLevel: logLevel.ERROR }
const topic = process.env.TOPIC ?? `twinlog-example-${Date.now()}`
const groupId = `${topic}-workers`

await produceOrders(east, topic)
const before = await handleOrders(east, topic, groupId, ORDERS / 2)

// The Mirror copies the topic and, about once a second, what groups have committed. In a service it runs all the time; here it
// stops as soon as it has everything: the records, and the group as it is now.
const mirror = new Mirror({ source: east, target: west, topics: topic })
await mirror.start()
await mirror.caughtUp({ timeoutMs: 60_000 })
const caughtUpAt = Date.now()
const groupSeenAt = () =>
  Date.now() - (mirror.status().groups.find(g => g.groupId === groupId)?.freshnessMs ?? Infinity)
while (groupSeenAt() <= caughtUpAt) await sleep(100)
await mirror.stop()

// East is gone: nobody talks to it from here on. The translator reads all it needs from west.
const translator = new OffsetTranslator({ source: 'east', target: west })
await translator.connect()
const { partitions } = await translator.applyGroup(groupId)
await translator.disconnect()
for (const { source, target } of partitions) {
  if (target.kind !== 'exact') throw new Error(`partition ${source.partition} is ${target.kind}: not all was copied`)
  console.log(`partition ${source.partition}: east ${source.offset} is west ${target.offset}`)
}

// The same consumer, connected to the other cluster.
const after = await handleOrders(west, topic, groupId, ORDERS - before.length)
const different = new Set([...before, ...after]).size
console.log(`${before.length} handled on east, ${after.length} on west: ${different} different orders of ${ORDERS}`)
process.exitCode = different === ORDERS ? 0 : 1

function brokers(variable: string): string[] {
  return (process.env[variable] ?? 'localhost:9092').split(',')
}
