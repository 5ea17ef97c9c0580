import { connect } from 'node:net'
import { randomBytes } from 'node:crypto'
import { Kafka } from 'kafkajs'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { ClusterConfig } from '../../src/kafka/types.js'
import { describeProducersRequest } from '../../src/kafka/requests/describe-producers.js'
import { fencePartitions, initLinkProducer, linkTransactionalId } from '../../src/lineage/fence.js'
import { LinkState } from '../../src/lineage/link-state.js'
import { closeLanes } from '../../src/lineage/promotion.js'
import { OffsetTranslator } from '../../src/offsets/translator.js'
import { type KafkaCluster, startKafka } from '../support/kafka.js'
import { type Oracle, startOracle } from '../support/oracle.js'
import { Bed, eventually, numbered, silent, type TestRecord } from './bed.js'
import { type FrameTap, startFrameTap } from './frame-tap.js'

/**
 * What Kafka does, and what our code does about it. M5 needs lanes with an id of their own, which do not exist yet; M9 is in
 * group-sync.test.ts; M10 (a throttle must not reorder) is in test/unit/kafka/connection.test.ts.
 */
let east: KafkaCluster
let west: KafkaCluster
let oracle: Oracle
let bed: Bed

beforeAll(async () => {
  ;[east, west, oracle] = await Promise.all([startKafka({ name: 'east' }), startKafka({ name: 'west' }), startOracle()])
  bed = new Bed(east, west)
})

afterEach(async () => {
  await bed.stopMirrors()
})

afterAll(async () => {
  await bed?.close()
  await Promise.all([oracle?.close(), east?.stop(), west?.stop()])
})

async function expectEqual(topic: string, count: number): Promise<void> {
  const comparison = await oracle.compare({ source: east.bootstrap, target: west.bootstrap, sourceTopic: topic })
  expect(comparison).toMatchObject({
    equal: true,
    missing: 0,
    repeated: 0,
    outOfOrder: 0,
    altered: 0,
    extra: 0,
    targetCount: count
  })
}

async function topicId(cluster: KafkaCluster, topic: string): Promise<string> {
  return (await (await bed.client(cluster)).metadata({ topics: [topic] })).topics.get(topic)?.topicId ?? ''
}

/** Too big to be coalesced: each is a batch of its own on the target. */
const bigBatch = (name: string): TestRecord[] =>
  [0, 1, 2].map(index => ({ key: name, value: `${index}${randomBytes(20_000).toString('hex')}` }))

/** The cluster's config with every connection through the tap. */
const through = (cluster: KafkaCluster, tap: FrameTap): ClusterConfig =>
  cluster.config(cluster.name, {
    socketFactory: ({ onConnect }) => connect({ host: tap.host, port: tap.port, noDelay: true }, onConnect)
  })

describe('M1: a new partition accepts what comes behind a failed first batch', () => {
  it('one batch at a time until the first success, and pipelined from then on', async () => {
    await bed.createTopic(east, 'm1')
    await bed.createTopic(west, 'm1')
    const id = await topicId(west, 'm1')
    const target = west.brokers[0] as { host: string; port: number }
    const tap = await startFrameTap({ target, topicId: () => id, delayMs: 30, failFirst: 2 })
    try {
      for (let batch = 0; batch < 20; batch++) await bed.append(east, 'm1', bigBatch(`b${batch}`))
      const { mirror } = await bed.mirror({ link: 'm1', topics: 'm1', target: through(west, tap) })
      await mirror.caughtUp({ timeoutMs: 30_000 })
      await mirror.stop()
    } finally {
      await tap.close()
    }
    expect(tap.produces.slice(0, 3).map(({ result }) => result?.errorCode)).toEqual([100, 100, 0])
    const cautious = tap.produces.filter(({ successesBefore }) => successesBefore === 0)
    expect(Math.max(...cautious.map(({ outstanding }) => outstanding))).toBe(1)
    // Otherwise the line above would prove nothing.
    expect(Math.max(...tap.produces.map(({ outstanding }) => outstanding))).toBeGreaterThan(1)
    await expectEqual('m1', 60)
  })
})

