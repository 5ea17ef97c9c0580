/**
 * Copies one topic from east to west, says how far each partition is, and ends.
 *
 *   EAST_BROKERS=east-1:9092 WEST_BROKERS=west-1:9092 TOPIC=orders npx tsx examples/01-mirror-one-topic.ts
 */
import { Mirror } from 'twinlog'

const mirror = new Mirror({
  // A cluster is kafkajs's own config (ssl, sasl, clientId …) plus a short name.
  source: { alias: 'east', brokers: brokers('EAST_BROKERS') },
  target: { alias: 'west', brokers: brokers('WEST_BROKERS') },
  topics: process.env.TOPIC ?? 'orders'
})

// Creates the topic on west with the partitions and configs it has on east, then copies from the first record on, or from where
// an earlier run ended.
await mirror.start()
try {
  // A service would now just go on. This example waits until all that east held at this moment is on west.
  await mirror.caughtUp({ timeoutMs: 60_000 })
  const { lanes, totals } = mirror.status()
  console.table(
    lanes.map(lane => ({
      topic: lane.topic,
      partition: lane.partition,
      state: lane.state,
      'source offset': lane.reached,
      'target offset': lane.targetEnd,
      lag: lane.lagRecords
    }))
  )
  console.log(`${lanes.length} partitions, ${totals.lagRecords} records behind`)
} finally {
  await mirror.stop()
}

function brokers(variable: string): string[] {
  return (process.env[variable] ?? 'localhost:9092').split(',')
}
