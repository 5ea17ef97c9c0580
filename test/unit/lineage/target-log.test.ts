import { describe, expect, it } from 'vitest'
import { TargetLog } from '../../../src/lineage/target-log.js'
import { encodeBatch } from '../../../src/records/encode.js'
import { FakeCluster } from './fake-cluster.js'
import { records } from './fake-partition.js'

describe('bounds of a target partition', () => {
  const setUp = () => {
    const cluster = new FakeCluster('west')
    const partition = cluster.createTopic('orders')
    partition.append(encodeBatch({ records: records(['a', 'b', 'c']) }))
    return { partition, log: new TargetLog(cluster.client, 'orders', 0) }
  }

  it('end at the high watermark: what lies above it can still disappear', async () => {
    const { partition, log } = setUp()
    partition.heldAt = 1n
    expect(await log.bounds()).toEqual({ start: 0n, end: 1n })
  })

  it('settled ones wait until the replicas have what the leader has', async () => {
    const { partition, log } = setUp()
    partition.heldAt = 1n
    let settled = false
    const bounds = log.settledBounds().finally(() => {
      settled = true
    })
    await new Promise(resolve => setTimeout(resolve, 60))
    expect(settled).toBe(false)
    partition.heldAt = undefined
    expect(await bounds).toEqual({ start: 0n, end: 3n })
  })

  it('settled ones do not believe an end that is too early at once', async () => {
    const { partition, log } = setUp()
    const bounds = log.settledBounds(5n)
    await new Promise(resolve => setTimeout(resolve, 60))
    partition.append(encodeBatch({ records: records(['d', 'e']) }))
    expect(await bounds).toEqual({ start: 0n, end: 5n })
  })
})
