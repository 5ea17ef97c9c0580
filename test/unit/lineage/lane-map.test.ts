import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Gap } from '../../../src/lineage/gap-table.js'
import { LaneMap, type LanePosition } from '../../../src/lineage/lane-map.js'
import { LaneState } from '../../../src/lineage/lane-state.js'
import { birthEpoch, type LaneEpoch, sequenceOf } from '../../../src/lineage/sequence.js'
import { TargetLog } from '../../../src/lineage/target-log.js'
import { FakeCluster } from './fake-cluster.js'
import { dataBatch, type FakePartition } from './fake-partition.js'
import { birth } from './births.js'

const LINK_ID = 70n
const OWN_ID = 71n

/** A lane as it came to be: what was written to the target in which order, and what each source offset stands for. */
interface Step {
  kind:
    | 'ours'
    | 'foreign'
    | 'marker'
    | 'epoch'
    /** Ours in transactions of the lane's own id. */
    | 'committed'
    | 'aborted'
    /** The source has lost its end and goes on from further down (`gap` offsets below). */
    | 'era'
    /** The target has lost the last `count` batches. */
    | 'truncated'
  count: number
  /** Source offsets without a record before our batch. */
  gap: number
  /** So many records more are made of the batch's last source record. */
  expand?: number
}

interface Scene {
  origin: bigint
  before: number
  steps: Step[]
  /** Where the checkpoint stands: so many steps are behind it. */
  checkpointAt: number
  /** Source offsets known to be a gap behind the checkpoint. */
  resting: number
  trim: number
  responseBytes: number
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.oneof(
    { weight: 6, arbitrary: fc.constant('ours' as const) },
    { weight: 3, arbitrary: fc.constant('foreign' as const) },
    { weight: 1, arbitrary: fc.constant('marker' as const) },
    { weight: 1, arbitrary: fc.constantFrom('epoch' as const, 'committed' as const, 'aborted' as const) },
    { weight: 1, arbitrary: fc.constantFrom('era' as const, 'truncated' as const) }
  ),
  expand: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 3 })),
  count: fc.integer({ min: 1, max: 5 }),
  gap: fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 4 }))
})

const scene: fc.Arbitrary<Scene> = fc.record({
  origin: fc.bigInt({ min: 0n, max: 20n }),
  before: fc.integer({ min: 0, max: 6 }),
  steps: fc.array(step, { maxLength: 25 }),
  checkpointAt: fc.integer({ min: 0, max: 25 }),
  resting: fc.integer({ min: 0, max: 3 }),
  trim: fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 60 })),
  responseBytes: fc.constantFrom(1, 200, 1 << 20)
})

class World {
  readonly cluster = new FakeCluster('west')
  readonly target: FakePartition
  readonly log: TargetLog
  readonly state = new LaneState('lane')
  readonly origin: bigint
  /** Target offset of each source record, by source offset. */
  records = new Map<bigint, bigint>()
  source: bigint
  next: bigint
  identity: LaneEpoch = birthEpoch(LINK_ID)
  laneEnd: bigint
  reached: bigint
  /** Lowest source offset that the lane tells about. */
  begin: bigint
  /** Highest source offset there ever was. */
  highest: bigint
  /** Our batches on the target, each with where the lane was before it; those that a loss of the target may take. */
  batches: { offset: bigint; next: bigint; source: bigint; behind: bigint; laneEnd: bigint }[] = []
  /** Source offset behind the last record. */
  behind: bigint
  /** Histories of the source that are over: where the next one began, and their records. */
  readonly former: { until: bigint; records: Map<bigint, bigint> }[] = []

  constructor(origin: bigint, before: number) {
    this.target = this.cluster.createTopic('orders')
    this.log = new TargetLog(this.cluster.client, 'orders', 0)
    if (before > 0) this.target.append(dataBatch(before))
    this.origin = this.begin = this.highest = origin
    this.source = this.behind = this.next = origin
    this.laneEnd = this.target.end
    this.reached = origin
    this.state.addBirth(birth({ first: origin, targetEnd: this.target.end }))
  }

