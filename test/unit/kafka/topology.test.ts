import { expect, it } from 'vitest'
import { Topology } from '../../../src/kafka/topology.js'
import type { ClusterMetadata } from '../../../src/kafka/types.js'

const metadata = (leader: number, leaderEpoch: number, topicId = 'A', errorCode = 0): ClusterMetadata => ({
  clusterId: 'c',
  controllerId: 1,
  brokers: new Map([[1, { nodeId: 1, host: 'h', port: 9, rack: null }]]),
  topics: new Map([
    [
      't',
      {
        name: 't',
        topicId,
        errorCode,
        internal: false,
        partitions: [{ partition: 0, errorCode: 0, leader, leaderEpoch, replicas: [], isr: [] }]
      }
    ]
  ])
})

it('an older leader epoch from a slower broker does not bring the old leader back', () => {
  const topology = new Topology()
  topology.update(metadata(1, 5), true)
  topology.update(metadata(2, 6), false)
  topology.update(metadata(1, 5), false)
  expect(topology.leaderOf('t', 0)).toEqual({ nodeId: 2, leaderEpoch: 6 })
})

it('a re-created topic starts over, whatever its epochs', () => {
  const topology = new Topology()
  topology.update(metadata(1, 5), true)
  topology.update(metadata(2, 0, 'B'), false)
  expect(topology.leaderOf('t', 0)).toEqual({ nodeId: 2, leaderEpoch: 0 })
})

it('forgets leaders that are gone, and topics that are gone', () => {
  const topology = new Topology()
  topology.update(metadata(1, 5), true)
  topology.update(metadata(-1, 6), false)
  expect(topology.leaderOf('t', 0)).toBeUndefined()
  topology.update(metadata(1, 7), false)
  topology.update(metadata(1, 7, 'A', 3), false)
  expect(topology.leaderOf('t', 0)).toBeUndefined()
  topology.update(metadata(1, 7), false)
  topology.update({ ...metadata(1, 7), topics: new Map() }, false)
  expect(topology.leaderOf('t', 0)).toBeDefined()
  topology.update({ ...metadata(1, 7), topics: new Map() }, true)
  expect(topology.leaderOf('t', 0)).toBeUndefined()
})

it('keeps the broker addresses when a broker knows nobody', () => {
  const topology = new Topology()
  topology.update(metadata(1, 5), true)
  topology.update({ ...metadata(1, 5), brokers: new Map() }, true)
  expect(topology.brokers.size).toBe(1)
})
