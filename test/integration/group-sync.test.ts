import { setTimeout as sleep } from 'node:timers/promises'
import { type Consumer, Kafka } from 'kafkajs'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { CONTROL_TOPIC, type ControlRecord, encodeControlRecord } from '../../src/control/control-records.js'
import { describeGroupsRequest } from '../../src/kafka/requests/describe-groups.js'
import { offsetCommitRequest } from '../../src/kafka/requests/offset-commit.js'
import { offsetFetchRequest } from '../../src/kafka/requests/offset-fetch.js'
import { TopicLog } from '../../src/lineage/topic-log.js'
import { OffsetTranslator } from '../../src/offsets/translator.js'
import { type KafkaCluster, startKafka } from '../support/kafka.js'
import { Bed, eventually, numbered, silent, type WatchedMirror } from './bed.js'

let east: KafkaCluster
let west: KafkaCluster
let bed: Bed
const consumers: Consumer[] = []
const translators: OffsetTranslator[] = []

const TOPIC = 'groups'
/** [source offset, target offset] of the topic's partition 0: foreign records on the target, transactions on the source. */
const MAP = new Map<bigint, bigint>()

beforeAll(async () => {
  ;[east, west] = await Promise.all([startKafka({ name: 'east' }), startKafka({ name: 'west' })])
  bed = new Bed(east, west)
  await bed.createTopic(east, TOPIC, 2)
  await bed.createTopic(west, TOPIC, 2)
  await bed.append(west, TOPIC, numbered('foreign-', 100))
  const producer = new Kafka(east.config()).producer({
    transactionalId: 'groups',
    idempotent: true,
    maxInFlightRequests: 1
  })
  await producer.connect()
  // Offset 3n: three of 0, 1, marker.
  for (let round = 0; round < 20; round++) {
    const transaction = await producer.transaction()
    await transaction.send({
      topic: TOPIC,
      messages: [
        { value: `${round}-a`, partition: 0 },
        { value: `${round}-b`, partition: 0 }
      ]
    })
    await transaction.commit()
    for (const [index, place] of [0, 1, 2].entries())
      MAP.set(BigInt(round * 3 + index), BigInt(100 + round * 2 + place))
  }
  MAP.set(60n, 140n)
  await producer.disconnect()
  await bed.append(east, TOPIC, numbered('p1-', 30), { partition: 1 })
})

afterEach(async () => {
  for (const consumer of consumers.splice(0)) await consumer.disconnect()
  for (const translator of translators.splice(0)) await translator.disconnect()
  await bed.stopMirrors()
})

afterAll(async () => {
  await bed?.close()
  await Promise.all([east?.stop(), west?.stop()])
})

async function commit(
  cluster: KafkaCluster,
  groupId: string,
  offset: bigint,
  o: { partition?: number; topic?: string; metadata?: string } = {}
): Promise<number> {
  const client = await bed.client(cluster)
  const partitions = [{ partition: o.partition ?? 0, offset, leaderEpoch: -1, metadata: o.metadata ?? null }]
  let code = -1
  await eventually(async () => {
    client.forgetCoordinator({ group: groupId })
    const answer = await client.send(
      { group: groupId },
      offsetCommitRequest({
        groupId,
        generationId: -1,
        memberId: '',
        topics: [{ topic: o.topic ?? TOPIC, partitions }]
      })
    )
    code = answer.partitions[0]?.errorCode ?? -1
    // The coordinator of a new cluster is still loading.
    return ![14, 15, 16].includes(code)
  })
  return code
}

async function committed(
  cluster: KafkaCluster,
  groupId: string,
  partition = 0,
  topic = TOPIC
): Promise<bigint | undefined> {
  const client = await bed.client(cluster)
  const answer = await client.send({ group: groupId }, offsetFetchRequest({ groupId })).catch(() => undefined)
  const found = answer?.partitions.find(known => known.topic === topic && known.partition === partition)
  return found && found.errorCode === 0 && found.offset >= 0n ? found.offset : undefined
}

async function isCommitted(groupId: string, offset: bigint, partition = 0): Promise<void> {
  let seen: bigint | undefined
  const check = async () => (seen = await committed(west, groupId, partition)) === offset
  await eventually(check, () => `group ${groupId} is at ${seen} on west, not at ${offset}`)
}

/** A group with one member on west. */
async function join(groupId: string): Promise<Consumer> {
  const consumer = new Kafka(west.config()).consumer({ groupId, sessionTimeout: 10_000, heartbeatInterval: 500 })
  consumers.push(consumer)
  await consumer.connect()
  await consumer.subscribe({ topic: TOPIC })
  await consumer.run({ autoCommit: false, eachMessage: async () => undefined })
  const client = await bed.client(west)
  await eventually(async () => {
    const answer = await client.send({ group: groupId }, describeGroupsRequest({ groups: [groupId] }))
    return answer.groups[0]?.state === 'Stable'
  })
  return consumer
}

