import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type KafkaCluster, startKafka } from '../support/kafka.js'
import { type Oracle, startOracle } from '../support/oracle.js'
import { provokeTruncation } from '../support/truncation.js'

let cluster: KafkaCluster
let oracle: Oracle

beforeAll(async () => {
  ;[cluster, oracle] = await Promise.all([startKafka({ name: 'cut', brokers: 3, heapMb: 256 }), startOracle()])
})

afterAll(async () => {
  await oracle?.close()
  await cluster?.stop()
})

describe('an unclean election', () => {
  it('loses records that readers have seen: another content at their offsets, a lower end, a higher leader epoch', async () => {
    const on = { cluster: cluster.bootstrap, topic: 'unclean' }
    await oracle.createTopic({
      ...on,
      replicationFactor: 3,
      configs: { 'unclean.leader.election.enable': 'true', 'min.insync.replicas': '1' }
    })
    await oracle.write({ ...on, steps: [{ send: [{ value: 'kept0' }, { value: 'kept1' }] }] })
    const values = async () => (await oracle.read({ ...on, partition: 0 })).map(({ value }) => value?.toString())
    let seen: (string | undefined)[] = []
    let left: (string | undefined)[] = []
    const truncation = await provokeTruncation({
      cluster,
      oracle,
      topic: on.topic,
      lost: [{ value: 'lost0' }, { value: 'lost1' }, { value: 'lost2' }],
      replacement: [{ value: 'other0' }],
      beforeTheLoss: async () => void (seen = await values()),
      afterTheLoss: async () => void (left = await values())
    })
    expect(seen).toEqual(['kept0', 'kept1', 'lost0', 'lost1', 'lost2'])
    expect(left).toEqual(['kept0', 'kept1'])
    expect(await values()).toEqual(['kept0', 'kept1', 'other0'])
    expect(truncation).toMatchObject({ divergesAt: 2n, before: { end: 5n }, after: { end: 3n } })
    expect(truncation.after.leaderEpoch).toBeGreaterThan(truncation.before.leaderEpoch)
    expect(truncation.after.leader).not.toBe(truncation.before.leader)
  })

  it('partitions can be given to other replicas, and back to the preferred leader', async () => {
    const on = { cluster: cluster.bootstrap, topic: 'moving' }
    await oracle.createTopic({ ...on, replicationFactor: 2 })
    await oracle.reassign({ ...on, replicas: { 0: [3, 1] } })
    await oracle.electLeaders(on)
    expect(await oracle.describeTopic(on)).toMatchObject({ partitions: [{ leader: 3, replicas: [3, 1] }] })
    await oracle.reassign({ ...on, replicas: { 0: [2, 3] } })
    await oracle.electLeaders(on)
    expect(await oracle.describeTopic(on)).toMatchObject({ partitions: [{ leader: 2, replicas: [2, 3] }] })
  })
})