  write(count: number, gap = 0, o: { expand?: number | undefined; transactional?: boolean } = {}): void {
    const { expand = 0, transactional = false } = o
    const before = { next: this.next, source: this.source, behind: this.behind, laneEnd: this.laneEnd }
    if (gap > 0) {
      this.addGap({ ordinal: this.next, from: this.source, length: BigInt(gap) })
      this.source += BigInt(gap)
    }
    const offset = this.target.append(this.batch(count + expand, transactional))
    for (let index = 0; index < count; index++) this.records.set(this.source + BigInt(index), offset + BigInt(index))
    this.source += BigInt(count)
    this.next += BigInt(count)
    for (let index = 0; index < expand; index++) this.addGap({ ordinal: this.next++, from: this.source, length: -1n })
    this.laneEnd = this.target.end
    this.reached = this.behind = this.source
    if (this.source > this.highest) this.highest = this.source
    this.batches.push({ ...before, offset })
  }

  addGap(gap: Gap): void {
    this.state.addGaps({ producerId: this.identity.producerId, epoch: this.identity.epoch, gaps: [gap] })
  }

  batch(count: number, transactional = false): Buffer {
    const { producerId, epoch: producerEpoch } = this.identity
    return dataBatch(count, {
      producerId,
      producerEpoch,
      baseSequence: sequenceOf(this.next, this.identity),
      transactional
    })
  }

  /** A new identity, of the lane's own id once it has one. */
  takeEpoch(own = false, targetEnd?: bigint): void {
    const had = this.identity.own === true
    const producerId = own || had ? OWN_ID : LINK_ID
    const epoch = own && !had ? 0 : this.identity.epoch + 1
    this.identity = { producerId, epoch, base: this.next, firstSequence: 0, ...(own || had ? { own: true } : {}) }
    if (targetEnd !== undefined) this.identity.targetEnd = targetEnd
    this.target.marker(producerId, epoch)
    this.state.addEpoch(this.identity)
  }

  run({ kind, count, gap, expand }: Step): void {
    if (kind === 'ours') this.write(count, gap, { expand })
    else if (kind === 'foreign')
      this.target.append(dataBatch(count, { producerId: 9n, producerEpoch: 0, baseSequence: 3 }))
    else if (kind === 'marker') this.target.marker(9n, 0)
    else if (kind === 'epoch') this.takeEpoch()
    else if (kind === 'era') this.beginEra(gap)
    else if (kind === 'truncated') this.loseTarget(count)
    else if (kind === 'committed') this.commit(count, gap, expand)
    else this.abort(count)
  }

  commit(count: number, gap: number, expand?: number): void {
    if (this.identity.own !== true) this.takeEpoch(true)
    this.write(count, gap, { expand, transactional: true })
    this.target.append(dataBatch(1))
    this.write(1, 0, { transactional: true })
    this.target.marker(OWN_ID, this.identity.epoch, 'commit')
    // Within a transaction there is nothing to lose: both or none.
    this.batches.pop()
  }

  abort(count: number): void {
    if (this.identity.own !== true) this.takeEpoch(true)
    this.target.append(this.batch(count, true))
    this.target.append(dataBatch(1))
    this.target.marker(OWN_ID, this.identity.epoch + 1, 'abort')
    this.takeEpoch(true)
  }

  beginEra(back: number): void {
    const start = this.source > BigInt(back) ? this.source - BigInt(back) : 0n
    this.takeEpoch(false, this.laneEnd)
    this.addGap({ ordinal: this.next, from: this.behind, length: start - this.behind, era: start })
    this.former.push({ until: start, records: this.records })
    this.records = new Map()
    this.source = this.reached = start
    if (start < this.begin) this.begin = start
    this.batches = []
  }

  loseTarget(count: number): void {
    const lost = this.batches.splice(-count)[0]
    if (!lost) return
    this.target.truncate(lost.offset)
    for (const [record, offset] of [...this.records]) if (offset >= lost.offset) this.records.delete(record)
    this.next = lost.next
    this.source = this.reached = lost.source
    this.behind = lost.behind
    this.laneEnd = lost.laneEnd
    this.takeEpoch(false, this.laneEnd)
  }

  checkpoint(resting = 0): void {
    if (this.next === this.origin && resting === 0) return
    const reached = this.source + BigInt(resting)
    const { producerId, epoch } = this.identity
    const place = { next: this.next, targetEnd: this.laneEnd, sourceLeaderEpoch: 0, reached }
    this.state.addCheckpoint({ ...place, producerId, epoch })
  }

  async map(): Promise<LaneMap> {
    return LaneMap.open(this.log, this.state, await this.log.bounds())
  }