async function translator(): Promise<OffsetTranslator> {
  const made = new OffsetTranslator({ source: 'east', target: west.config(), logger: silent })
  translators.push(made)
  await made.connect()
  return made
}

async function syncing(): Promise<WatchedMirror> {
  const watched = await bed.mirror({ topics: TOPIC, syncGroups: true })
  await watched.mirror.caughtUp({ timeoutMs: 30_000 })
  return watched
}

/** The rounds of group sync come each second: a group committed now has been seen when a later one has arrived. */
async function aRoundLater(name: string): Promise<void> {
  for (const turn of [1, 2]) {
    expect(await commit(east, `probe-${name}-${turn}`, 3n)).toBe(0)
    await isCommitted(`probe-${name}-${turn}`, MAP.get(3n) as bigint)
  }
}

describe('group sync', () => {
  it('each committed offset arrives exactly translated within seconds: on records, in gaps, at the end; with its metadata', async () => {
    const { mirror, events } = await syncing()
    for (const [source] of MAP) expect(await commit(east, `at-${source}`, source, { metadata: `m${source}` })).toBe(0)
    const started = Date.now()
    await eventually(async () => (await committed(west, 'at-60')) !== undefined)
    expect(Date.now() - started).toBeLessThan(15_000)
    for (const [source, target] of MAP) await isCommitted(`at-${source}`, target)
    const client = await bed.client(west)
    const answer = await client.send({ group: 'at-7' }, offsetFetchRequest({ groupId: 'at-7' }))
    expect(answer.partitions).toMatchObject([{ topic: TOPIC, partition: 0, metadata: 'm7', leaderEpoch: -1 }])
    expect(events['group:synced'].map(({ groupId }) => groupId)).toContain('at-60')
    expect(events['group:diverged']).toEqual([])
    await eventually(() =>
      mirror.status().groups.some(({ groupId, freshnessMs }) => groupId === 'at-7' && freshnessMs < 5_000)
    )
  })

  it('a rewind of the source is followed, several partitions move one by one', async () => {
    await syncing()
    await commit(east, 'rewinding', 60n)
    await commit(east, 'rewinding', 30n, { partition: 1 })
    await isCommitted('rewinding', 140n)
    await isCommitted('rewinding', 30n, 1)
    await commit(east, 'rewinding', 6n)
    await isCommitted('rewinding', MAP.get(6n) as bigint)
    await commit(east, 'rewinding', 31n)
    await isCommitted('rewinding', MAP.get(31n) as bigint)
    expect(await committed(west, 'rewinding', 1)).toBe(30n)
  })

  it('the next Mirror knows what was written by the one before', async () => {
    const first = await syncing()
    await commit(east, 'handed-over', 12n)
    await isCommitted('handed-over', MAP.get(12n) as bigint)
    await first.mirror.stop()
    const { events } = await syncing()
    await commit(east, 'handed-over', 9n)
    await isCommitted('handed-over', MAP.get(9n) as bigint)
    expect(events['group:diverged']).toEqual([])
  })

  it('somebody else commits on the target: told once, left alone from then on', async () => {
    const { events } = await syncing()
    await commit(east, 'diverging', 12n)
    await commit(east, 'diverging', 10n, { partition: 1 })
    await isCommitted('diverging', MAP.get(12n) as bigint)
    await isCommitted('diverging', 10n, 1)
    expect(await commit(west, 'diverging', 105n)).toBe(0)
    await commit(east, 'diverging', 15n)
    await commit(east, 'diverging', 11n, { partition: 1 })
    await isCommitted('diverging', 11n, 1)
    await eventually(() => events['group:diverged'].length > 0)
    await aRoundLater('diverging')
    expect(events['group:diverged']).toEqual([
      { groupId: 'diverging', topic: TOPIC, partition: 0, offset: MAP.get(15n) }
    ])
    expect(await committed(west, 'diverging')).toBe(105n)
  })

  it('a commit that was on the target before is not overwritten', async () => {
    expect(await commit(west, 'was-there', 101n)).toBe(0)
    const { events } = await syncing()
    await commit(east, 'was-there', 12n)
    await eventually(() => events['group:diverged'].some(({ groupId }) => groupId === 'was-there'))
    expect(await committed(west, 'was-there')).toBe(101n)
  })

  it('a group in use on the target is left alone, and its positions are still known to translateGroup', async () => {
    await join('in-use')
    const { events } = await syncing()
    await commit(east, 'in-use', 21n)
    await aRoundLater('in-use')
    expect(await committed(west, 'in-use')).toBeUndefined()
    expect(events['group:synced'].map(({ groupId }) => groupId)).not.toContain('in-use')
    const translation = await (await translator()).translateGroup('in-use')
    expect(translation.partitions).toMatchObject([
      { source: { topic: TOPIC, partition: 0, offset: 21n }, target: { kind: 'exact', offset: MAP.get(21n) } }
    ])
  })

  it('negative offsets count as absent, topics that are not copied are nobody’s business', async () => {
    await bed.createTopic(east, 'not-copied')
    await syncing()
    // kafkajs writes -1 after an out-of-range.
    expect(await commit(east, 'negative', -1n)).toBe(0)
    expect(await commit(east, 'negative', 5n, { partition: 1 })).toBe(0)
    expect(await commit(east, 'negative', 5n, { topic: 'not-copied' })).toBe(0)
    await isCommitted('negative', 5n, 1)
    await aRoundLater('negative')
    expect(await committed(west, 'negative')).toBeUndefined()
    expect(await committed(west, 'negative', 0, 'not-copied')).toBeUndefined()
  })

  it('groups of a service that moves are not written, from the first word of the move; after an abort they are again', async () => {
    const control = new TopicLog(await bed.client(west), CONTROL_TOPIC)
    await control.ensure({ partitions: 1, configs: { 'cleanup.policy': 'delete' } })
    const common = { service: 'shop', epoch: 1, instance: 'a', at: new Date().toISOString() }
    const move: ControlRecord = {
      ...common,
      type: 'move',
      kind: 'switchover',
      from: 'east',
      to: 'west',
      instances: ['a'],
      topics: [TOPIC],
      groups: ['moving']
    }
    await syncing()
    await commit(east, 'moving', 12n)
    await isCommitted('moving', MAP.get(12n) as bigint)
    await control.append(0, [encodeControlRecord(move)])
    await aRoundLater('moving')
    await commit(east, 'moving', 18n)
    await aRoundLater('moving-still')
    expect(await committed(west, 'moving')).toBe(MAP.get(12n))
    await control.append(0, [encodeControlRecord({ ...common, type: 'abort', reason: 'test' })])
    await isCommitted('moving', MAP.get(18n) as bigint)
  })
})

