import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { Transform } from '../../src/mirror/transform-types.js'
import { OffsetTranslator } from '../../src/offsets/translator.js'
import { type KafkaCluster, startKafka } from '../support/kafka.js'
import { type Oracle, startOracle } from '../support/oracle.js'
import { Bed, eventually, numbered } from './bed.js'

let east: KafkaCluster
let west: KafkaCluster
let oracle: Oracle
let bed: Bed

beforeAll(async () => {
  ;[east, west, oracle] = await Promise.all([
    startKafka({ name: 'east' }),
    startKafka({
      name: 'west',
      // Who comes by PLAINTEXT may do everything.
      authorizer: true,
      listeners: [{ name: 'SASL', protocol: 'SASL_PLAINTEXT', plainUsers: { mirror: 'mirror-pass' } }]
    }),
    startOracle()
  ])
  bed = new Bed(east, west)
})

afterEach(async () => {
  await bed.stopMirrors()
})

afterAll(async () => {
  await bed?.close()
  await Promise.all([oracle?.close(), east?.stop(), west?.stop()])
})

const values = async (topic: string, partition = 0) =>
  (await oracle.read({ cluster: west.bootstrap, topic, partition })).map(({ value }) => String(value))

describe('a principal that may not read the configuration of the target', () => {
  it('is told once what to grant, and its Mirror copies', async () => {
    const grant = (resource: { type: 'topic' | 'group' | 'transactional_id'; name: string }) =>
      oracle.acl({ cluster: west.bootstrap, change: 'add', principal: 'User:mirror', operations: ['all'], resource })
    for (const type of ['topic', 'group', 'transactional_id'] as const) await grant({ type, name: '*' })
    await bed.createTopic(east, 'unread')
    await bed.append(east, 'unread', numbered('r', 20))
    const sasl = { mechanism: 'plain', username: 'mirror', password: 'mirror-pass' } as const
    const target = west.config('west', { brokers: west.bootstrapOf('SASL'), sasl })
    const { mirror, events } = await bed.mirror({ link: 'unread', topics: 'unread', target })
    await mirror.caughtUp({ timeoutMs: 30_000 })
    await bed.append(east, 'unread', numbered('r', 20, 20))
    await mirror.caughtUp({ timeoutMs: 30_000 })
    expect(events.warning.map(({ message }) => message)).toEqual([
      expect.stringMatching(/cannot read producer\.id\.expiration\.ms of west: grant DescribeConfigs on the cluster/)
    ])
    expect(events['lane:failed']).toEqual([])
    expect(await values('unread')).toEqual(numbered('r', 40).map(({ value }) => value))
  })
})

describe('caughtUp() while a transform opens routes', () => {
  it('resolves when every routed record is on the target: new routes from three lanes at once, six times', async () => {
    await bed.createTopic(east, 'late', 3)
    const transform: Transform = async record => {
      const [round, number] = String(record.value).split('-').map(Number)
      // Slow enough to be in the middle of it when caughtUp() looks, and to have the route behind the first records.
      if (number === 20) await sleep(20)
      if (Number(number) < 20) return record
      return { ...record, topic: `late.${round}${Number(number) % 2 ? '' : '.even'}` }
    }
    const { mirror } = await bed.mirror({ link: 'late', topics: 'late', transform })
    for (let round = 0; round < 6; round++) {
      await Promise.all([0, 1, 2].map(partition => bed.append(east, 'late', numbered(`${round}-`, 40), { partition })))
      await mirror.caughtUp({ timeoutMs: 30_000 })
      const count = async (topic: string) => (await oracle.count({ cluster: west.bootstrap, topic })).total
      expect([await count(`late.${round}`), await count(`late.${round}.even`)], `round ${round}`).toEqual([30, 30])
    }
    expect((await oracle.count({ cluster: west.bootstrap, topic: 'late' })).total).toBe(360)
    for (const partition of [0, 1, 2])
      expect(await values('late.3', partition)).toEqual(
        Array.from({ length: 10 }, (_none, index) => `3-${21 + index * 2}`)
      )
  })
})

