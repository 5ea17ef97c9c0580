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

it('a topic is not copied back to where it came from: records would go round for ever', async () => {
  await oracle.createTopic({ cluster: east.bootstrap, topic: 'orders', partitions: 2 })
  await oracle.createTopic({ cluster: west.bootstrap, topic: 'invoices', partitions: 1 })
  await oracle.produce({ cluster: east.bootstrap, topic: 'orders', count: 500 }).done
  await oracle.produce({ cluster: west.bootstrap, topic: 'invoices', count: 500 }).done
  const options = { topics: ['orders', 'invoices'], syncGroups: false }
  const there = new Mirror({ source: east.config('east'), target: west.config('west'), ...options, topics: ['orders'] })
  const back = new Mirror({ source: west.config('west'), target: east.config('east'), ...options })
  try {
    await there.start()
    await there.caughtUp({ timeoutMs: 20_000 })
    await back.start()
    const lanes = back.status().lanes
    const states = lanes.map(lane => [lane.topic, lane.state === 'failed' ? lane.error?.code : 'copied'])
    expect(states.sort()).toEqual([
      ['invoices', 'copied'],
      ['orders', 'TWINLOG_UNSUPPORTED'],
      ['orders', 'TWINLOG_UNSUPPORTED']
    ])
    await expect(back.caughtUp({ timeoutMs: 20_000 })).rejects.toMatchObject({ code: 'TWINLOG_NOT_CAUGHT_UP' })
    expect((await oracle.count({ cluster: east.bootstrap, topic: 'orders' })).total).toBe(500)
    expect((await oracle.count({ cluster: east.bootstrap, topic: 'invoices' })).total).toBe(500)
  } finally {
    await Promise.all([there.stop(), back.stop()])
  }
})
