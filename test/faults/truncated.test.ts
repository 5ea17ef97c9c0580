import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { provokeTruncation, type Truncation } from '../support/truncation.js'
import { type Bed, startBed } from './campaigns/bed.js'
import { eventually, numbers, placed, play, type Scene, type WatchedMirror } from './campaigns/scene.js'

const UNCLEAN = { 'unclean.leader.election.enable': 'true', 'min.insync.replicas': '1' }
const records = (values: readonly string[]) => values.map(value => ({ key: 'k', value }))

describe('a source that loses its end in an unclean election', () => {
  let bed: Bed
  const kept = numbers(0, 60, 'kept-')
  const lost = numbers(0, 25, 'lost-')
  const other = numbers(0, 40, 'other-')

  beforeAll(async () => {
    bed = await startBed({ sourceBrokers: 3 })
  })

  afterAll(async () => {
    await bed?.stop()
  })

  /** The mirror has copied `kept` and `lost` when the source falls back to `kept` and goes on with other records. */
  async function truncate(scene: Scene, watched: WatchedMirror | undefined, replacement = other): Promise<Truncation> {
    return provokeTruncation({
      cluster: bed.east,
      oracle: bed.oracle,
      topic: scene.topic,
      lost: records(lost),
      replacement: records(replacement),
      beforeTheLoss: async () => {
        if (watched) await scene.targetBecomes([...kept, ...lost])
      }
    })
  }

  const expectLoss = (watched: WatchedMirror) => {
    const gaps = watched.of('lane:gap')
    expect(gaps.map(({ error }) => error.code)).toEqual(['TWINLOG_TRUNCATED'])
    expect(gaps[0]?.error).toMatchObject({ topic: expect.any(String), partition: 0 })
  }

  it('stops the lane, and nothing of the new history is mixed in', () =>
    play(bed, 'truncated-stop', { configs: UNCLEAN }, async scene => {
      await scene.write(kept)
      const watched = await scene.mirror({ onGap: 'stop-partition' })
      await watched.copied()
      await truncate(scene, watched)
      await watched.laneIs('failed', 0, 'TWINLOG_TRUNCATED')
      await sleep(2_000)
      expect(await scene.values('target')).toEqual([...kept, ...lost])
      expectLoss(watched)
      return 'failed as TWINLOG_TRUNCATED'
    }))

  it.each([
    ['longer than the lost one', other],
    ['shorter than the lost one', other.slice(0, 10)]
  ])('under "continue" the new history, %s, follows behind the lost end', (length, replacement) =>
    play(bed, `truncated-continue-${length.slice(0, 6).trim()}`, { configs: UNCLEAN }, async scene => {
      await scene.write(kept)
      const watched = await scene.mirror({ onGap: 'continue' })
      await watched.copied()
      const { divergesAt } = await truncate(scene, watched, replacement)
      expect(divergesAt).toBe(60n)
      await scene.targetBecomes([...kept, ...lost, ...replacement])
      await watched.copied()
      expectLoss(watched)
      // Which records are concerned: from where the histories part to where it had read.
      expect(watched.of('lane:gap')[0]?.error.message).toMatch(/\b60\b.*\b85\b/)
      const history = [...placed(kept), ...placed(replacement, divergesAt)]
      await scene.expectTranslations(history, divergesAt + BigInt(replacement.length))
      await watched.mirror.stop()
      await scene.write(numbers(0, 30, 'after-'))
      const again = await scene.mirror({ onGap: 'continue' })
      await again.copied()
      await scene.targetBecomes([...kept, ...lost, ...replacement, ...numbers(0, 30, 'after-')])
      expect(again.of('lane:gap')).toEqual([])
      return `60 + 25 lost + ${replacement.length} others, ${watched.of('lane:gap')[0]?.error.message}`
    })
  )

  it('while the mirror was down: the same', () =>
    play(bed, 'truncated-down', { configs: UNCLEAN }, async scene => {
      await scene.write(kept)
      let watched = await scene.mirror({ onGap: 'stop-partition' })
      await provokeTruncation({
        cluster: bed.east,
        oracle: bed.oracle,
        topic: scene.topic,
        lost: records(lost),
        replacement: records(other),
        beforeTheLoss: async () => {
          await scene.targetBecomes([...kept, ...lost])
          await watched.mirror.stop()
        }
      })
      watched = await scene.mirror({ onGap: 'stop-partition' })
      await watched.laneIs('failed', 0, 'TWINLOG_TRUNCATED')
      expectLoss(watched)
      await sleep(1_000)
      expect(await scene.values('target')).toEqual([...kept, ...lost])
      await watched.mirror.stop()
      watched = await scene.mirror({ onGap: 'continue' })
      await watched.copied()
      await scene.targetBecomes([...kept, ...lost, ...other])
      await scene.expectTranslations([...placed(kept), ...placed(other, 60n)], 100n)
      return 'failed as TWINLOG_TRUNCATED, then continued exactly'
    }))

  it('records that nobody had copied when they were lost are nobody’s loss', () =>
    play(bed, 'truncated-unseen', { configs: UNCLEAN }, async scene => {
      await scene.write(kept)
      const first = await scene.mirror()
      await first.copied()
      await first.mirror.stop()
      await truncate(scene, undefined)
      const second = await scene.mirror()
      await second.copied()
      await scene.targetBecomes([...kept, ...other])
      await scene.expectEqual()
      expect(second.of('lane:gap')).toEqual([])
      return 'equal, without an event'
    }))
})