describe("retention that empties a fenced lane's target", () => {
  const kept: Transform = record => record
  const allGone = (topic: string) =>
    oracle.deleteRecords({ cluster: west.bootstrap, topic, before: { 0: -1n } }).then(starts => starts[0] ?? -1n)
  const copy = (topic: string) => bed.mirror({ link: topic, topics: topic, transform: kept })

  /** A lane that ends with a batch, and behind it the marker of an owner that copied nothing. */
  async function markerBehind(topic: string): Promise<void> {
    await bed.createTopic(east, topic)
    await bed.append(east, topic, numbered('a', 10))
    const first = await copy(topic)
    await first.mirror.caughtUp({ timeoutMs: 20_000 })
    expect(first.lane(topic).guard).toBe('fenced')
    await first.mirror.stop()
    const second = await copy(topic)
    await second.mirror.caughtUp({ timeoutMs: 20_000 })
    await second.mirror.stop()
    const batches = await bed.batches(west, topic)
    expect(batches.at(-1)?.control).toBe(true)
    expect(batches.at(-2)?.control).toBe(false)
  }

  it('its last batch and the marker behind it: the next run goes on exactly, and so does the translation', async () => {
    await markerBehind('emptied')
    const start = await allGone('emptied')
    expect(await bed.bounds(west, 'emptied')).toEqual({ start, end: start })
    await bed.append(east, 'emptied', numbered('b', 10))
    const { mirror, events } = await copy('emptied')
    await mirror.caughtUp({ timeoutMs: 30_000 })
    expect(events['lane:failed']).toEqual([])
    expect(await values('emptied')).toEqual(numbered('b', 10).map(({ value }) => value))
    const [b0] = await oracle.read({ cluster: west.bootstrap, topic: 'emptied', partition: 0, max: 1 })
    const translator = new OffsetTranslator({ source: 'east', target: west.config(), link: 'emptied' })
    await translator.connect()
    expect(await translator.translate({ topic: 'emptied', partition: 0, offset: 10n })).toMatchObject({
      kind: 'exact',
      offset: b0?.offset
    })
    await translator.disconnect()
  })

  it('while the lane stands idle behind its own marker: it goes on in the same run, and in the next', async () => {
    await markerBehind('idle')
    const first = await copy('idle')
    await first.mirror.caughtUp({ timeoutMs: 20_000 })
    await allGone('idle')
    await bed.append(east, 'idle', numbered('b', 10))
    await first.mirror.caughtUp({ timeoutMs: 20_000 })
    await allGone('idle')
    await first.mirror.stop()
    await bed.append(east, 'idle', numbered('c', 10))
    const second = await copy('idle')
    await second.mirror.caughtUp({ timeoutMs: 20_000 })
    expect([...first.events['lane:failed'], ...second.events['lane:failed']]).toEqual([])
    expect(await values('idle')).toEqual(numbered('c', 10).map(({ value }) => value))
  })

  it('a lane of transactions, whose marker is behind the last record', async () => {
    await bed.createTopic(east, 'aged')
    const old = (prefix: string) =>
      numbered(prefix, 10).map(record => ({ ...record, timestamp: Date.now() - 172_800_000 }))
    await bed.append(east, 'aged', old('a'))
    const first = await bed.mirror({ link: 'aged', topics: 'aged' })
    await first.mirror.caughtUp({ timeoutMs: 20_000 })
    expect(first.lane('aged').guard).toBe('transactional')
    await first.mirror.stop()
    await allGone('aged')
    await bed.append(east, 'aged', old('b'))
    const second = await bed.mirror({ link: 'aged', topics: 'aged' })
    await second.mirror.caughtUp({ timeoutMs: 20_000 })
    expect(await values('aged')).toEqual(numbered('b', 10).map(({ value }) => value))
  })

  it('whose target partition other lanes fill: a quiet source partition is found again', async () => {
    await bed.createTopic(east, 'fan-in', 2)
    const transform: Transform = record => ({ ...record, topic: 'all', partition: 0 })
    const run = () => bed.mirror({ link: 'fan-in', topics: 'fan-in', transform })
    await bed.append(east, 'fan-in', numbered('quiet-', 10), { partition: 1 })
    const first = await run()
    await first.mirror.caughtUp({ timeoutMs: 20_000 })
    for (let batch = 0; batch < 10; batch++) await bed.append(east, 'fan-in', numbered('busy-', 10, batch * 10))
    await first.mirror.caughtUp({ timeoutMs: 20_000 })
    await first.mirror.stop()
    await allGone('all')
    await bed.append(east, 'fan-in', numbered('quiet-', 10, 10), { partition: 1 })
    const second = await run()
    await second.mirror.caughtUp({ timeoutMs: 20_000 })
    expect(second.events['lane:failed']).toEqual([])
    expect(await values('all')).toEqual(numbered('quiet-', 10, 10).map(({ value }) => value))
  })

  it('and what somebody else wrote behind it: how far the lane had come cannot be known, and the error says what to do', async () => {
    await markerBehind('unknown')
    await bed.append(west, 'unknown', numbered('foreign-', 5))
    const start = await allGone('unknown')
    await bed.append(east, 'unknown', numbered('b', 10))
    const { laneIs, mirror } = await copy('unknown')
    const { error } = await laneIs('unknown', 'failed')
    expect(error).toMatchObject({
      code: 'TWINLOG_POSITION_UNKNOWN',
      retriable: false,
      topic: 'unknown',
      partition: 0,
      message: expect.stringMatching(
        /how far the lane had come cannot be known.*[Rr]e-create the target topic/
      ) as string
    })
    await expect(mirror.caughtUp({ timeoutMs: 5_000 })).rejects.toMatchObject({ code: 'TWINLOG_NOT_CAUGHT_UP' })
    await sleep(4_000)
    // One marker, not one for each attempt: epochs are used up.
    expect(await bed.bounds(west, 'unknown')).toEqual({ start, end: start + 1n })
    // The advice works.
    await oracle.deleteTopic({ cluster: west.bootstrap, topic: 'unknown' })
    await laneIs('unknown', 'caught-up')
    await mirror.caughtUp({ timeoutMs: 20_000 })
    await eventually(async () => (await values('unknown')).length === 20)
    expect(await values('unknown')).toEqual([...numbered('a', 10), ...numbered('b', 10)].map(({ value }) => value))
  })
})
