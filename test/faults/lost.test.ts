import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Bed, startBed } from './campaigns/bed.js'
import { expectLoss, gapContinues, recreate, recreatedWhileRunning, retentionGap } from './campaigns/cases.js'
import { eventually, numbers, placed, play, type Scene } from './campaigns/scene.js'

let bed: Bed

beforeAll(async () => {
  bed = await startBed({})
})

afterAll(async () => {
  await bed?.stop()
})

const STOP = { onGap: 'stop-partition' } as const
const GO_ON = { onGap: 'continue' } as const

describe('records that retention deleted before they were copied', () => {
  it('stop the lane, which copies nothing, until somebody decides; then it goes on behind them', () =>
    play(bed, 'gap-stop', {}, async scene => {
      await retentionGap(scene)
      const second = await scene.mirror(STOP)
      const lane = await second.laneIs('failed', 0, 'TWINLOG_GAP')
      expect(lane).toMatchObject({ reached: 100n, error: { code: 'TWINLOG_GAP', offset: 100n } })
      await expect(second.mirror.caughtUp({ timeoutMs: 5_000 })).rejects.toMatchObject({
        code: 'TWINLOG_NOT_CAUGHT_UP'
      })
      await sleep(2_000)
      expect(await scene.values('target')).toEqual(numbers(0, 100))
      expectLoss(second, 'TWINLOG_GAP')
      await second.mirror.stop()
      const third = await scene.mirror(GO_ON)
      await third.copied()
      const copied = [...placed(numbers(0, 100)), ...placed(numbers(185, 300), 185n)]
      await scene.targetBecomes(copied.map(([, value]) => value))
      await scene.expectTranslations(copied, 300n)
      return 'stopped at 100, then went on at 185'
    }))

  it('are left out under "continue", with an event, and translation is exact around them', () =>
    play(bed, 'gap-continue', {}, gapContinues))

  it('likewise when they were all that there was', () =>
    play(bed, 'gap-all', {}, async scene => {
      await scene.write(numbers(0, 50))
      const first = await scene.mirror(GO_ON)
      await first.copied()
      await first.mirror.stop()
      await scene.write(numbers(50, 90))
      await bed.oracle.deleteRecords({ ...scene.source, before: { 0: -1n } })
      const second = await scene.mirror(GO_ON)
      await second.copied()
      expectLoss(second, 'TWINLOG_GAP')
      await scene.write(numbers(90, 120))
      await second.copied()
      const copied = [...placed(numbers(0, 50)), ...placed(numbers(90, 120), 90n)]
      await scene.targetBecomes(copied.map(([, value]) => value))
      await scene.expectTranslations(copied, 120n)
      return '40 left out, 30 behind them copied'
    }))

  it('a lane that never began at offset 0 begins where the log does, without a word', () =>
    play(bed, 'gap-before', {}, async scene => {
      await scene.write(numbers(0, 100))
      await bed.oracle.deleteRecords({ ...scene.source, before: { 0: 40n } })
      const watched = await scene.mirror(STOP)
      await watched.copied()
      await scene.targetBecomes(numbers(40, 100))
      expect(watched.of('lane:gap')).toEqual([])
      return '60 copied from log start 40'
    }))
})

