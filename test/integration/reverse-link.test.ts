import { afterAll, beforeAll, expect, it } from 'vitest'
import { Mirror } from '../../src/index.js'
import { type KafkaCluster, startKafka } from '../support/kafka.js'
import { type Oracle, startOracle } from '../support/oracle.js'

let east: KafkaCluster
let west: KafkaCluster
let oracle: Oracle

beforeAll(async () => {
  ;[east, west, oracle] = await Promise.all([startKafka({ name: 'east' }), startKafka({ name: 'west' }), startOracle()])
})

afterAll(async () => {
  await Promise.all([oracle?.close(), east?.stop(), west?.stop()])
})

it('one topic in both directions: each side gets what was written on the other, once, and nothing goes round', async () => {
  await oracle.createTopic({ cluster: east.bootstrap, topic: 'orders', partitions: 2 })
  await oracle.createTopic({ cluster: west.bootstrap, topic: 'orders', partitions: 2 })
  const options = { topics: ['orders'], syncGroups: false }
  const there = new Mirror({ source: east.config('east'), target: west.config('west'), ...options })
  const back = new Mirror({ source: west.config('west'), target: east.config('east'), ...options })
  const both = async () => {
    for (const mirror of [there, back, there, back]) await mirror.caughtUp({ timeoutMs: 30_000 })
    const count = async (cluster: KafkaCluster) =>
      (await oracle.count({ cluster: cluster.bootstrap, topic: 'orders' })).total
    return [await count(east), await count(west)]
  }
  try {
    await oracle.produce({ cluster: east.bootstrap, topic: 'orders', count: 500 }).done
    await Promise.all([there.start(), back.start()])
    await oracle.produce({ cluster: west.bootstrap, topic: 'orders', count: 300 }).done
    expect(await both()).toEqual([800, 800])
    await oracle.produce({ cluster: east.bootstrap, topic: 'orders', count: 50 }).done
    expect(await both()).toEqual([850, 850])
  } finally {
    await Promise.all([there.stop(), back.stop()])
  }
})