describe('M2: a repetition is answered with the first offset and a log append time', () => {
  it('the broker tells them apart', async () => {
    await bed.createTopic(west, 'm2-raw')
    const batch = { producerId: 771_001n, producerEpoch: 0, baseSequence: 0 }
    const records = numbered('r', 5).map(record => ({ ...record, timestamp: 1_700_000_000_000 + 86_400_000 * 3_650 }))
    const young = records.map(record => ({ ...record, timestamp: Date.now() }))
    expect(await bed.appendBatch(west, 'm2-raw', young, batch)).toMatchObject({
      errorCode: 0,
      baseOffset: 0n,
      logAppendTimeMs: -1n
    })
    const again = await bed.appendBatch(west, 'm2-raw', young, batch)
    expect(again).toMatchObject({ errorCode: 0, baseOffset: 0n })
    expect(again.logAppendTimeMs).not.toBe(-1n)
  })

  it('two Mirrors copy the same lane: each repeats what the other has appended, the copy has everything once', async () => {
    await bed.createTopic(east, 'm2')
    await bed.createTopic(west, 'm2')
    const id = await topicId(west, 'm2')
    const tap = await startFrameTap({
      target: west.brokers[0] as { host: string; port: number },
      topicId: () => id,
      delayMs: 5
    })
    try {
      for (let batch = 0; batch < 40; batch++) await bed.append(east, 'm2', bigBatch(`b${batch}`))
      const both = [1, 2].map(() => bed.watch({ link: 'm2', topics: 'm2', workers: false, target: through(west, tap) }))
      await Promise.all(both.map(({ mirror }) => mirror.start()))
      await Promise.all(both.map(({ mirror }) => mirror.caughtUp({ timeoutMs: 30_000 })))
      // One more stretch with both in full swing.
      for (let batch = 0; batch < 20; batch++) await bed.append(east, 'm2', bigBatch(`c${batch}`))
      await Promise.all(both.map(({ mirror }) => mirror.caughtUp({ timeoutMs: 30_000 })))
      expect(both.flatMap(({ events }) => events['lane:failed'])).toEqual([])
      for (const { lane } of both) expect(lane('m2').targetEnd).toBe(180n)
      await bed.stopMirrors()
    } finally {
      await tap.close()
    }
    expect(tap.produces.some(({ result }) => result?.errorCode === 0 && result.logAppendTimeMs !== -1n)).toBe(true)
    await expectEqual('m2', 180)
  })
})

describe('M3: the broker compares sequences, not content', () => {
  it('other content under the same sequences is taken for a repetition', async () => {
    await bed.createTopic(west, 'm3-raw')
    const batch = { producerId: 771_002n, producerEpoch: 0, baseSequence: 0 }
    expect(await bed.appendBatch(west, 'm3-raw', numbered('mine-', 5), batch)).toMatchObject({
      errorCode: 0,
      baseOffset: 0n
    })
    expect(await bed.appendBatch(west, 'm3-raw', numbered('theirs-', 5), batch)).toMatchObject({
      errorCode: 0,
      baseOffset: 0n
    })
    expect((await bed.bounds(west, 'm3-raw')).end).toBe(5n)
  })

  it('so a lane that was begun under another plan is written to only behind a fence', async () => {
    await bed.createTopic(east, 'm3')
    await bed.createTopic(west, 'm3')
    await bed.append(east, 'm3', numbered('r', 5))
    const client = await bed.client(west)
    const state = await LinkState.open({ cluster: client, link: 'm3', logger: silent, create: true })
    const [sourceTopicId, targetTopicId] = await Promise.all([topicId(east, 'm3'), topicId(west, 'm3')])
    const lane = { sourceTopicId, sourcePartition: 0, targetTopicId, targetPartition: 0 }
    const names = {
      sourceTopic: 'm3',
      targetTopic: 'm3',
      planDigest: 'a-plan-with-a-filter-x',
      first: 0n,
      targetEnd: 0n,
      producerId: 1n,
      epoch: 0
    }
    await state?.decideBirth(lane, { ...lane, ...names })
    const { mirror } = await bed.mirror({ link: 'm3', topics: 'm3' })
    await mirror.caughtUp({ timeoutMs: 20_000 })
    const [marker, ...data] = await bed.batches(west, 'm3')
    expect(marker?.control).toBe(true)
    expect(
      data.map(({ producerId, producerEpoch, baseSequence }) => ({ producerId, producerEpoch, baseSequence }))
    ).toEqual([{ producerId: marker?.producerId, producerEpoch: marker?.producerEpoch, baseSequence: 0 }])
    await expectEqual('m3', 5)
  })
})

