import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { MirrorOptions } from '../../src/index.js'
import type { OracleRecord } from '../support/oracle.js'
import { corruptBatch } from '../support/segments.js'
import { type Bed, startBed } from './campaigns/bed.js'
import { eventually, numbers, onlyBroker, placed, play, type Scene, type WatchedMirror } from './campaigns/scene.js'

let bed: Bed

beforeAll(async () => {
  bed = await startBed({})
})

afterAll(async () => {
  await bed?.stop()
})

const HOUR_MS = 60 * 60 * 1000
const ANY_TIME = { 'message.timestamp.after.max.ms': '9223372036854775807' }

/** One kind of record that the target does not take. */
interface Refusal {
  name: string
  code: string
  /** Configs of the topic on the target: with them it refuses the record, with the others it takes it. */
  refusing: Record<string, string>
  taking: Record<string, string>
  source?: Record<string, string>
  bad(value: string): { key: string | null; value: string; timestamp?: number }
}

const REFUSALS: Refusal[] = [
  {
    name: 'oversize',
    code: 'TWINLOG_RECORD_TOO_LARGE',
    refusing: { 'max.message.bytes': '4000' },
    taking: { 'max.message.bytes': '1000000' },
    bad: value => ({ key: 'k', value: `${value} ${'x'.repeat(10_000)}` })
  },
  {
    name: 'future',
    code: 'TWINLOG_RECORD_REJECTED',
    refusing: { 'message.timestamp.after.max.ms': String(HOUR_MS) },
    taking: ANY_TIME,
    source: ANY_TIME,
    bad: value => ({ key: 'k', value, timestamp: Date.now() + 100 * HOUR_MS })
  },
  {
    name: 'null-key',
    code: 'TWINLOG_RECORD_REJECTED',
    refusing: { 'cleanup.policy': 'compact' },
    taking: { 'cleanup.policy': 'delete' },
    bad: value => ({ key: null, value })
  }
]

const BAD = new Set([50, 55, 130])

/** Partition 0: 200 records, three of them bad, two of those in one batch. Partition 1: nothing to complain about. */
async function writeAll({ bad }: Refusal, scene: Scene): Promise<string[]> {
  const values: string[] = []
  const record = (index: number) => {
    const made = BAD.has(index) ? bad(`bad-${index}`) : { key: 'k', value: `good-${index}` }
    values.push(made.value)
    return made
  }
  for (let from = 0; from < 200; from += 20)
    await scene.write(Array.from({ length: 20 }, (_unused, index) => record(from + index)))
  await scene.write(numbers(0, 100, 'beside-'), 1)
  return values
}

async function mirrorOf(refusal: Refusal, scene: Scene, onRecordError: MirrorOptions['onRecordError']) {
  await bed.oracle.createTopic({ ...scene.target, partitions: 2, configs: refusal.refusing })
  return scene.mirror({ onRecordError })
}

const goodOnes = (values: readonly string[]) => placed(values).filter(([, value]) => !value.startsWith('bad-'))

const besidesGoOn = (scene: Scene) => scene.targetBecomes(numbers(0, 100, 'beside-'), 1)

const dropped = (watched: WatchedMirror, event: 'record:skipped' | 'record:dead-letter', code: string) =>
  watched.of(event).map(({ partition, offset, error }) => {
    expect(error.code).toBe(code)
    return [partition, Number(offset)]
  })

const headersOf = (letter: OracleRecord | undefined) =>
  Object.fromEntries((letter?.headers ?? []).map(({ key, value }) => [key, String(value)]))