  /** By counting. */
  truth(source: bigint): LanePosition {
    const atLeast = (offset: bigint) => (offset > this.target.start ? offset : this.target.start)
    const histories = [...this.former.map(({ records }) => records), this.records]
    // The newest history that reaches down to here; what it did not get to is followed by the next one.
    const from = this.former.findLastIndex(({ until }) => until <= source) + 1
    const first = histories
      .slice(from)
      .flatMap((records, index) => [...records].filter(([record]) => index > 0 || record >= source))[0]
    const offset = atLeast(first ? first[1] : this.laneEnd)
    if (source < this.begin) return { kind: 'before-mirrored', offset }
    if (first || source <= this.reached) return { kind: 'exact', offset: first ? offset : this.laneEnd }
    return { kind: 'beyond-mirrored', offset: this.laneEnd, missing: { from: this.reached, to: source } }
  }
}

function play(given: Scene): World {
  const world = new World(given.origin, given.before)
  world.target.responseBytes = given.responseBytes
  given.steps.forEach((one, index) => {
    if (index === given.checkpointAt) world.checkpoint()
    world.run(one)
  })
  if (given.checkpointAt >= given.steps.length) {
    world.checkpoint(given.resting)
    world.reached = world.state.checkpoint?.reached ?? world.reached
  }
  // Where retention has outrun the checkpoint, nobody can know how far the lane had come.
  const known = world.state.resumeFrom.targetEnd
  if (given.trim > 0) world.target.trim(BigInt(given.trim) < known ? BigInt(given.trim) : known)
  return world
}

async function answer(map: LaneMap, source: bigint): Promise<LanePosition | undefined> {
  if (map.translate(source) === undefined) await map.load(source)
  return map.translate(source)
}

const offsetsOf = (world: World) =>
  Array.from(
    { length: Number(world.highest - world.begin) + 12 },
    (_unused, index) => world.begin - 4n + BigInt(index)
  ).filter(source => source >= 0n)