describe('M4: a marker of a new epoch shuts out the old one, in its partition only', () => {
  it('fencePartitions: old appends and repetitions get 47, also on an empty partition; other partitions go on; the marker shows on return', async () => {
    await bed.createTopic(west, 'm4-raw', 3)
    const cluster = await bed.client(west)
    const link = 'm4-raw'
    const { producerId, epoch } = await initLinkProducer(cluster, link)
    expect(epoch).toBe(0)
    const old = { producerId, producerEpoch: 0 }
    for (const partition of [0, 1]) {
      expect(
        await bed.appendBatch(west, 'm4-raw', numbered('a', 10), { ...old, baseSequence: 0, partition })
      ).toMatchObject({ errorCode: 0 })
    }
    const partitions = [0, 2].map(partition => ({ topic: 'm4-raw', partition }))
    const fence = await fencePartitions({
      cluster,
      transactionalId: linkTransactionalId(link),
      partitions,
      logger: silent
    })
    // Nothing is waited for here: the marker has to be there when the fence says so.
    const node = cluster.leaderOf('m4-raw', 0)?.nodeId ?? -1
    const shown = await cluster.send(
      { node },
      describeProducersRequest({ topics: [{ topic: 'm4-raw', partitions: [0, 1, 2] }] })
    )
    const epochs = shown.partitions.map(result => [
      result.partition,
      result.producers.find(known => known.producerId === producerId)?.producerEpoch
    ])
    expect(epochs.sort()).toEqual([
      [0, 1],
      [1, 0],
      [2, 1]
    ])
    expect(fence).toEqual({ producerId, epoch: 1 })
    expect((await bed.batches(west, 'm4-raw', 0)).at(-1)).toMatchObject({ control: true, producerEpoch: 1 })
    expect((await bed.batches(west, 'm4-raw', 2)).at(-1)).toMatchObject({
      control: true,
      producerEpoch: 1,
      baseOffset: 0n
    })

    expect(await bed.appendBatch(west, 'm4-raw', numbered('b', 5), { ...old, baseSequence: 10 })).toMatchObject({
      errorCode: 47
    })
    expect(await bed.appendBatch(west, 'm4-raw', numbered('a', 10), { ...old, baseSequence: 0 })).toMatchObject({
      errorCode: 47
    })
    expect(
      await bed.appendBatch(west, 'm4-raw', numbered('b', 5), { ...old, baseSequence: 0, partition: 2 })
    ).toMatchObject({ errorCode: 47 })
    expect(
      await bed.appendBatch(west, 'm4-raw', numbered('b', 5), { ...old, baseSequence: 10, partition: 1 })
    ).toMatchObject({ errorCode: 0 })
    const now = { producerId, producerEpoch: 1 }
    expect(await bed.appendBatch(west, 'm4-raw', numbered('b', 5), { ...now, baseSequence: 10 })).toMatchObject({
      errorCode: 45
    })
    expect(await bed.appendBatch(west, 'm4-raw', numbered('b', 5), { ...now, baseSequence: 0 })).toMatchObject({
      errorCode: 0,
      baseOffset: 11n
    })
  })

  it('a fenced lane that no move has closed is taken over under a new epoch, the other lane never notices; translation stays exact', async () => {
    await bed.createTopic(east, 'm4', 2)
    const { mirror, events } = await bed.mirror({ link: 'm4', topics: 'm4' })
    for (const partition of [0, 1]) await bed.append(east, 'm4', numbered('a', 10), { partition })
    await mirror.caughtUp({ timeoutMs: 20_000 })
    await fencePartitions({
      cluster: await bed.client(west),
      transactionalId: linkTransactionalId('m4'),
      partitions: [{ topic: 'm4', partition: 0 }],
      logger: silent
    })
    for (const partition of [0, 1]) await bed.append(east, 'm4', numbered('b', 10), { partition })
    await mirror.caughtUp({ timeoutMs: 20_000 })
    expect(events['lane:failed']).toEqual([])
    await expectEqual('m4', 40)
    const epochs = async (partition: number) =>
      (await bed.batches(west, 'm4', partition))
        .filter(({ control }) => !control)
        .map(({ producerEpoch, baseSequence }) => [producerEpoch, baseSequence])
    const [first, second] = await epochs(0)
    expect(first).toEqual([0, 0])
    expect(second?.[0]).toBeGreaterThan(0)
    expect(second?.[1]).toBe(0)
    expect(await epochs(1)).toEqual([
      [0, 0],
      [0, 10]
    ])
    const expected = await oracle.resumeOffsets({
      source: east.bootstrap,
      target: west.bootstrap,
      sourceTopic: 'm4',
      partition: 0
    })
    const translator = new OffsetTranslator({ source: 'east', target: west.config(), link: 'm4', logger: silent })
    await translator.connect()
    const snapshot = await translator.snapshot()
    for (let offset = 0n; offset <= 20n; offset++) {
      expect(snapshot.translate({ topic: 'm4', partition: 0, offset })).toEqual({
        kind: 'exact',
        topic: 'm4',
        partition: 0,
        offset: expected.at(offset)
      })
    }
    await translator.disconnect()
    // The next run knows the epoch and its base.
    await mirror.stop()
    const next = await bed.mirror({ link: 'm4', topics: 'm4' })
    for (const partition of [0, 1]) await bed.append(east, 'm4', numbered('c', 10), { partition })
    await next.mirror.caughtUp({ timeoutMs: 20_000 })
    await expectEqual('m4', 60)
  })
})