describe.each(REFUSALS)('a record that the target refuses: $name', refusal => {
  const { name, code, source } = refusal
  const topic = { partitions: 2, configs: source }

  it('stops its lane at the exact offset, and the lane goes on by itself when the target takes it', () =>
    play(bed, `${name}-stop`, topic, async scene => {
      const values = await writeAll(refusal, scene)
      const watched = await mirrorOf(refusal, scene, 'stop-partition')
      const lane = await watched.laneIs('failed', 0, code)
      expect(lane.error).toMatchObject({ topic: scene.topic, partition: 0, offset: 50n })
      expect(lane.why).toMatch(/50/)
      await besidesGoOn(scene)
      await scene.write(numbers(100, 120, 'beside-'), 1)
      await scene.targetBecomes(numbers(0, 120, 'beside-'), 1)
      await sleep(2_000)
      // Those before it in the same batch may have to wait with it, those behind it must.
      const before = await scene.values('target')
      expect(before.length).toBeLessThanOrEqual(50)
      expect(before).toEqual(values.slice(0, before.length))
      await bed.oracle.alterConfigs({ ...scene.target, configs: refusal.taking })
      const since = Date.now()
      await scene.targetBecomes(values)
      await watched.copied()
      await scene.expectEqual()
      await scene.expectTranslations(placed(values), 200n)
      return `failed at 50 with ${before.length} copied, went on ${Date.now() - since} ms after the target had been changed`
    }))

  it('is left out under "skip", with an event; the rest is there', () =>
    play(bed, `${name}-skip`, topic, async scene => {
      const values = await writeAll(refusal, scene)
      const watched = await mirrorOf(refusal, scene, 'skip')
      await watched.copied()
      expect(dropped(watched, 'record:skipped', code)).toEqual([...BAD].map(offset => [0, offset]))
      const good = goodOnes(values)
      await scene.targetBecomes(good.map(([, value]) => value))
      await besidesGoOn(scene)
      await scene.expectTranslations(good, 200n)
      await watched.mirror.stop()
      const again = await scene.mirror({ onRecordError: 'skip' })
      await scene.write(numbers(0, 20, 'later-'))
      await again.copied()
      await scene.targetBecomes([...good.map(([, value]) => value), ...numbers(0, 20, 'later-')])
      expect(again.of('record:skipped')).toEqual([])
      return `left out ${[...BAD].join(', ')}`
    }))

  it('goes to the dead-letter topic, with where it was and why', () =>
    play(bed, `${name}-dead`, topic, async scene => {
      const deadLetterTopic = `${scene.topic}-letters`
      const values = await writeAll(refusal, scene)
      const watched = await mirrorOf(refusal, scene, { deadLetterTopic })
      await watched.copied()
      expect(dropped(watched, 'record:dead-letter', code)).toEqual([...BAD].map(offset => [0, offset]))
      await scene.targetBecomes(goodOnes(values).map(([, value]) => value))
      await besidesGoOn(scene)
      const letters = await bed.oracle.read({ cluster: bed.west.bootstrap, topic: deadLetterTopic, partition: 0 })
      expect(letters.map(({ value }) => String(value))).toEqual([...BAD].map(offset => values[offset]))
      expect(letters.map(letter => headersOf(letter))).toEqual(
        [...BAD].map(offset =>
          expect.objectContaining({
            'twinlog.link': scene.topic,
            'twinlog.source.cluster': 'east',
            'twinlog.source.topic': scene.topic,
            'twinlog.source.partition': '0',
            'twinlog.source.offset': String(offset),
            'twinlog.error.code': code
          })
        )
      )
      return `${letters.length} letters`
    }))
})

describe.each(['none', 'gzip', 'lz4'] as const)('a batch that is damaged on the source (%s)', compression => {
  const code = 'TWINLOG_CORRUPT_BATCH'
  const kept = [...numbers(0, 40), ...numbers(60, 120)]

  /** 120 records in batches of 20; the one with 40..59 is damaged. Answers a function that repairs it. */
  async function damage(scene: Scene): Promise<() => Promise<void>> {
    for (let from = 0; from < 120; from += 20)
      await bed.oracle.write({
        ...scene.source,
        compression,
        steps: [{ send: numbers(from, from + 20).map(value => ({ key: 'k', value })), partition: 0 }]
      })
    await scene.write(numbers(0, 100, 'beside-'), 1)
    const broker = onlyBroker(bed.east)
    const flip = async () => {
      await broker.stop()
      corruptBatch(broker, scene.topic, 0, 45n)
      await broker.start()
    }
    await flip()
    return flip
  }

  it('stops its lane there, and the lane goes on by itself when the batch is whole again', () =>
    play(bed, `corrupt-${compression}-stop`, { partitions: 2 }, async scene => {
      const repair = await damage(scene)
      const watched = await scene.mirror({ onRecordError: 'stop-partition' })
      const lane = await watched.laneIs('failed', 0, code)
      expect(lane.error).toMatchObject({ topic: scene.topic, partition: 0, offset: 40n })
      await besidesGoOn(scene)
      await sleep(2_000)
      expect(await scene.values('target')).toEqual(numbers(0, 40))
      await repair()
      await scene.targetBecomes(numbers(0, 120))
      await watched.copied()
      await scene.expectEqual()
      return 'failed at 40, went on when it was whole'
    }))

  it('is left out under "skip", with an event', () =>
    play(bed, `corrupt-${compression}-skip`, { partitions: 2 }, async scene => {
      await damage(scene)
      const watched = await scene.mirror({ onRecordError: 'skip' })
      await watched.copied()
      expect(dropped(watched, 'record:skipped', code)).toEqual([[0, 40]])
      await scene.targetBecomes(kept)
      await besidesGoOn(scene)
      await scene.expectTranslations([...placed(numbers(0, 40)), ...placed(numbers(60, 120), 60n)], 120n)
      return 'left out 40 to 59'
    }))

  it('goes to the dead-letter topic as it is', () =>
    play(bed, `corrupt-${compression}-dead`, { partitions: 2 }, async scene => {
      await damage(scene)
      const deadLetterTopic = `${scene.topic}-letters`
      const watched = await scene.mirror({ onRecordError: { deadLetterTopic } })
      await watched.copied()
      await eventually(() => watched.of('record:dead-letter').length > 0)
      expect(dropped(watched, 'record:dead-letter', code)).toEqual([[0, 40]])
      await scene.targetBecomes(kept)
      const [letter] = await bed.oracle.read({ cluster: bed.west.bootstrap, topic: deadLetterTopic, partition: 0 })
      expect(headersOf(letter)).toMatchObject({
        'twinlog.source.offset': '40',
        'twinlog.error.code': code,
        'twinlog.value.format': 'record-batch'
      })
      expect(letter?.value?.length).toBeGreaterThan(61)
      return `a letter of ${letter?.value?.length} bytes`
    }))
})