describe('a target that loses its end in an unclean election', () => {
  let bed: Bed
  const before = numbers(0, 60)
  const all = numbers(0, 100)

  beforeAll(async () => {
    bed = await startBed({ targetBrokers: 3 })
  })

  afterAll(async () => {
    await bed?.stop()
  })

  /** What the mirror wrote to the last replica alone is gone again. */
  async function truncate(scene: Scene): Promise<void> {
    await provokeTruncation({
      cluster: bed.west,
      oracle: bed.oracle,
      topic: scene.topic,
      lost: [],
      replacement: [],
      beforeTheLoss: async () => {
        await scene.write(all.slice(60))
        await scene.targetBecomes(all)
      }
    })
  }

  const createTarget = (scene: Scene) =>
    bed.oracle.createTopic({ ...scene.target, partitions: 1, replicationFactor: 3, configs: UNCLEAN })

  it('stops the lane', () =>
    play(bed, 'target-truncated-stop', {}, async scene => {
      await createTarget(scene)
      await scene.write(before)
      const watched = await scene.mirror({ onGap: 'stop-partition' })
      await watched.copied()
      await truncate(scene)
      await scene.write(numbers(100, 120))
      await watched.laneIs('failed', 0, 'TWINLOG_TRUNCATED')
      await eventually(() => watched.of('lane:gap').length > 0)
      expect(watched.of('lane:gap').map(({ error }) => error.code)).toEqual(['TWINLOG_TRUNCATED'])
      await sleep(2_000)
      expect(await scene.values('target')).toEqual(before)
      return 'failed as TWINLOG_TRUNCATED, 60 records on the target'
    }))

  it('is filled again under "continue", exactly', () =>
    play(bed, 'target-truncated-continue', {}, async scene => {
      await createTarget(scene)
      await scene.write(before)
      const watched = await scene.mirror({ onGap: 'continue' })
      await watched.copied()
      await truncate(scene)
      await scene.write(numbers(100, 120))
      await scene.targetBecomes(numbers(0, 120))
      await watched.copied()
      await scene.expectEqual()
      expect(watched.of('lane:gap').map(({ error }) => error.code)).toEqual(['TWINLOG_TRUNCATED'])
      await scene.expectTranslations(placed(numbers(0, 120)), 120n)
      return 'equal again'
    }))
})
