import { expect } from 'vitest'
import { numbers, placed, type Scene, type WatchedMirror } from './scene.js'

/** Cases that the long and the short form share. Each answers what it found. */

export function expectLoss(watched: WatchedMirror, code: string): void {
  expect(watched.of('lane:gap').map(({ partition, error }) => [partition, error.code])).toEqual([[0, code]])
}

export async function recreate(scene: Scene): Promise<void> {
  await scene.bed.oracle.deleteTopic(scene.source)
  await scene.createTopic()
}

/** 0..99 are copied, then the mirror is down; 100..299 are written and 100..184 deleted. */
export async function retentionGap(scene: Scene): Promise<void> {
  await scene.write(numbers(0, 100))
  const first = await scene.mirror()
  await first.copied()
  await first.mirror.stop()
  for (let from = 100; from < 300; from += 20) await scene.write(numbers(from, from + 20))
  await scene.bed.oracle.deleteRecords({ ...scene.source, before: { 0: 185n } })
}

export async function gapContinues(scene: Scene): Promise<string> {
  await retentionGap(scene)
  const second = await scene.mirror({ onGap: 'continue' })
  await second.copied()
  expectLoss(second, 'TWINLOG_GAP')
  const copied = [...placed(numbers(0, 100)), ...placed(numbers(185, 300), 185n)]
  await scene.targetBecomes(copied.map(([, value]) => value))
  await scene.expectTranslations(copied, 300n)
  await second.mirror.stop()
  await scene.write(numbers(300, 320))
  const third = await scene.mirror({ onGap: 'stop-partition' })
  await third.copied()
  expect(third.of('lane:gap')).toEqual([])
  await scene.targetBecomes([...numbers(0, 100), ...numbers(185, 320)])
  return '85 left out, the rest is there'
}

export async function recreatedWhileRunning(scene: Scene): Promise<string> {
  const logs = [numbers(0, 80, 'old-'), numbers(0, 60, 'new-'), numbers(0, 30, 'third-')] as const
  await scene.write(logs[0])
  const watched = await scene.mirror({ onGap: 'continue' })
  await watched.copied()
  await recreate(scene)
  await scene.write(logs[1])
  await scene.targetBecomes([...logs[0], ...logs[1]])
  await watched.copied()
  expectLoss(watched, 'TWINLOG_TOPIC_RECREATED')
  await recreate(scene)
  await scene.write(logs[2])
  await scene.targetBecomes(logs.flat())
  await watched.copied()
  await scene.expectTranslations(placed(logs[2]), 30n)
  return 'three logs, one behind the other'
}