describe('M6: a target topic that was deleted and created again would be continued in the middle', () => {
  it('the lane fails and the new topic stays empty; a later run copies it from the beginning; the former lane is no one’s obstacle', async () => {
    await bed.createTopic(east, 'm6')
    await bed.append(east, 'm6', numbered('a', 10))
    const { mirror, laneIs } = await bed.mirror({ link: 'm6', topics: 'm6' })
    await mirror.caughtUp({ timeoutMs: 20_000 })
    // The source is quiet meanwhile, so nothing warns the lane before its next batch.
    await (await bed.admin(west)).deleteTopics({ topics: ['m6'] })
    await eventually(async () => !(await bed.topics(west)).includes('m6'))
    await eventually(() =>
      bed.createTopic(west, 'm6').then(
        () => true,
        () => false
      )
    )
    await bed.append(east, 'm6', numbered('b', 10))
    const failed = await laneIs('m6', 'failed')
    expect(failed.error).toMatchObject({ code: 'TWINLOG_TOPIC_RECREATED', cluster: 'west', topic: 'm6', partition: 0 })
    expect(await bed.batches(west, 'm6')).toEqual([])
    await mirror.stop()

    const next = await bed.mirror({ link: 'm6', topics: 'm6' })
    await next.mirror.caughtUp({ timeoutMs: 20_000 })
    await expectEqual('m6', 20)
    const translator = new OffsetTranslator({ source: 'east', target: west.config(), link: 'm6', logger: silent })
    await translator.connect()
    expect(await translator.translate({ topic: 'm6', partition: 0, offset: 13n })).toEqual({
      kind: 'exact',
      topic: 'm6',
      partition: 0,
      offset: 13n
    })
    expect((await translator.snapshot()).translate({ topic: 'm6', partition: 0, offset: 13n })).toEqual({
      kind: 'exact',
      topic: 'm6',
      partition: 0,
      offset: 13n
    })
    await translator.disconnect()
    const { lanes } = await closeLanes({
      target: await bed.client(west),
      link: 'm6',
      topics: ['m6'],
      move: { service: 's', epoch: 1 },
      logger: silent
    })
    expect(lanes).toEqual([
      { topic: 'm6', partition: 0, targetTopic: 'm6', targetPartition: 0, targetEnd: 20n, reached: 20n }
    ])
  })

  it('deleted for good: the lane waits, and other lanes go on', async () => {
    for (const topic of ['m6.gone', 'm6.stays']) await bed.createTopic(east, topic)
    const { mirror, lane, laneIs } = await bed.mirror({ link: 'm6-gone', topics: /m6\.(gone|stays)/ })
    for (const topic of ['m6.gone', 'm6.stays']) await bed.append(east, topic, numbered('a', 5))
    await mirror.caughtUp({ timeoutMs: 20_000 })
    await (await bed.admin(west)).deleteTopics({ topics: ['m6.gone'] })
    await eventually(async () => !(await bed.topics(west)).includes('m6.gone'))
    for (const topic of ['m6.gone', 'm6.stays']) await bed.append(east, topic, numbered('b', 5))
    await laneIs('m6.gone', 'starting')
    await laneIs('m6.stays', 'caught-up')
    await eventually(async () => (await bed.bounds(west, 'm6.stays')).end === 10n)
    expect(lane('m6.gone').error).toMatchObject({ topic: 'm6.gone' })
    expect(await bed.topics(west)).not.toContain('m6.gone')
  })
})