describe('a source topic that is deleted and created again under its name', () => {
  const old = numbers(0, 80, 'old-')
  const fresh = numbers(0, 60, 'new-')

  const whileDown = async (scene: Scene): Promise<void> => {
    await scene.write(old)
    const first = await scene.mirror()
    await first.copied()
    await first.mirror.stop()
    await recreate(scene)
    await scene.write(fresh)
  }

  it('while the mirror was down: the lane stops, and nothing is mixed', () =>
    play(bed, 'recreated-down-stop', {}, async scene => {
      await whileDown(scene)
      const second = await scene.mirror(STOP)
      await second.laneIs('failed', 0, 'TWINLOG_TOPIC_RECREATED')
      await sleep(2_000)
      expect(await scene.values('target')).toEqual(old)
      expectLoss(second, 'TWINLOG_TOPIC_RECREATED')
      await second.mirror.stop()
      const third = await scene.mirror(GO_ON)
      await third.copied()
      await scene.targetBecomes([...old, ...fresh])
      return 'failed as TWINLOG_TOPIC_RECREATED; under "continue" the new log follows'
    }))

  it('while the mirror was down: the new log follows behind the old one under "continue"', () =>
    play(bed, 'recreated-down-continue', {}, async scene => {
      await whileDown(scene)
      const second = await scene.mirror(GO_ON)
      await second.copied()
      await scene.targetBecomes([...old, ...fresh])
      expectLoss(second, 'TWINLOG_TOPIC_RECREATED')
      await scene.expectTranslations(placed(fresh), BigInt(fresh.length))
      return '80 old and 60 new records'
    }))

  it('while the mirror runs: the lane stops, and nothing is mixed', () =>
    play(bed, 'recreated-live-stop', {}, async scene => {
      await scene.write(old)
      const watched = await scene.mirror(STOP)
      await watched.copied()
      await recreate(scene)
      await scene.write(fresh)
      await watched.laneIs('failed', 0, 'TWINLOG_TOPIC_RECREATED')
      await sleep(2_000)
      expect(await scene.values('target')).toEqual(old)
      expectLoss(watched, 'TWINLOG_TOPIC_RECREATED')
      return 'failed as TWINLOG_TOPIC_RECREATED'
    }))

  it('while the mirror runs: the new log follows behind the old one under "continue"', () =>
    play(bed, 'recreated-live-continue', {}, recreatedWhileRunning))

  it('with more partitions than before: the new ones are ordinary lanes', () =>
    play(bed, 'recreated-wider', {}, async scene => {
      await whileDown(scene)
      await bed.oracle.createPartitions({ ...scene.source, partitions: 2 })
      await scene.write(numbers(0, 40, 'beside-'), 1)
      const second = await scene.mirror(GO_ON)
      await second.copied()
      await scene.targetBecomes([...old, ...fresh])
      await scene.targetBecomes(numbers(0, 40, 'beside-'), 1)
      return 'old, new and beside'
    }))

  it('deleted and not created again: the target keeps what it has', () =>
    play(bed, 'deleted', {}, async scene => {
      await scene.write(old)
      const watched = await scene.mirror()
      await watched.copied()
      await bed.oracle.deleteTopic(scene.source)
      await eventually(() =>
        watched.mirror.status().lanes.every(({ state }) => state !== 'copying' && state !== 'caught-up')
      )
      await sleep(1_000)
      expect(await scene.values('target')).toEqual(old)
      return `lanes afterwards: ${
        watched.mirror
          .status()
          .lanes.map(({ state }) => state)
          .join() || 'none'
      }`
    }))
})

describe('a target topic that is deleted under the mirror', () => {
  it('is created again, and everything is copied anew', () =>
    play(bed, 'target-deleted', {}, async scene => {
      await scene.write(numbers(0, 100))
      const watched = await scene.mirror()
      await watched.copied()
      await bed.oracle.deleteTopic(scene.target)
      await scene.write(numbers(100, 150))
      await eventually(() => watched.of('topic:created').length === 2)
      await scene.targetBecomes(numbers(0, 150))
      await watched.copied()
      await scene.expectEqual()
      await scene.expectTranslations(placed(numbers(0, 150)), 150n)
      return 'all 150 again'
    }))

  it('under load, several times, with a transactional source', () =>
    play(bed, 'target-deleted-load', { partitions: 2 }, async scene => {
      const load = bed.oracle.produce({
        ...scene.source,
        ratePerSecond: 1_000,
        recordsPerTransaction: 50,
        abortEvery: 4
      })
      const watched = await scene.mirror()
      for (let round = 1; round <= 3; round++) {
        await sleep(2_000)
        await bed.oracle.deleteTopic(scene.target)
        await eventually(() => watched.of('topic:created').length === round + 1)
      }
      await sleep(1_000)
      await load.stop()
      await watched.copied()
      await scene.expectEqual()
      return 'equal after three deletions'
    }))

  it('while it was down: the same', () =>
    play(bed, 'target-deleted-down', {}, async scene => {
      await scene.write(numbers(0, 100))
      const first = await scene.mirror()
      await first.copied()
      await first.mirror.stop()
      await bed.oracle.deleteTopic(scene.target)
      await scene.write(numbers(100, 150))
      const second = await scene.mirror()
      await second.copied()
      await scene.targetBecomes(numbers(0, 150))
      return 'all 150 again'
    }))

  it('is missed, loudly, where topics are not to be created', () =>
    play(bed, 'target-deleted-manual', {}, async scene => {
      await bed.oracle.createTopic(scene.target)
      await scene.write(numbers(0, 50))
      const watched = await scene.mirror({ createTopics: false })
      await watched.copied()
      await bed.oracle.deleteTopic(scene.target)
      await scene.write(numbers(50, 70))
      const lane = await watched.laneIs('failed', 0, 'TWINLOG_UNKNOWN_TOPIC')
      expect(lane.error?.message).toMatch(/createTopics is false/)
      await bed.oracle.createTopic(scene.target)
      await scene.targetBecomes(numbers(0, 70))
      return 'failed, and copied anew once the topic was there'
    }))
})
