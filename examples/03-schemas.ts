/**
 * Orders in Avro go from east to west with their schemas; a plain kafkajs consumer on west decodes them with west's registry. Every run makes
 * a topic of its own. With IDS=translate the two registries may number schemas differently, and the Mirror rewrites the ids in the records;
 * without it west's registry gets the same ids (it has to know the IMPORT mode for that, as Confluent's does).
 *
 *   EAST_BROKERS=east-1:9092 WEST_BROKERS=west-1:9092 \
 *   EAST_REGISTRY=http://east-registry:8081 WEST_REGISTRY=http://west-registry:8081 npx tsx examples/03-schemas.ts
 */
import { Kafka, logLevel } from 'kafkajs'
import { Mirror, SchemaSync } from 'twinlog'
import { consumeAvro, produceAvro, type Side } from './support/avro-service.js'

const ORDERS = 50
const east = side('EAST', 'http://localhost:8081')
const west = side('WEST', 'http://localhost:8082')
const topic = process.env.TOPIC ?? `twinlog-example-${Date.now()}`

const admin = new Kafka(east.cluster).admin()
await admin.connect()
await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] })
await admin.disconnect()
const onEast = [await produceAvro(east, topic, ['item'], ORDERS)]

// Copies what is there, then looks every few seconds for what is new.
const sync = new SchemaSync({
  source: { url: east.registry },
  target: { url: west.registry },
  subjects: new RegExp(`${topic}-.*`),
  ids: process.env.IDS === 'translate' ? 'translate' : 'preserve'
})
await sync.start()
// Records of these topics wait for their schemas: none gets to west before west's registry can tell how to read it.
const mirror = new Mirror({
  source: east.cluster,
  target: west.cluster,
  topics: topic,
  schemas: { sync, topics: topic }
})
await mirror.start()

// A new version in mid-stream. Nobody waits for the next look of SchemaSync: the first record that needs it fetches it.
onEast.push(await produceAvro(east, topic, ['item', 'colour'], ORDERS))
await mirror.caughtUp({ timeoutMs: 60_000 })
await mirror.stop()
await sync.stop()

const orders = await consumeAvro(west, topic, 2 * ORDERS)
const onWest = [...new Set(orders.map(({ id }) => id))]
console.log(`schemas ${onEast.join(', ')} of east are ${onWest.join(', ')} on west`)
console.log(`${orders.length} orders decoded on west, the last one:`, orders.at(-1)?.order)

function side(name: 'EAST' | 'WEST', registry: string): Side & { cluster: { alias: string } } {
  const brokers = (process.env[`${name}_BROKERS`] ?? 'localhost:9092').split(',')
  const cluster = { alias: name.toLowerCase(), brokers, logLevel: logLevel.ERROR }
  return { cluster, registry: process.env[`${name}_REGISTRY`] ?? registry }
}