describe('translateGroup and applyGroup, with the source off', () => {
  it('translates the last known commits, commits them by hand, and refuses what is in use (M9) or diverged', async () => {
    const watched = await syncing()
    await commit(east, 'by-hand', 33n)
    await commit(east, 'by-hand', 7n, { partition: 1 })
    await commit(east, 'busy', 33n)
    await commit(east, 'strayed', 33n)
    for (const group of ['by-hand', 'busy', 'strayed']) await isCommitted(group, MAP.get(33n) as bigint)
    await isCommitted('by-hand', 7n, 1)
    await watched.mirror.stop()
    await east.brokers[0]?.kill()

    const offsets = await translator()
    const expected = [
      {
        source: { topic: TOPIC, partition: 0, offset: 33n },
        target: { kind: 'exact', topic: TOPIC, partition: 0, offset: MAP.get(33n) }
      },
      {
        source: { topic: TOPIC, partition: 1, offset: 7n },
        target: { kind: 'exact', topic: TOPIC, partition: 1, offset: 7n }
      }
    ]
    const translation = await offsets.translateGroup('by-hand')
    expect([...translation.partitions].sort((a, b) => a.source.partition - b.source.partition)).toMatchObject(expected)
    expect(JSON.parse(JSON.stringify(translation))).toMatchObject({
      groupId: 'by-hand',
      partitions: expect.arrayContaining([expect.objectContaining({ applied: false })]) as object
    })
    expect((await offsets.translateGroup('never-heard-of')).partitions).toEqual([])

    // The target's offsets expire or are deleted: applied again by hand, a dry run first.
    await (await bed.admin(west)).deleteGroups(['by-hand'])
    expect(await committed(west, 'by-hand')).toBeUndefined()
    const dry = await offsets.applyGroup('by-hand', { dryRun: true })
    expect(dry.partitions.map(({ applied }) => applied)).toEqual([false, false])
    expect(await committed(west, 'by-hand')).toBeUndefined()
    const applied = await offsets.applyGroup('by-hand')
    expect(applied.partitions.map(partition => [partition.applied, partition.refused])).toEqual([
      [true, undefined],
      [true, undefined]
    ])
    expect(await committed(west, 'by-hand')).toBe(MAP.get(33n))
    expect(await committed(west, 'by-hand', 1)).toBe(7n)

    await (await bed.admin(west)).deleteGroups(['busy'])
    const busy = await join('busy')
    expect((await offsets.applyGroup('busy')).partitions).toMatchObject([{ applied: false, refused: 'active' }])
    expect(await committed(west, 'busy')).toBeUndefined()
    await busy.disconnect()
    await sleep(200)
    expect((await offsets.applyGroup('busy')).partitions).toMatchObject([{ applied: true }])
    expect(await committed(west, 'busy')).toBe(MAP.get(33n))

    expect(await commit(west, 'strayed', 101n)).toBe(0)
    expect((await offsets.applyGroup('strayed', { dryRun: true })).partitions).toMatchObject([
      { applied: false, refused: 'diverged' }
    ])
    expect((await offsets.applyGroup('strayed')).partitions).toMatchObject([{ applied: false, refused: 'diverged' }])
    expect(await committed(west, 'strayed')).toBe(101n)
  })
})
