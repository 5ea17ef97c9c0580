import { setTimeout as sleep } from 'node:timers/promises'
import { Kafka } from 'kafkajs'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { describeConfigsRequest } from '../../src/kafka/requests/describe-configs.js'
import { LinkState } from '../../src/lineage/link-state.js'
import { TopicLog } from '../../src/lineage/topic-log.js'
import { OffsetTranslator } from '../../src/offsets/translator.js'
import type { CompressionName } from '../../src/records/types.js'
import { type KafkaCluster, startKafka } from '../support/kafka.js'
import { type Oracle, startOracle } from '../support/oracle.js'
import { Bed, eventually, numbered, silent, type TestRecord } from './bed.js'

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

async function expectEqual(topic: string, o: { count?: number } = {}): Promise<void> {
  const comparison = await oracle.compare({ source: east.bootstrap, target: west.bootstrap, sourceTopic: topic })
  expect(comparison).toMatchObject({ equal: true, missing: 0, repeated: 0, outOfOrder: 0, altered: 0, extra: 0 })
  if (o.count !== undefined) expect(comparison.targetCount).toBe(o.count)
  else expect(comparison.targetCount).toBeGreaterThan(0)
}

describe('which topics', () => {
  it('names and patterns match whole names, exclusions win, internal topics are copied only when named exactly', async () => {
    for (const name of ['which.orders', 'which.orders.eu', 'which.payments', 'which.skipped', 'which.app.internal']) {
      await bed.createTopic(east, name)
      await bed.append(east, name, numbered('r', 3))
    }
    const byPattern = await bed.mirror({
      link: 'which-pattern',
      topics: {
        include: [/which\.(orders|skipped|app\.internal)/, 'which.payments', /__.*/, /ders/],
        exclude: [/.*skipped/]
      }
    })
    await byPattern.mirror.caughtUp({ timeoutMs: 30_000 })
    const copied = () =>
      byPattern.mirror
        .status()
        .lanes.map(lane => lane.topic)
        .sort()
    expect(copied()).toEqual(['which.orders', 'which.payments'])
    const onWest = await bed.topics(west)
    expect(onWest).not.toContain('which.orders.eu')
    expect(onWest).not.toContain('which.skipped')
    expect(onWest).not.toContain('which.app.internal')

    const byName = await bed.mirror({ link: 'which-name', topics: ['which.app.internal', 'which.orders.eu'] })
    await byName.mirror.caughtUp({ timeoutMs: 30_000 })
    await expectEqual('which.app.internal', { count: 3 })
    await expectEqual('which.orders.eu', { count: 3 })
  })

  it('a topic that appears later is found', async () => {
    const { mirror, events } = await bed.mirror({ link: 'later', topics: /later\..*/ })
    expect(events.warning.map(({ message }) => message)).toEqual([
      expect.stringContaining('no topic on the source east matches')
    ])
    await bed.createTopic(east, 'later.one')
    await bed.append(east, 'later.one', numbered('r', 5))
    await eventually(() => events['topic:created'].length === 1)
    await mirror.caughtUp({ timeoutMs: 30_000 })
    await expectEqual('later.one', { count: 5 })
  })

  it('topics are created with the source partitions and configs; the time stamp type stays CreateTime, min ISR fits the replicas', async () => {
    await bed.createTopic(east, 'configs', 3, {
      'retention.ms': '7654321000',
      'max.message.bytes': '2000000',
      'min.insync.replicas': '2',
      'message.timestamp.type': 'LogAppendTime',
      'compression.type': 'lz4'
    })
    const { events } = await bed.mirror({
      link: 'configs',
      topics: 'configs',
      createTopics: { configs: { 'segment.ms': '86400000' } }
    })
    expect(events['topic:created']).toEqual([{ topic: 'configs', partitions: 3 }])
    expect(await bed.partitions(west, 'configs')).toBe(3)
    const client = await bed.client(west)
    const answer = await client.send('any', describeConfigsRequest({ resources: [{ type: 'topic', name: 'configs' }] }))
    const value = (name: string) => answer.resources[0]?.configs.find(config => config.name === name)?.value
    expect(value('retention.ms')).toBe('7654321000')
    expect(value('max.message.bytes')).toBe('2000000')
    expect(value('compression.type')).toBe('lz4')
    expect(value('segment.ms')).toBe('86400000')
    expect(value('min.insync.replicas')).toBe('1')
    expect(value('message.timestamp.type')).toBe('CreateTime')
  })

  it('partitions that the source gains are gained by the target and copied from their beginning', async () => {
    await bed.createTopic(east, 'growing')
    const { mirror, events } = await bed.mirror({ link: 'growing', topics: 'growing' })
    await (await bed.admin(east)).createPartitions({ topicPartitions: [{ topic: 'growing', count: 3 }] })
    await eventually(async () => (await bed.partitions(east, 'growing')) === 3)
    for (const partition of [0, 1, 2]) await bed.append(east, 'growing', numbered(`p${partition}-`, 4), { partition })
    await eventually(() => events['topic:grown'].length > 0)
    expect(events['topic:grown']).toEqual([{ topic: 'growing', partitions: 3 }])
    await mirror.caughtUp({ timeoutMs: 30_000 })
    await expectEqual('growing', { count: 12 })
  })

  it('an existing target topic is used as it is, and grown when it has too few partitions', async () => {
    await bed.createTopic(east, 'existing', 2)
    await bed.createTopic(west, 'existing', 1, { 'compression.type': 'gzip' })
    await bed.append(east, 'existing', numbered('a', 10))
    await bed.append(east, 'existing', numbered('b', 10), { partition: 1, compression: 'lz4' })
    const { mirror, events } = await bed.mirror({ link: 'existing', topics: 'existing' })
    await mirror.caughtUp({ timeoutMs: 30_000 })
    expect(events['topic:created']).toEqual([])
    expect(events['topic:grown']).toEqual([{ topic: 'existing', partitions: 2 }])
    await expectEqual('existing', { count: 20 })
  })
})