describe('LaneMap', () => {
  it('answers every source offset as counting does, one by one from the target alone', async () => {
    await fc.assert(
      fc.asyncProperty(scene, fc.boolean(), async (given, backwards) => {
        const world = play(given)
        const map = await world.map()
        expect(map.reached).toBe(world.reached)
        expect(map.end).toEqual({ next: world.next, offset: world.laneEnd })
        const sources = offsetsOf(world)
        for (const source of backwards ? sources.reverse() : sources)
          expect(await answer(map, source), `source offset ${source}`).toEqual(world.truth(source))
      }),
      { numRuns: 300 }
    )
  })

  it('answers every source offset without I/O once all of it is loaded', async () => {
    await fc.assert(
      fc.asyncProperty(scene, async given => {
        const world = play(given)
        const map = await world.map()
        await map.loadAll()
        world.cluster.before = () => {
          throw new Error('asked the cluster')
        }
        for (const source of offsetsOf(world))
          expect(map.translate(source), `source offset ${source}`).toEqual(world.truth(source))
      }),
      { numRuns: 300 }
    )
  })

  it('follows the lane: what was answered stays, what is new is found', async () => {
    await fc.assert(
      fc.asyncProperty(
        scene,
        fc.array(fc.tuple(step, fc.boolean()), { minLength: 1, maxLength: 12 }),
        async (given, more) => {
          const world = play({ ...given, trim: 0, resting: 0 })
          const map = await world.map()
          for (const [one, checkpoint] of more) {
            world.run(one)
            if (checkpoint) world.checkpoint()
            await map.update(world.state, await world.log.bounds())
            expect(map.reached).toBe(world.reached)
            for (const source of offsetsOf(world))
              expect(await answer(map, source), `source offset ${source}`).toEqual(world.truth(source))
          }
        }
      ),
      { numRuns: 100 }
    )
  })

  it('finds every record that compaction has left, and resumes at the next one where it took some', async () => {
    const batches = fc.array(
      fc.record({ count: fc.integer({ min: 1, max: 4 }), foreign: fc.integer({ min: 0, max: 3 }), gone: fc.boolean() }),
      { minLength: 1, maxLength: 25 }
    )
    await fc.assert(
      fc.asyncProperty(
        batches,
        fc.integer({ min: 0, max: 5 }),
        fc.boolean(),
        fc.constantFrom(1, 200, 1 << 20),
        async (given, before, atOnce, responseBytes) => {
          const world = new World(3n, before)
          world.target.responseBytes = responseBytes
          for (const { count, foreign } of given) {
            world.write(count)
            if (foreign > 0) world.target.append(dataBatch(foreign))
          }
          const gone = given.map(({ gone: taken }, index) => taken && index < given.length - 1)
          world.target.compact(
            new Set(world.batches.filter((_batch, index) => gone[index]).map(({ offset }) => offset))
          )
          const map = await world.map()
          if (atOnce) await map.loadAll()
          for (const [source, offset] of world.records) {
            const index = world.batches.findLastIndex(batch => batch.next <= source)
            const surviving = world.batches.findIndex((_batch, later) => later >= index && !gone[later])
            const next = world.batches[surviving] as World['batches'][number]
            const expected = surviving === index ? offset : next.offset - (next.next - source)
            expect(await answer(map, source), `source offset ${source}`).toEqual({ kind: 'exact', offset: expected })
          }
        }
      ),
      { numRuns: 300 }
    )
  })

  it('says so when a batch is missing from a log that was not compacted', async () => {
    const world = new World(0n, 0)
    world.write(5)
    world.target.append(dataBatch(8))
    world.next += 5n
    world.source += 5n
    world.write(5)
    const map = await world.map()
    await expect(answer(map, 7n)).rejects.toMatchObject({ code: 'TWINLOG_POSITION_UNKNOWN' })
  })

  it('leads to the first record that was made of a source record, and behind it to the one behind the last', async () => {
    const world = new World(0n, 2)
    world.write(3, 0, { expand: 2 })
    world.write(1)
    const map = await world.map()
    await map.loadAll()
    const offsets = [0n, 1n, 2n, 3n, 4n].map(source => map.translate(source)?.offset)
    expect(offsets).toEqual([2n, 3n, 4n, 7n, 8n])
    expect(map.reached).toBe(4n)
  })

  it('does not count an open transaction, and counts it once it is committed', async () => {
    const world = new World(0n, 0)
    world.write(4)
    world.takeEpoch(true)
    world.target.append(world.batch(6, true))
    const map = await world.map()
    expect(map.end.next).toBe(4n)
    expect(map.translate(4n)?.kind).toBe('exact')
    expect(map.translate(7n)?.kind).toBe('beyond-mirrored')
    world.target.marker(OWN_ID, 0, 'commit')
    await map.update(world.state, await world.log.bounds())
    expect(map.translate(7n)).toEqual({ kind: 'exact', offset: 8n })
  })

  it('knows a lane that was born behind a fence', async () => {
    const world = new World(0n, 3)
    const state = new LaneState('lane')
    state.addBirth(birth({ epoch: -1, first: 50n, targetEnd: 3n }))
    expect((await LaneMap.open(world.log, state, await world.log.bounds())).end).toEqual({ next: 50n, offset: 3n })
    state.addEpoch({ producerId: OWN_ID, epoch: 0, base: 50n, firstSequence: 0, own: true })
    world.target.append(dataBatch(4))
    world.target.append(dataBatch(5, { producerId: OWN_ID, producerEpoch: 0, baseSequence: 0 }))
    const map = await LaneMap.open(world.log, state, await world.log.bounds())
    expect(map.translate(52n)).toEqual({ kind: 'exact', offset: 9n })
  })

  it('learns the end from a checkpoint that stands at the end of the log', async () => {
    const world = new World(0n, 3)
    world.write(5)
    const map = await world.map()
    world.target.append(dataBatch(4))
    world.write(10)
    world.checkpoint()
    await map.update(world.state, await world.log.bounds())
    expect(await answer(map, 9n)).toEqual({ kind: 'exact', offset: 16n })
  })

  it('resumes at the log start when the target has let go of everything', async () => {
    const world = new World(0n, 0)
    world.write(10)
    world.checkpoint()
    world.target.trim(world.target.end)
    const map = await world.map()
    expect(await answer(map, 4n)).toEqual({ kind: 'exact', offset: 10n })
    expect(await answer(map, 10n)).toEqual({ kind: 'exact', offset: 10n })
    await map.loadAll()
    expect(map.translate(0n)).toEqual({ kind: 'exact', offset: 10n })
  })

  it('does not leave out foreign records that a trimmed target still holds', async () => {
    const world = new World(0n, 0)
    world.write(10)
    world.target.append(dataBatch(5))
    world.write(10)
    world.target.trim(10n)
    const map = await world.map()
    expect(await answer(map, 4n)).toEqual({ kind: 'exact', offset: 10n })
    expect(await answer(map, 10n)).toEqual({ kind: 'exact', offset: 15n })
  })

  it('resumes at the log start where retention took what a living map had not looked at', async () => {
    const world = new World(0n, 0)
    for (let index = 0; index < 8; index++) {
      world.write(10)
      world.target.append(dataBatch(3))
    }
    const map = await world.map()
    expect(await answer(map, 5n)).toEqual({ kind: 'exact', offset: 5n })
    world.checkpoint()
    world.target.trim(60n)
    await map.update(world.state, await world.log.bounds())
    for (let source = 0n; source < 80n; source++) expect(await answer(map, source)).toEqual(world.truth(source))
  })

  it('finds its place in a lane far beyond the first wrap of the sequence', async () => {
    const world = new World(0n, 0)
    const far = 3n * 2n ** 30n + 17n
    world.target.start = world.target.end = far
    world.source = world.next = far
    world.laneEnd = far
    world.write(10)
    world.write(10)
    world.checkpoint()
    const map = await world.map()
    expect(await answer(map, far + 3n)).toEqual({ kind: 'exact', offset: far + 3n })
    expect(await answer(map, 5n)).toEqual({ kind: 'exact', offset: far })
  })

  it('says that the target was truncated when it ends before what was written', async () => {
    const world = new World(0n, 0)
    world.write(10)
    world.checkpoint()
    world.target.end = 7n
    await expect(world.map()).rejects.toMatchObject({ code: 'TWINLOG_TRUNCATED', topic: 'orders', partition: 0 })
  })

  it('says so, too, when it has grown again with other records', async () => {
    const world = new World(0n, 0)
    world.target.append(dataBatch(8))
    world.write(10)
    const map = await world.map()
    world.target.trim(world.target.end)
    world.target.start = world.target.end = 0n
    world.next = world.source = world.origin
    world.write(25)
    const truncated = async () => {
      await map.update(world.state, await world.log.bounds())
      await map.loadAll()
    }
    await expect(truncated()).rejects.toMatchObject({ code: 'TWINLOG_TRUNCATED' })
  })

  it('does not take a checkpoint that was written after the bounds were asked for a lost end', async () => {
    const world = new World(0n, 0)
    world.write(10)
    world.checkpoint()
    const bounds = await world.log.bounds()
    world.write(10, 2)
    world.checkpoint()
    const map = await LaneMap.open(world.log, world.state, bounds)
    expect(await answer(map, 21n)).toEqual({ kind: 'exact', offset: 19n })
  })

  it('does not look beyond the bounds: the gaps behind them are not in the state that was read', async () => {
    const world = new World(0n, 0)
    world.write(10)
    const bounds = await world.log.bounds()
    const state = new LaneState('lane')
    state.addBirth(birth())
    world.write(10, 2)
    const map = await LaneMap.open(world.log, state, bounds)
    expect(map.end.next).toBe(10n)
    expect(map.translate(15n)?.kind).toBe('beyond-mirrored')
  })

  it('does not read what was on the target before the lane was born', async () => {
    const world = new World(0n, 0)
    for (let index = 0; index < 200; index++) world.target.append(dataBatch(50))
    const cluster = new FakeCluster('west')
    cluster.topics.set('orders', { id: '', partitions: [world.target] })
    const state = new LaneState('lane')
    state.addBirth(birth({ targetEnd: world.target.end }))
    const offset = world.target.append(dataBatch(5, { producerId: LINK_ID, producerEpoch: 0, baseSequence: 0 }))
    let asked = 10_000_000n
    const partition = world.target.fetch.bind(world.target)
    world.target.fetch = (at, bytes, committed) => {
      if (at < asked) asked = at
      return partition(at, bytes, committed)
    }
    const log = new TargetLog(cluster.client, 'orders', 0)
    const map = await LaneMap.open(log, state, await log.bounds())
    await map.loadAll()
    expect(map.translate(2n)).toEqual({ kind: 'exact', offset: offset + 2n })
    expect(asked).toBeGreaterThanOrEqual(offset)
  })

  it('needs the birth of the lane', async () => {
    const world = new World(0n, 0)
    const bounds = await world.log.bounds()
    await expect(LaneMap.open(world.log, new LaneState('lane'), bounds)).rejects.toMatchObject({
      code: 'TWINLOG_STATE_INVALID'
    })
  })
})
