import { describe, expect, it } from 'vitest'
import { LaneMap } from '../../../src/lineage/lane-map.js'
import { LinkState } from '../../../src/lineage/link-state.js'
import { TargetLog } from '../../../src/lineage/target-log.js'
import { encodeBatch } from '../../../src/records/encode.js'
import { TwinlogError } from '../../../src/errors.js'
import { FakeCluster } from '../lineage/fake-cluster.js'
import { records } from '../lineage/fake-partition.js'
import { LINK, prepareTarget, Process, SILENT } from './lane-process.js'
import { committedValues, RacingSource, randomOf } from './racing-source.js'

const TOPIC = 'orders'
const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

async function race(seed: number, o: { processes: number; rounds: number; faulty: boolean }) {
  const random = randomOf(seed)
  const east = new FakeCluster('east')
  const west = new FakeCluster('west')
  const source = new RacingSource(east.createTopic(TOPIC), random)
  const target = west.createTopic(TOPIC)
  prepareTarget(west)
  const lose = (): void => {
    if (random() < 0.05) throw new TwinlogError('TWINLOG_UNREACHABLE', 'cut', { retriable: true })
  }
  const faults = (cluster: FakeCluster): void => {
    if (!o.faulty) return
    cluster.before = async apiName => {
      if (random() < 0.3) await sleep(random() * 4)
      if (apiName.startsWith('data/')) lose()
    }
    cluster.after = apiName => {
      if (apiName === 'data/Produce') lose()
    }
  }
  const start = () => Process.start(east, west, { faults: (cluster, role) => role === 'target' && faults(cluster) })
  const processes = await Promise.all(Array.from({ length: o.processes }, start))
  const failures: TwinlogError[] = []
  for (let round = 0; round < o.rounds; round++) {
    for (let batch = 0; batch < 12; batch++) source.grow()
    await sleep(random() * 40)
    if (o.faulty && random() < 0.25) target.append(encodeBatch({ records: records(['foreign']) }))
    if (o.faulty && target.heldAt === undefined && random() < 0.3) {
      target.heldAt = target.end
      setTimeout(() => (target.heldAt = undefined), 20 + random() * 80)
    }
    if (o.faulty && random() < 0.15)
      for (const producer of target.producers.values()) producer.batches = producer.batches.slice(-1)
    if (o.faulty && random() < 0.25) {
      const index = Math.floor(random() * processes.length)
      const dead = processes[index] as Process
      failures.push(...dead.failures)
      dead.kill()
      processes[index] = await start()
    }
  }
  const end = source.log.end
  const deadline = Date.now() + 20_000
  const reached = () => processes.some(({ lane }) => (lane?.reached ?? 0n) >= end)
  while (!reached() && Date.now() < deadline && processes.some(({ lane }) => lane?.state !== 'failed')) await sleep(10)
  for (const one of processes) failures.push(...one.failures)
  await Promise.all(processes.map(one => one.manager.stop(1_000)))
  return { source, target, west, failures, done: reached() }
}

describe('lanes of several processes', () => {
  it('copy a transactional source once and in order', async () => {
    const { source, target, failures } = await race(1, { processes: 1, rounds: 5, faulty: false })
    expect(failures).toEqual([])
    expect(committedValues(target).map(([, value]) => value)).toEqual([...source.committed.values()])
  })

  it.each([11, 12, 13, 14, 15, 16])(
    'race under lost answers, crashes and forgetful brokers without losing or repeating a record (seed %i)',
    async seed => {
      const { source, target, west, failures, done } = await race(seed, { processes: 2, rounds: 25, faulty: true })
      expect(failures).toEqual([])
      const copied = committedValues(target).filter(([, value]) => value !== 'foreign')
      expect(copied.map(([, value]) => value)).toEqual([...source.committed.values()])
      expect(done).toBe(true)

      // Whoever comes later finds every record again, from the target alone.
      const state = await LinkState.open({ cluster: west.client, link: LINK, logger: SILENT, create: false })
      await state?.refresh()
      const lane = [...(state?.lanes ?? [])][0]
      if (!lane) throw new Error('no lane')
      const log = new TargetLog(west.client, TOPIC, 0)
      const map = await LaneMap.open(log, lane, await log.bounds())
      await map.loadAll()
      const offsets = new Map(copied.map(([offset, value]) => [value, offset]))
      for (const [offset, value] of source.committed)
        expect(map.translate(offset), value).toEqual({ kind: 'exact', offset: offsets.get(value) })
    }
  )
})