describe('faithful copy', () => {
  const odd: TestRecord[] = [
    { key: null, value: null },
    { key: '', value: '' },
    {
      key: 'constructor',
      value: '__proto__',
      headers: [
        ['constructor', 'toString'],
        ['__proto__', null]
      ]
    },
    { key: 'tombstone', value: null },
    {
      key: 'repeated',
      value: 'v',
      headers: [
        ['a', '1'],
        ['b', null],
        ['a', '2'],
        ['', ''],
        ['a', '1']
      ]
    },
    { key: Buffer.from([0xff, 0x00, 0xc3, 0x28]), value: Buffer.from([0xfe, 0xff]) },
    { key: 'future', value: 'x', timestamp: Date.now() + 3_000_000 },
    { key: 'big', value: 'x'.repeat(300_000) }
  ]

  it.each(['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const satisfies CompressionName[])(
    'every kind of record, %s',
    async compression => {
      const topic = `codec-${compression}`
      await bed.createTopic(east, topic, 2)
      const { mirror } = await bed.mirror({ link: 'codecs', topics: /codec-.*/ })
      // Java writes what Java writes, whole batches and single ones; then the odd ones, alone and together.
      await oracle.produce({ cluster: east.bootstrap, topic, count: 3_000, mixed: true, compression, seed: 3 }).done
      await oracle.produce({
        cluster: east.bootstrap,
        topic,
        count: 400,
        mixed: true,
        compression,
        onePerBatch: true,
        seed: 4
      }).done
      await bed.append(east, topic, odd, { compression })
      for (const record of odd) await bed.append(east, topic, [record], { compression, partition: 1 })
      await mirror.caughtUp({ timeoutMs: 60_000 })
      await expectEqual(topic, { count: 3_400 + 2 * odd.length })
    }
  )

  it('a LogAppendTime source: the append times are the time stamps', async () => {
    await bed.createTopic(east, 'append-time', 1, { 'message.timestamp.type': 'LogAppendTime' })
    await oracle.produce({
      cluster: east.bootstrap,
      topic: 'append-time',
      count: 2_000,
      compression: 'lz4',
      timestampFrom: 1_000
    }).done
    const { mirror } = await bed.mirror({ link: 'append-time', topics: 'append-time' })
    await mirror.caughtUp({ timeoutMs: 30_000 })
    await expectEqual('append-time', { count: 2_000 })
    const [record] = await oracle.read({ cluster: west.bootstrap, topic: 'append-time', partition: 0, max: 1 })
    expect(Number(record?.timestamp)).toBeGreaterThan(Date.now() - 600_000)
  })

  it('a source of one record a batch becomes few batches', async () => {
    await bed.createTopic(east, 'singles')
    await oracle.produce({
      cluster: east.bootstrap,
      topic: 'singles',
      count: 4_000,
      onePerBatch: true,
      compression: 'lz4'
    }).done
    const { mirror } = await bed.mirror({ link: 'singles', topics: 'singles' })
    await mirror.caughtUp({ timeoutMs: 30_000 })
    await expectEqual('singles', { count: 4_000 })
    const [source, target] = await Promise.all([bed.batches(east, 'singles'), bed.batches(west, 'singles')])
    expect(source.length).toBe(4_000)
    expect(target.length).toBeLessThan(100)
  })

  it('transactions: what was committed and nothing else, while they are written and an aborted one at the end', async () => {
    await bed.createTopic(east, 'transactions', 2)
    const { mirror } = await bed.mirror({ link: 'transactions', topics: 'transactions' })
    const produced = oracle.produce({
      cluster: east.bootstrap,
      topic: 'transactions',
      count: 6_000,
      recordsPerTransaction: 5,
      abortEvery: 4,
      mixed: true
    })
    const result = await produced.done
    expect(result.aborted).toBeGreaterThan(100)
    await mirror.caughtUp({ timeoutMs: 60_000 })
    await expectEqual('transactions')
    const uncommitted = await oracle.count({
      cluster: west.bootstrap,
      topic: 'transactions',
      isolation: 'read_uncommitted'
    })
    const committed = await oracle.count({
      cluster: east.bootstrap,
      topic: 'transactions',
      isolation: 'read_committed'
    })
    expect(uncommitted.total).toBe(committed.total)
  })

  it('an open transaction holds the lane: waiting says for what, and caughtUp is about what is committed', async () => {
    await bed.createTopic(east, 'open')
    await bed.append(east, 'open', numbered('before', 5))
    const { mirror, laneIs } = await bed.mirror({ link: 'open', topics: 'open' })
    const producer = new Kafka(east.config()).producer({
      transactionalId: 'open-one',
      maxInFlightRequests: 1,
      idempotent: true
    })
    await producer.connect()
    const transaction = await producer.transaction()
    await transaction.send({ topic: 'open', messages: [{ value: 'inside' }] })
    await bed.append(east, 'open', numbered('behind', 5))
    const waiting = await laneIs('open', 'waiting')
    expect(waiting.why).toContain('open transaction')
    await mirror.caughtUp({ timeoutMs: 10_000 })
    expect((await bed.bounds(west, 'open')).end).toBe(5n)
    await transaction.commit()
    await producer.disconnect()
    await mirror.caughtUp({ timeoutMs: 10_000 })
    await expectEqual('open', { count: 11 })
  })
})

describe('a target that others write to', () => {
  it('translation stays exact with foreign records before, between and behind, by brute force over all offsets', async () => {
    const topic = 'foreign'
    await bed.createTopic(east, topic)
    await bed.createTopic(west, topic)
    await bed.append(west, topic, numbered('foreign-before-', 137))
    const { mirror } = await bed.mirror({ link: 'foreign', topics: topic })
    const producer = new Kafka(east.config()).producer({
      transactionalId: 'foreign-one',
      maxInFlightRequests: 1,
      idempotent: true
    })
    await producer.connect()
    for (let round = 0; round < 30; round++) {
      const transaction = await producer.transaction()
      await transaction.send({ topic, messages: numbered(`t${round}-`, 1 + (round % 4)) as { value: string }[] })
      if (round % 3 === 2) await transaction.abort()
      else await transaction.commit()
      await bed.append(east, topic, numbered(`plain${round}-`, 1 + (round % 11)))
      if (round % 2 === 0) await mirror.caughtUp({ timeoutMs: 20_000 })
      await bed.append(west, topic, numbered(`foreign${round}-`, 1 + (round % 5)))
    }
    await producer.disconnect()
    await mirror.caughtUp({ timeoutMs: 20_000 })
    await bed.append(west, topic, numbered('foreign-behind-', 40))
    await assertTranslation(topic, 'foreign')
  })

  /** Independent of our code: values are distinct, so each record's place is found by its value. */
  async function assertTranslation(topic: string, link: string): Promise<void> {
    const source = await oracle.read({ cluster: east.bootstrap, topic, partition: 0 })
    const target = await oracle.read({ cluster: west.bootstrap, topic, partition: 0 })
    const places = new Map(target.map(record => [record.value?.toString(), record.offset]))
    expect(places.size).toBe(target.length)
    const copies = source.map(record => places.get(record.value?.toString()) ?? -1n)
    expect(copies.every((offset, index) => offset > (copies[index - 1] ?? -1n))).toBe(true)
    const [{ end } = { end: 0n }] = await oracle.endOffsets({ cluster: east.bootstrap, topic })
    const translator = new OffsetTranslator({ source: 'east', target: west.config(), link })
    await translator.connect()
    try {
      const snapshot = await translator.snapshot()
      const wrong: string[] = []
      for (let offset = 0n; offset <= end; offset++) {
        const next = source.findIndex(record => record.offset >= offset)
        const expected = next < 0 ? (copies.at(-1) ?? -1n) + 1n : copies[next]
        const whole = snapshot.translate({ topic, partition: 0, offset })
        const single = await translator.translate({ topic, partition: 0, offset })
        for (const answer of [whole, single]) {
          const got = answer.kind === 'exact' ? answer.offset : answer.kind
          if (got !== expected) wrong.push(`${offset}: ${got} instead of ${expected}`)
        }
      }
      expect(wrong.slice(0, 10)).toEqual([])
      expect(Number(end)).toBeGreaterThan(200)
    } finally {
      await translator.disconnect()
    }
  }
})

describe('a Mirror that comes and goes', () => {
  it('the next run goes on without repeating, with gaps and odd places to stop at', async () => {
    await bed.createTopic(east, 'resumed', 2)
    for (let run = 0; run < 4; run++) {
      const { mirror } = await bed.mirror({ link: 'resumed', topics: 'resumed' })
      const job = oracle.produce({
        cluster: east.bootstrap,
        topic: 'resumed',
        count: 1_500,
        recordsPerTransaction: 3,
        abortEvery: 2,
        seed: run + 10,
        transactionalId: 'resumed'
      })
      // Stopped in the middle of the traffic, and once with nothing to do.
      if (run === 3) {
        await job.done
        await mirror.caughtUp({ timeoutMs: 30_000 })
      }
      await mirror.stop()
      await job.done
    }
    await expectEqual('resumed')
    const idle = await bed.mirror({ link: 'resumed', topics: 'resumed' })
    const before = await bed.bounds(west, 'resumed')
    await idle.mirror.caughtUp({ timeoutMs: 20_000 })
    expect(await bed.bounds(west, 'resumed')).toEqual(before)
  })

  it('links in both directions run in one process without touching each other', async () => {
    await bed.createTopic(east, 'ring.east')
    await bed.createTopic(west, 'ring.west')
    const there = await bed.mirror({ topics: 'ring.east' })
    const back = await bed.mirror({ source: west.config(), target: east.config(), topics: 'ring.west' })
    const [first, second] = [
      oracle.produce({ cluster: east.bootstrap, topic: 'ring.east', count: 3_000, seed: 21 }),
      oracle.produce({ cluster: west.bootstrap, topic: 'ring.west', count: 3_000, seed: 22, recordsPerTransaction: 10 })
    ]
    await Promise.all([first.done, second.done])
    await Promise.all([there.mirror.caughtUp({ timeoutMs: 30_000 }), back.mirror.caughtUp({ timeoutMs: 30_000 })])
    await expectEqual('ring.east', { count: 3_000 })
    expect(
      await oracle.compare({ source: west.bootstrap, target: east.bootstrap, sourceTopic: 'ring.west' })
    ).toMatchObject({ equal: true, targetCount: 3_000 })
    expect([there.mirror.status().link, back.mirror.status().link]).toEqual(['east-west', 'west-east'])
    expect(await bed.topics(west)).toContain('twinlog.east-west.internal')
    expect(await bed.topics(east)).toContain('twinlog.west-east.internal')
  })

  it('stop is idempotent and a stopped Mirror starts again', async () => {
    await bed.createTopic(east, 'again')
    const { mirror } = await bed.mirror({ link: 'again', topics: 'again' })
    await Promise.all([mirror.stop(), mirror.stop()])
    await mirror.stop()
    await bed.append(east, 'again', numbered('r', 9))
    await mirror.start()
    await mirror.caughtUp({ timeoutMs: 20_000 })
    await expectEqual('again', { count: 9 })
  })
})

describe('pause, status, caughtUp', () => {
  it('a paused topic stands still, others go on; resume with an equal selector lasts beyond the next discovery', async () => {
    await bed.createTopic(east, 'paused.a')
    await bed.createTopic(east, 'paused.b')
    const { mirror, lane, laneIs } = await bed.mirror({ link: 'paused', topics: /paused\..*/ })
    mirror.pause(['paused.a'])
    await bed.append(east, 'paused.a', numbered('r', 5))
    await bed.append(east, 'paused.b', numbered('r', 5))
    await laneIs('paused.b', 'caught-up')
    await eventually(async () => (await bed.bounds(west, 'paused.b')).end === 5n)
    await expect(mirror.caughtUp({ timeoutMs: 300 })).rejects.toMatchObject({
      code: 'TWINLOG_NOT_CAUGHT_UP',
      topic: 'paused.a',
      partition: 0
    })
    expect(lane('paused.a').state).toBe('paused')
    expect((await bed.bounds(west, 'paused.a')).end).toBe(0n)
    mirror.resume(['paused.a'])
    await mirror.caughtUp({ timeoutMs: 10_000 })
    // Two discoveries later it still runs.
    await sleep(600)
    expect(lane('paused.a').state).toBe('caught-up')
    await expectEqual('paused.a', { count: 5 })
  })

  it('a topic found later is paused when everything is, and one resumed out of all keeps running', async () => {
    await bed.createTopic(east, 'held.a')
    const { mirror, laneIs, lane } = await bed.mirror({ link: 'held', topics: /held\..*/ })
    mirror.pause()
    await bed.createTopic(east, 'held.b')
    await laneIs('held.b', 'paused')
    mirror.resume('held.a')
    await bed.append(east, 'held.a', numbered('r', 5))
    await laneIs('held.a', 'caught-up')
    await sleep(600)
    expect(lane('held.a').state).not.toBe('paused')
    expect(lane('held.b').state).toBe('paused')
    mirror.resume()
    await laneIs('held.b', 'caught-up')
  })

  it('status is an immutable picture that JSON can carry; caughtUp answers watermarks', async () => {
    await bed.createTopic(east, 'status')
    await bed.append(east, 'status', numbered('r', 12))
    const { mirror, events } = await bed.mirror({ link: 'status', topics: 'status' })
    const marks = await mirror.caughtUp({ timeoutMs: 20_000 })
    expect(marks.lanes).toEqual([
      { topic: 'status', partition: 0, sourceEnd: 12n, targetTopic: 'status', targetPartition: 0, targetEnd: 12n }
    ])
    expect(JSON.parse(JSON.stringify(marks))).toMatchObject({ lanes: [{ sourceEnd: '12', targetEnd: '12' }] })
    await eventually(() => mirror.status().lanes[0]?.state === 'caught-up')
    const status = mirror.status()
    expect(status.lanes[0]).toMatchObject({
      state: 'caught-up',
      guard: 'stable',
      sourceEnd: 12n,
      position: 12n,
      reached: 12n,
      targetEnd: 12n,
      lagRecords: 0n,
      lagMs: 0
    })
    expect(JSON.parse(JSON.stringify(status))).toMatchObject({
      link: 'status',
      lanes: [{ sourceEnd: '12', lagRecords: '0' }],
      totals: { lagRecords: '0' }
    })
    expect(() => ((status.lanes as unknown[])[0] = null)).toThrow(TypeError)
    expect(() => ((status.lanes[0] as { state: string }).state = 'x')).toThrow(TypeError)
    expect(events['lane:state'].map(({ to }) => to)).toContain('caught-up')
    expect(events['lane:state'][0]).toMatchObject({ topic: 'status', partition: 0, from: 'starting' })
    expect(events['lane:failed']).toEqual([])
    await mirror.stop()
    await expect(mirror.caughtUp()).rejects.toMatchObject({ code: 'TWINLOG_INVALID_STATE' })
  })
})

describe('what is refused or stops, and leaves the others alone', () => {
  it('compacted topics and records that are too old for plain batches are copied behind a fence; the others need none', async () => {
    await bed.createTopic(east, 'guards.compacted', 1, { 'cleanup.policy': 'compact' })
    await bed.createTopic(east, 'guards.both', 1, { 'cleanup.policy': 'compact,delete' })
    await bed.createTopic(east, 'guards.old', 2)
    await bed.createTopic(east, 'guards.fine')
    await bed.append(east, 'guards.compacted', [{ key: 'a', value: '1' }])
    await bed.append(east, 'guards.both', [{ key: 'a', value: '1' }])
    await bed.append(east, 'guards.old', [{ value: 'old', timestamp: Date.now() - 2 * 86_400_000 }])
    await bed.append(east, 'guards.old', numbered('young', 3), { partition: 1 })
    await bed.append(east, 'guards.fine', numbered('r', 3))
    const { mirror, lane, events } = await bed.mirror({ link: 'guards', topics: /guards\..*/ })
    await mirror.caughtUp({ timeoutMs: 20_000 })
    expect(events['lane:failed']).toEqual([])
    for (const topic of ['guards.compacted', 'guards.both']) {
      expect(lane(topic)).toMatchObject({ guard: 'fenced', guardWhy: 'the source topic is compacted' })
      await expectEqual(topic, { count: 1 })
    }
    expect(lane('guards.old')).toMatchObject({ guard: 'transactional' })
    expect(lane('guards.old', 1).guard).toBe('stable')
    expect(lane('guards.fine').guard).toBe('stable')
    expect(lane('guards.fine').guardWhy).toBeUndefined()
    await expectEqual('guards.old', { count: 4 })
    await expectEqual('guards.fine', { count: 3 })
    expect((await bed.batches(west, 'guards.old', 1)).some(batch => batch.control)).toBe(false)
  })

  it('records that grow old behind young ones, and young ones behind them', async () => {
    await bed.createTopic(east, 'aged')
    await bed.append(east, 'aged', numbered('young', 4))
    const { mirror, lane } = await bed.mirror({ link: 'aged', topics: 'aged' })
    await mirror.caughtUp({ timeoutMs: 10_000 })
    expect(lane('aged').guard).toBe('stable')
    await bed.append(east, 'aged', [{ value: 'old', timestamp: Date.now() - 2 * 86_400_000 }])
    await mirror.caughtUp({ timeoutMs: 10_000 })
    expect(lane('aged').guard).toBe('transactional')
    await bed.append(east, 'aged', numbered('young', 4, 4))
    await mirror.caughtUp({ timeoutMs: 10_000 })
    expect(lane('aged').guard).toBe('fenced')
    await expectEqual('aged', { count: 9 })
  })

  it('records deleted before they were copied: TWINLOG_GAP, nothing is skipped', async () => {
    await bed.createTopic(east, 'lost')
    await bed.append(east, 'lost', numbered('a', 10))
    const first = await bed.mirror({ link: 'lost', topics: 'lost' })
    await first.mirror.caughtUp({ timeoutMs: 20_000 })
    await first.mirror.stop()
    await bed.append(east, 'lost', numbered('b', 10))
    await bed.deleteRecords(east, 'lost', 15n)
    const { laneIs, events } = await bed.mirror({ link: 'lost', topics: 'lost' })
    const lane = await laneIs('lost', 'failed')
    expect(lane.error).toMatchObject({ code: 'TWINLOG_GAP', topic: 'lost', partition: 0, offset: 10n })
    expect(events['lane:gap']).toMatchObject([{ topic: 'lost', partition: 0, error: { code: 'TWINLOG_GAP' } }])
    expect((await bed.bounds(west, 'lost')).end).toBe(10n)
  })

  it('records deleted after they were copied are no loss', async () => {
    await bed.createTopic(east, 'trimmed')
    await bed.append(east, 'trimmed', numbered('a', 10))
    const first = await bed.mirror({ link: 'trimmed', topics: 'trimmed' })
    await first.mirror.caughtUp({ timeoutMs: 20_000 })
    await first.mirror.stop()
    await bed.deleteRecords(east, 'trimmed', 10n)
    await bed.append(east, 'trimmed', numbered('b', 5))
    const second = await bed.mirror({ link: 'trimmed', topics: 'trimmed' })
    await second.mirror.caughtUp({ timeoutMs: 20_000 })
    expect((await bed.bounds(west, 'trimmed')).end).toBe(15n)
  })

  it('a source topic that was deleted and created again is not continued in the middle, in the same run or the next', async () => {
    await bed.createTopic(east, 'reborn')
    await bed.append(east, 'reborn', numbered('first-life-', 10))
    const first = await bed.mirror({ link: 'reborn', topics: 'reborn' })
    await first.mirror.caughtUp({ timeoutMs: 20_000 })
    await (await bed.admin(east)).deleteTopics({ topics: ['reborn'] })
    await eventually(async () => !(await bed.topics(east)).includes('reborn'))
    await eventually(() =>
      bed.createTopic(east, 'reborn').then(
        () => true,
        () => false
      )
    )
    await bed.append(east, 'reborn', numbered('second-life-', 25))
    await eventually(() => first.events['lane:failed'].some(({ error }) => error.code === 'TWINLOG_TOPIC_RECREATED'))
    await sleep(600)
    expect((await bed.bounds(west, 'reborn')).end).toBe(10n)
    await first.mirror.stop()
    const next = await bed.mirror({ link: 'reborn', topics: 'reborn' })
    const lane = await next.laneIs('reborn', 'failed')
    expect(lane.error).toMatchObject({ code: 'TWINLOG_TOPIC_RECREATED', topic: 'reborn' })
    expect((await bed.bounds(west, 'reborn')).end).toBe(10n)
  })
})

describe('the state topic', () => {
  async function stateOf(link: string): Promise<TopicLog> {
    const log = new TopicLog(await bed.client(west), `twinlog.${link}.internal`)
    await log.ensure({ partitions: 16, configs: { 'cleanup.policy': 'compact' } })
    return log
  }

  it('an unknown version is a clear error before anything is written', async () => {
    await bed.createTopic(east, 'versions')
    await (await stateOf('versions')).append(0, [
      { key: Buffer.from('link'), value: Buffer.from('{"v":7,"link":"versions"}') }
    ])
    const before = await bed.topics(west)
    const { mirror } = bed.watch({ link: 'versions', topics: 'versions' })
    await expect(mirror.start()).rejects.toMatchObject({
      code: 'TWINLOG_STATE_INVALID',
      message: expect.stringMatching(/version 7.*version 1.*update/) as string
    })
    expect(await bed.topics(west)).toEqual(before)
  })

  it('a link that is bound to another source cluster is a clear error before anything is written', async () => {
    await bed.createTopic(east, 'bound')
    const state = await stateOf('bound')
    const entry = {
      v: 1,
      link: 'bound',
      sourceAlias: 'east',
      targetAlias: 'west',
      sourceClusterId: 'SomeOtherClusterXXXXXX',
      targetClusterId: west.clusterId
    }
    await state.append(0, [{ key: Buffer.from('link'), value: Buffer.from(JSON.stringify(entry)) }])
    const before = await bed.topics(west)
    const { mirror } = bed.watch({ link: 'bound', topics: 'bound' })
    await expect(mirror.start()).rejects.toMatchObject({
      code: 'TWINLOG_INVALID_STATE',
      message: expect.stringMatching(/SomeOtherClusterXXXXXX.*another link name/) as string
    })
    expect(await bed.topics(west)).toEqual(before)
    expect(await state.endOffset(0)).toBe(1n)
  })

  it('costs little: bytes per million gaps, caught up in bulk and followed live', async () => {
    const figures: Record<string, string> = {}
    // One-record transactions: a gap each. 10,000 in bulk cost no more bytes a gap, only more seconds.
    for (const way of ['bulk', 'live'] as const) {
      const topic = `size-${way}`
      await bed.createTopic(east, topic)
      const running = way === 'live' ? await bed.mirror({ link: topic, topics: topic }) : undefined
      const count = way === 'live' ? 500 : 1_000
      await oracle.produce({ cluster: east.bootstrap, topic, count, recordsPerTransaction: 1, transactionalId: topic })
        .done
      const { mirror } = running ?? (await bed.mirror({ link: topic, topics: topic }))
      await mirror.caughtUp({ timeoutMs: 60_000 })
      await expectEqual(topic, { count })
      let bytes = 0
      for (let partition = 0; partition < 16; partition++) {
        for (const batch of await bed.batches(west, `twinlog.${topic}.internal`, partition)) bytes += batch.bytes
      }
      const perMillion = (bytes / count) * 1_000_000
      figures[way] = `${count} gaps: ${bytes} bytes, ${(perMillion / 1e6).toFixed(2)} MB per million gaps`
      // Before compaction, tombstones and checkpoints included.
      expect(perMillion).toBeLessThan(way === 'bulk' ? 10e6 : 250e6)
    }
    console.log('state topic:', figures)
  })
})

describe('a source broker that restarts', () => {
  it('a transaction that is open meanwhile ends under a later leader epoch: its marker is no truncation, in this run or the next', async () => {
    await bed.createTopic(east, 'epochs')
    await bed.append(east, 'epochs', numbered('before', 5))
    const { mirror, events } = await bed.mirror({ link: 'epochs', topics: 'epochs' })
    await mirror.caughtUp({ timeoutMs: 20_000 })
    for (const commit of [true, false]) {
      const end = await bed.openTransaction(east, 'epochs', 'epochs', [{ value: `commit ${commit}` }])
      await east.brokers[0]?.restart()
      await end(commit)
      await mirror.caughtUp({ timeoutMs: 30_000 })
      // The lane fetches behind the marker now.
      await sleep(1_500)
      expect(events['lane:failed']).toEqual([])
    }
    await mirror.stop()
    await bed.append(east, 'epochs', numbered('after', 5))
    const next = await bed.mirror({ link: 'epochs', topics: 'epochs' })
    await next.mirror.caughtUp({ timeoutMs: 20_000 })
    expect(next.events['lane:failed']).toEqual([])
    await expectEqual('epochs', { count: 11 })
  })

  it('a source that is behind what was copied from it is found at the start, not only while copying', async () => {
    await bed.createTopic(east, 'behind')
    await bed.append(east, 'behind', numbered('a', 5))
    const first = await bed.mirror({ link: 'behind', topics: 'behind' })
    await first.mirror.caughtUp({ timeoutMs: 20_000 })
    await first.mirror.stop()
    // As if the records had been copied under a leader epoch that the source does not know any more.
    const state = await LinkState.open({
      cluster: await bed.client(west),
      link: 'behind',
      logger: silent,
      create: false
    })
    await state?.refresh()
    const [lane] = [...(state?.lanes ?? [])]
    const checkpoint = lane?.checkpoint
    expect(checkpoint).toMatchObject({ next: 5n, reached: 5n, sourceLeaderEpoch: 0 })
    if (!lane || !checkpoint) return
    await state?.writeCheckpoints([{ lane: lane.key, checkpoint: { ...checkpoint, sourceLeaderEpoch: 4 } }])
    await bed.append(east, 'behind', numbered('others', 5))
    const { laneIs, events } = await bed.mirror({ link: 'behind', topics: 'behind' })
    expect((await laneIs('behind', 'failed')).error).toMatchObject({
      code: 'TWINLOG_TRUNCATED',
      topic: 'behind',
      message: expect.stringContaining('does not know leader epoch 4') as string
    })
    expect(events['lane:gap']).toHaveLength(1)
    expect((await bed.bounds(west, 'behind')).end).toBe(5n)
  })
})
