import { describe, expect, it } from 'vitest'
import { TwinlogError } from '../../../src/errors.js'
import { LaneMap } from '../../../src/lineage/lane-map.js'
import { LinkState } from '../../../src/lineage/link-state.js'
import { TargetLog } from '../../../src/lineage/target-log.js'
import type { MirrorRecord } from '../../../src/mirror/transform-types.js'
import { encodeBatch } from '../../../src/records/encode.js'
import { FakeCluster } from '../lineage/fake-cluster.js'
import { records } from '../lineage/fake-partition.js'
import { LINK, prepareTarget, Process, type ProcessOptions, SILENT } from './lane-process.js'
import { committedValues, expireProducers, RacingSource, randomOf } from './racing-source.js'

const EXPIRATION_MS = 60_000
const OLD_MS = 5 * 60_000

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

interface Race {
  processes: number
  rounds: number
  /** Of each process that starts, the first one is 0. */
  options?: (started: number) => ProcessOptions
  /** Share of the rounds whose records are old. */
  old?: number
  onRound?: (race: { source: RacingSource; random: () => number }) => void
}

/** Loses answers of everything that has an effect, and requests too. */
function faultsOf(random: () => number): NonNullable<ProcessOptions['faults']> {
  const lose = (share: number): void => {
    if (random() < share) throw new TwinlogError('TWINLOG_UNREACHABLE', 'cut', { retriable: true })
  }
  return (cluster, role) => {
    cluster.before = async name => {
      if (random() < 0.3) await sleep(random() * 4)
      if (name.startsWith('data/')) lose(0.03)
    }
    if (role === 'source') return
    cluster.after = name => {
      if (name === 'data/Produce') lose(0.04)
      else if (name !== 'Fetch' && name !== 'ListOffsets') lose(name === 'EndTxn' ? 0.15 : 0.05)
    }
  }
}

async function race(seed: number, o: Race) {
  const random = randomOf(seed)
  const east = new FakeCluster('east')
  const west = new FakeCluster('west')
  const source = new RacingSource(east.createTopic('orders'), random)
  const target = west.createTopic('orders')
  prepareTarget(west)
  const processes: Process[] = []
  const failures: TwinlogError[] = []
  let started = 0
  const start = async () => {
    const own = o.options?.(started++) ?? {}
    const self: { process?: Process } = {}
    const process = await Process.start(east, west, {
      producerIdExpirationMs: EXPIRATION_MS,
      faults: faultsOf(random),
      // Right most of the time: what is wrong may cost time only.
      ownership: async (_lane, owner) => {
        const other = processes.find(one => one.manager.process === owner)
        return other && other !== self.process && !other.dead && !other.frozen && random() < 0.9
          ? 'it lives'
          : undefined
      },
      ...own
    })
    self.process = process
    return process
  }
  for (let index = 0; index < o.processes; index++) processes.push(await start())
  for (let round = 0; round < o.rounds; round++) {
    source.ageMs = random() < (o.old ?? 0) ? OLD_MS : 0
    for (let batch = 0; batch < 12; batch++) source.grow()
    o.onRound?.({ source, random })
    await sleep(random() * 60)
    if (random() < 0.25) target.append(encodeBatch({ records: records(['foreign']) }))
    if (random() < 0.5) expireProducers(target, EXPIRATION_MS)
    const index = Math.floor(random() * processes.length)
    const one = processes[index] as Process
    if (random() < 0.2) one.freeze(50 + random() * 400)
    else if (random() < 0.25) {
      failures.push(...one.failures)
      one.kill()
      processes[index] = await start()
    }
  }
  const end = source.log.end
  const deadline = Date.now() + 25_000
  const done = () => processes.some(({ lane }) => lane && lane.reached >= end && !lane.needsRecovery)
  while (!done() && Date.now() < deadline) await sleep(10)
  const states = processes.map(({ lane }) => lane?.status())
  for (const one of processes) failures.push(...one.failures)
  const complete = done()
  await Promise.all(processes.map(one => one.manager.stop(1_000)))
  const copied = committedValues(target).filter(([, value]) => value !== 'foreign')
  return { source, target, west, failures, complete, copied, states }
}

/** Failed for good, or in a way that only a bug explains. What passes by itself may show now and then. */
const fatal = (failures: TwinlogError[]) =>
  failures.filter(({ code, retriable }) => !retriable && code !== 'TWINLOG_ABORTED').map(({ message }) => message)