describe('M7: a log that was emptied cannot be counted', () => {
  it('position unknown when others wrote and the broker has forgotten; exact when the end is the checkpoint’s; exact while the broker remembers', async () => {
    const topics = ['m7.foreign', 'm7.exact', 'm7.remembered']
    for (const topic of topics) {
      await bed.createTopic(east, topic)
      await bed.append(east, topic, numbered('a', 10))
    }
    const first = await bed.mirror({ link: 'm7', topics: /m7\..*/ })
    await first.mirror.caughtUp({ timeoutMs: 20_000 })
    await first.mirror.stop()
    for (const topic of ['m7.foreign', 'm7.remembered']) await bed.append(west, topic, numbered('foreign-', 5))
    await bed.deleteRecords(west, 'm7.foreign', 15n)
    await bed.deleteRecords(west, 'm7.exact', 10n)
    await west.brokers[0]?.restart()
    // This one the broker has seen emptied while it ran: it still knows the last sequence.
    // Nobody leads for a moment after the restart.
    await eventually(() =>
      bed.deleteRecords(west, 'm7.remembered', 15n).then(
        () => true,
        () => false
      )
    )
    for (const topic of topics) await bed.append(east, topic, numbered('b', 10))
    const { laneIs } = await bed.mirror({ link: 'm7', topics: /m7\..*/ })
    const failed = await laneIs('m7.foreign', 'failed')
    expect(failed.error).toMatchObject({
      code: 'TWINLOG_POSITION_UNKNOWN',
      topic: 'm7.foreign',
      partition: 0,
      retriable: false
    })
    expect((await bed.bounds(west, 'm7.foreign')).end).toBe(15n)
    await laneIs('m7.exact', 'caught-up')
    await laneIs('m7.remembered', 'caught-up')
    const values = async (topic: string) =>
      (await oracle.read({ cluster: west.bootstrap, topic, partition: 0 })).map(({ value }) => value?.toString())
    for (const topic of ['m7.exact', 'm7.remembered']) {
      await eventually(async () => (await bed.bounds(west, topic)).end === (topic === 'm7.exact' ? 20n : 25n))
      expect(await values(topic)).toEqual(numbered('b', 10).map(({ value }) => value))
    }
  })
})

describe('M8: behind a trailing marker Java commits one more than kafkajs', () => {
  it('both positions translate to the same place, the end of the copy', async () => {
    await bed.createTopic(east, 'm8')
    const kafka = new Kafka(east.config())
    const producer = kafka.producer({ transactionalId: 'm8', idempotent: true, maxInFlightRequests: 1 })
    await producer.connect()
    const transaction = await producer.transaction()
    await transaction.send({ topic: 'm8', messages: numbered('r', 3) as { value: string }[] })
    await transaction.commit()
    await producer.disconnect()
    const { mirror } = await bed.mirror({ link: 'm8', topics: 'm8', syncGroups: true })
    await mirror.caughtUp({ timeoutMs: 20_000 })

    await oracle.consumeGroup({ cluster: east.bootstrap, group: 'm8-java', topic: 'm8' })
    const consumer = kafka.consumer({ groupId: 'm8-kafkajs', readUncommitted: false })
    await consumer.connect()
    await consumer.subscribe({ topic: 'm8', fromBeginning: true })
    let handled = 0
    await consumer.run({ eachMessage: async () => void handled++ })
    await eventually(() => handled === 3)
    await consumer.stop()
    await consumer.disconnect()
    const positions = async (group: string) =>
      (await oracle.committed({ cluster: east.bootstrap, group })).map(({ offset }) => offset)
    expect(await positions('m8-java')).toEqual([4n])
    expect(await positions('m8-kafkajs')).toEqual([3n])

    const synced = async (group: string) =>
      (await oracle.committed({ cluster: west.bootstrap, group })).map(({ offset }) => offset)
    for (const group of ['m8-java', 'm8-kafkajs']) {
      await eventually(async () => (await synced(group)).length === 1)
      expect(await synced(group)).toEqual([3n])
    }
    // What comes next is read by both, once.
    await bed.append(east, 'm8', numbered('next', 2))
    await mirror.caughtUp({ timeoutMs: 20_000 })
    const translator = new OffsetTranslator({ source: 'east', target: west.config(), link: 'm8', logger: silent })
    await translator.connect()
    for (const offset of [3n, 4n]) {
      expect(await translator.translate({ topic: 'm8', partition: 0, offset })).toEqual({
        kind: 'exact',
        topic: 'm8',
        partition: 0,
        offset: 3n
      })
    }
    expect(await translator.translate({ topic: 'm8', partition: 0, offset: 6n })).toEqual({
      kind: 'exact',
      topic: 'm8',
      partition: 0,
      offset: 5n
    })
    await translator.disconnect()
    expect((await oracle.consumeGroup({ cluster: west.bootstrap, group: 'm8-java', topic: 'm8' })).records).toBe(2)
  })
})
