import { describe, expect, it } from 'vitest'
import { LaneMap } from '../../../src/lineage/lane-map.js'
import { LinkState, stateTopicName } from '../../../src/lineage/link-state.js'
import { TargetLog } from '../../../src/lineage/target-log.js'
import type { LinkRegistry } from '../../../src/lineage/link-registry.js'
import type { Logger } from '../../../src/logger.js'
import { LaneManager } from '../../../src/mirror/lane-manager.js'
import type { LinkBinding } from '../../../src/mirror/link-session.js'
import { isControl, viewOf } from '../../../src/records/batch.js'
import { decodeRecords } from '../../../src/records/decode.js'
import { encodeBatch } from '../../../src/records/encode.js'
import { TwinlogError } from '../../../src/errors.js'
import { FakeCluster } from '../lineage/fake-cluster.js'
import { type FakePartition, records } from '../lineage/fake-partition.js'

const LINK = 'east-west'
const LINK_ID = 70n
const TOPIC = 'orders'
const SILENT: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }

/** Mulberry32: the same seed, the same faults (as far as timers allow). */
function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** A source log with committed and aborted transactions, plain batches and markers. */
class Source {
  readonly log: FakePartition
  /** Values by source offset, as a read_committed reader sees them. */
  readonly committed = new Map<bigint, string>()
  readonly #random: () => number
  #written = 0

  constructor(log: FakePartition, random: () => number) {
    this.log = log
    this.#random = random
  }

  grow(): void {
    const producerId = 5n
    const kind = this.#random()
    const values = Array.from({ length: 1 + Math.floor(this.#random() * 6) }, () => `r${this.#written++}`)
    if (kind < 0.4) {
      this.#commit(this.log.append(encodeBatch({ records: records(values) })), values)
      return
    }
    const base = this.log.append(
      encodeBatch({ records: records(values), producerId, producerEpoch: 0, baseSequence: 0, transactional: true })
    )
    if (kind < 0.6) {
      const lastOffset = this.log.append(markerOf(this.log, producerId, 'abort'))
      this.log.aborted.push({ producerId, firstOffset: base, lastOffset })
      return
    }
    this.log.append(markerOf(this.log, producerId, 'commit'))
    this.#commit(base, values)
  }

  #commit(base: bigint, values: string[]): void {
    values.forEach((value, index) => this.committed.set(base + BigInt(index), value))
  }
}

function markerOf(log: FakePartition, producerId: bigint, type: 'abort' | 'commit'): Buffer {
  const end = log.end
  log.marker(producerId, 0, type)
  // Appended twice would be wrong: take it off again and let the caller append it.
  const bytes = (log.batches as Buffer[]).pop() as Buffer
  log.end = end
  return bytes
}

/** One process that copies. It can be killed: everything it still tries fails at once. */
class Process {
  readonly source: FakeCluster
  readonly target: FakeCluster
  readonly manager: LaneManager
  readonly failures: TwinlogError[] = []

  private constructor(source: FakeCluster, target: FakeCluster, state: LinkState) {
    this.source = source
    this.target = target
    const session = { state, producerId: LINK_ID, producerIdExpirationMs: 86_400_000, registry: {} as LinkRegistry }
    this.manager = new LaneManager({
      source: source.client,
      target: target.client,
      link: { session } as LinkBinding,
      logger: SILENT,
      events: {
        stateChanged: (lane, _from, to) => {
          if (to === 'failed' && lane.error) this.failures.push(lane.error)
        },
        gap: () => undefined
      }
    })
  }

  static async start(
    sourceTopics: FakeCluster['topics'],
    targetTopics: FakeCluster['topics'],
    faults: (target: FakeCluster) => void
  ): Promise<Process> {
    const source = new FakeCluster('east', sourceTopics)
    const target = new FakeCluster('west', targetTopics)
    const state = await LinkState.open({ cluster: target.client, link: LINK, logger: SILENT, create: false })
    if (!state) throw new Error('no state topic')
    await state.refresh()
    faults(target)
    const process = new Process(source, target, state)
    const spec = (topics: FakeCluster['topics']) => ({
      topic: TOPIC,
      topicId: topics.get(TOPIC)?.id ?? '',
      partition: 0
    })
    void process.manager.add([{ source: spec(sourceTopics), target: spec(targetTopics), maxBatchBytes: 1_000 }])
    return process
  }

  get lane() {
    return [...this.manager.lanes.values()][0]
  }

  kill(): void {
    for (const cluster of [this.source, this.target]) {
      cluster.before = cluster.after = () => {
        throw new TwinlogError('TWINLOG_ABORTED', 'this process is dead')
      }
    }
    void this.manager.stop(0)
  }
}

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

const valuesOf = (log: FakePartition) =>
  log.batches.flatMap(bytes => {
    const batch = viewOf(bytes)
    return isControl(batch.attributes)
      ? []
      : decodeRecords(batch).map(
          record => [batch.baseOffset + record.offset - batch.baseOffset, record.value?.toString() ?? ''] as const
        )
  })

async function race(seed: number, o: { processes: number; rounds: number; faulty: boolean }) {
  const random = randomOf(seed)
  const east = new FakeCluster('east')
  const west = new FakeCluster('west')
  const source = new Source(east.createTopic(TOPIC), random)
  const target = west.createTopic(TOPIC)
  west.createTopic(stateTopicName(LINK), 16)
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
  const start = () => Process.start(east.topics, west.topics, faults)
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
    expect(valuesOf(target).map(([, value]) => value)).toEqual([...source.committed.values()])
  })

  it.each([11, 12, 13, 14, 15, 16])(
    'race under lost answers, crashes and forgetful brokers without losing or repeating a record (seed %i)',
    async seed => {
      const { source, target, west, failures, done } = await race(seed, { processes: 2, rounds: 25, faulty: true })
      expect(failures).toEqual([])
      const copied = valuesOf(target).filter(([, value]) => value !== 'foreign')
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