/** Whoever comes later finds every record again, from the target alone. */
async function expectFound({ source, west, copied }: Awaited<ReturnType<typeof race>>): Promise<void> {
  const state = await LinkState.open({ cluster: west.client, link: LINK, logger: SILENT, create: false })
  await state?.refresh()
  const lane = [...(state?.lanes ?? [])][0]
  if (!lane) throw new Error('no lane')
  const log = new TargetLog(west.client, 'orders', 0)
  const map = await LaneMap.open(log, lane, await log.bounds())
  await map.loadAll()
  const offsets = new Map(copied.map(([offset, value]) => [value, offset]))
  for (const [offset, value] of source.committed) {
    const expected = offsets.get(value)
    if (expected !== undefined) expect(map.translate(offset), value).toEqual({ kind: 'exact', offset: expected })
  }
}

describe('old records under several processes', () => {
  // Seeds from 104 on: two processes took the lane under two ids at once, and neither refused the other.
  it.each([21, 22, 104, 105, 107])(
    'are committed once and in order by lanes that anybody may copy (seed %i)',
    async seed => {
      const result = await race(seed, { processes: 3, rounds: 25, old: 0.5 })
      expect(fatal(result.failures)).toEqual([])
      expect(result.copied.map(([, value]) => value)).toEqual([...result.source.committed.values()])
      expect(result.complete, JSON.stringify(result.states, text)).toBe(true)
      await expectFound(result)
    }
  )
})

describe('lanes of one owner under several processes', () => {
  it.each([31, 32, 33])('copy once and in order, whoever takes them from whom (seed %i)', async seed => {
    const result = await race(seed, {
      processes: 3,
      rounds: 25,
      old: 0.3,
      options: () => ({ options: { onGap: 'continue' } })
    })
    expect(fatal(result.failures)).toEqual([])
    expect(result.copied.map(([, value]) => value)).toEqual([...result.source.committed.values()])
    expect(result.complete, JSON.stringify(result.states, text)).toBe(true)
    await expectFound(result)
  })

  it.each([41, 42])('copy what compaction leaves, though each reads other holes (seed %i)', async seed => {
    const gone = new Set<string>()
    const result = await race(seed, {
      processes: 3,
      rounds: 25,
      old: 0.2,
      options: () => ({ spec: { compacted: true } }),
      onRound: ({ source, random }) => {
        const bases = [...source.committed].filter(() => random() < 0.1)
        const batches = new Set(bases.map(([offset]) => offset))
        for (const [offset, value] of source.committed) {
          const alone = !source.committed.has(offset + 1n) && !source.committed.has(offset - 1n)
          if (!batches.has(offset) || !alone) continue
          source.log.compact(new Set([offset]))
          gone.add(value)
        }
      }
    })
    expect(fatal(result.failures)).toEqual([])
    const copied = result.copied.map(([, value]) => value)
    const all = [...result.source.committed.values()]
    expect(gone.size).toBeGreaterThan(3)
    const present = new Set(copied)
    expect(copied).toEqual(all.filter(value => present.has(value)))
    expect(all.filter(value => !gone.has(value) && !present.has(value))).toEqual([])
    expect(result.complete, JSON.stringify(result.states, text)).toBe(true)
  })

  it.each([51, 52])('go on in order while a filter is being changed (seed %i)', async seed => {
    const keeps = (version: number) => (value: string) => Number(value.slice(1)) % 5 !== version
    const filter = (version: number) => () => (record: MirrorRecord) =>
      keeps(version)(String(record.value)) ? record : null
    const result = await race(seed, {
      processes: 3,
      rounds: 25,
      old: 0.2,
      options: started => ({ options: { transform: filter(started % 2) } })
    })
    expect(fatal(result.failures)).toEqual([])
    const copied = result.copied.map(([, value]) => value)
    const all = [...result.source.committed.values()]
    const present = new Set(copied)
    expect(copied).toEqual(all.filter(value => present.has(value)))
    // What both keep is there, each of the rest by who copied it.
    expect(all.filter(value => keeps(0)(value) && keeps(1)(value) && !present.has(value))).toEqual([])
    expect(result.complete, JSON.stringify(result.states, text)).toBe(true)
    await expectFound(result)
  })
})

const text = (_name: string, value: unknown) => (typeof value === 'bigint' ? `${value}` : value)
