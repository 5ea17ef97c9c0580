import { EAGER_CLEANER } from '../support/compaction.js'
import { type KafkaCluster, startKafka } from '../support/kafka.js'
import { type Oracle, startOracle } from '../support/oracle.js'

/** Two brokers and the oracle, for all shapes of a file. */
export interface ShapesBed {
  source: KafkaCluster
  target: KafkaCluster
  oracle: Oracle
  stop(): Promise<void>
}

/** Every partition preallocates its indexes; a thousand partitions with the default of 10 MB take twice as long to create. */
const SMALL_INDEXES = { 'log.index.size.max.bytes': 65_536 }

export async function startShapesBed(): Promise<ShapesBed> {
  const started = await Promise.allSettled([
    startKafka({ name: 'east', heapMb: 640, properties: { ...SMALL_INDEXES, ...EAGER_CLEANER } }),
    startKafka({ name: 'west', heapMb: 640, properties: SMALL_INDEXES }),
    startOracle({ heapMb: 1024 })
  ])
  const stop = async (): Promise<void> => {
    const [source, target, oracle] = started
    await Promise.all([
      source.status === 'fulfilled' && source.value.stop(),
      target.status === 'fulfilled' && target.value.stop(),
      oracle.status === 'fulfilled' && oracle.value.close()
    ])
  }
  const [source, target, oracle] = started
  if (source.status === 'fulfilled' && target.status === 'fulfilled' && oracle.status === 'fulfilled')
    return { source: source.value, target: target.value, oracle: oracle.value, stop }
  await stop()
  throw started.find(each => each.status === 'rejected')?.reason
}
