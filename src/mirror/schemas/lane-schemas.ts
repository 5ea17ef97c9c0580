import type { TwinlogError } from '../../errors.js'
import type { DecodedRecord, Segment } from '../../records/types.js'
import type { LaneTopic } from '../lane-types.js'
import type { SchemaTimeoutPolicy } from './options.js'
import type { Others } from './read-look.js'
import { ReadLook, type TopicSchemas } from './read-look.js'
import { findObstacle, rewriteRecords } from './record-look.js'
import { expiredError, SchemaHold } from './schema-hold.js'
import type { NamedBy, SchemaWait, SchemaWaits } from './schema-waits.js'
import { type Obstacle, type Payloads, segmentsBefore, SegmentScan } from './segment-scan.js'

/** An answer that takes longer is not waited for with what was read in memory. */
const SLOW_MS = 500
/** One answer usually answers all: where thousands of records have names of their own, asking for each of them beforehand costs more. */
const ASKED_AT_ONCE = 64
/** So long a batch waits as a whole, to be copied as it is; then what is before the record that waits goes out without it. */
const WHOLE_BATCH_MS = 1_000

/** What may be planned of what was read, and what comes then. */
export interface Admitted {
  /** With the target's ids. Empty: nothing yet. */
  segments: Segment[]
  /** The lane waits behind them. */
  held?: SchemaHold | undefined
  /** The lane fails behind them. */
  stopped?: { offset: bigint; error: TwinlogError } | undefined
  /** These records are left out: nothing is planned before that is done. */
  drops: { offset: bigint; error: TwinlogError }[]
}

/** Why a record of a transform does not go on. */
export type RecordObstacle =
  | { kind: 'hold'; held: SchemaHold }
  | { kind: 'stop'; error: TwinlogError }
  | { kind: 'drop'; error: TwinlogError }

/** Looks after the outputs of a transform, record by record. */
export type AdmitRecords = (
  records: DecodedRecord[],
  offset: bigint
) => RecordObstacle | undefined | Promise<RecordObstacle | undefined>

/**
 * The schema gate of one lane: no record goes out before its schema is on the target, and ids become the target's. It looks at what was
 * read before it is planned, so what is planned stays a matter of the log alone; with `preserve` only the moment changes.
 */
export class LaneSchemas {
  readonly #topic: TopicSchemas
  readonly #waits: SchemaWaits
  readonly #source: LaneTopic
  readonly #onTimeout: SchemaTimeoutPolicy
  /** Batches pass as they are, so they wait as a whole for a while. */
  readonly #keepsBatches: boolean
  /** Records before this offset were read before, at that time: a slow answer had made the lane let go of them. */
  #earlier: { before: bigint; seenAt: number; others: Others } | undefined

  constructor(o: { topic: TopicSchemas; waits: SchemaWaits; source: LaneTopic; onTimeout: SchemaTimeoutPolicy }) {
    this.#topic = o.topic
    this.#waits = o.waits
    this.#source = o.source
    this.#onTimeout = o.onTimeout
    this.#keepsBatches = o.topic.gate.ids === 'preserve' && o.onTimeout !== 'dead-letter'
  }

  /** The lane begins anew: its offsets may be those of other records now. */
  restarted(): void {
    this.#earlier = undefined
  }

  /** `seenAt`: when the segments were read. Undefined: somebody has to be asked or waited for. */
  admitNow(read: readonly Segment[], seenAt: number): Admitted | undefined {
    const { segments, look } = this.#begin(read, seenAt)
    let obstacles = 0
    // What is asked here is asked for `admit`, together.
    const onObstacle = ({ status }: Obstacle) => {
      obstacles += 1
      return status === 'asked' && obstacles < ASKED_AT_ONCE ? 'go-on' : 'enough'
    }
    const scan = new SegmentScan({ look, onObstacle })
    scan.run(segments)
    return obstacles === 0 ? { segments: scan.rewritten(segments), drops: [] } : undefined
  }

  async admit(read: readonly Segment[], seenAt: number): Promise<Admitted> {
    const { segments, look, since } = this.#begin(read, seenAt)
    const payloads: Payloads = new Map()
    for (;;) {
      const open: Obstacle[] = []
      const drops: Admitted['drops'] = []
      let waits: { obstacle: Obstacle; wait: SchemaWait } | undefined
      const onObstacle = (obstacle: Obstacle) => {
        if (obstacle.status === 'asked') {
          open.push(obstacle)
          return open.length < ASKED_AT_ONCE ? 'go-on' : 'enough'
        }
        const wait = this.#waits.schema(this.#topic, this.#named(obstacle))
        if (wait.expired && this.#onTimeout === 'dead-letter') {
          drops.push({ offset: obstacle.offset, error: this.#expired(obstacle, wait) })
          return 'go-on'
        }
        waits = { obstacle, wait }
        return 'enough'
      }
      const scan = new SegmentScan({ look, payloads, onObstacle })
      scan.run(segments)
      const [first] = open
      if (first === undefined) {
        if (drops.length > 0) return { segments: [], drops: distinct(drops) }
        return waits ? this.#before(segments, scan, waits) : { segments: scan.rewritten(segments), drops: [] }
      }
      const asked = look.answered()
      if (await inTime(asked)) continue
      this.#earlier = { before: segments.at(-1)?.to ?? 0n, seenAt: since, others: look.others }
      const wait = this.#waits.source(this.#topic, this.#named(first), asked)
      if (!wait.expired || this.#onTimeout !== 'dead-letter')
        return this.#before(segments, scan, { obstacle: first, wait, asked })
      for (const obstacle of open) drops.push({ offset: obstacle.offset, error: this.#expired(obstacle, wait) })
      return { segments: [], drops: distinct(drops) }
    }
  }

  /** For the outputs of a transform over these segments. Ids are put into the records it is given. */
  records(segments: readonly Segment[], seenAt: number): AdmitRecords {
    const end = segments.at(-1)?.to ?? 0n
    const now: Moment = { look: new ReadLook(this.#topic, seenAt), seenAt, before: end }
    const earlier = this.#earlierAt(segments)
    const then = earlier && { ...earlier, look: new ReadLook(this.#topic, earlier.seenAt, earlier.others) }
    return (records, offset) => {
      const moment = then !== undefined && offset < then.before ? then : now
      if (findObstacle(moment.look, records) !== undefined) return this.#admitLater(moment, records, offset)
      rewriteRecords(moment.look, records)
      return undefined
    }
  }

  async #admitLater(moment: Moment, records: DecodedRecord[], offset: bigint): Promise<RecordObstacle | undefined> {
    const { look, seenAt, before } = moment
    for (;;) {
      const found = findObstacle(look, records)
      if (found === undefined) {
        rewriteRecords(look, records)
        return undefined
      }
      const obstacle: Obstacle = { ...found, offset }
      const asked = found.status === 'asked' ? look.answered() : undefined
      if (asked !== undefined && (await inTime(asked))) continue
      if (asked !== undefined) this.#earlier = { before, seenAt, others: look.others }
      const named = this.#named(obstacle)
      const wait = asked ? this.#waits.source(this.#topic, named, asked) : this.#waits.schema(this.#topic, named)
      if (!wait.expired || this.#onTimeout === 'wait')
        return { kind: 'hold', held: this.#hold({ obstacle, wait, asked }, offset) }
      return { kind: this.#onTimeout === 'dead-letter' ? 'drop' : 'stop', error: this.#expired(obstacle, wait) }
    }
  }

  /** What lies before the record that waits; or before its batch, as long as that may still go as a whole. */
  #before(
    segments: readonly Segment[],
    scan: SegmentScan,
    at: { obstacle: Obstacle; wait: SchemaWait; asked?: Promise<unknown> | undefined }
  ): Admitted {
    const { obstacle, wait } = at
    if (wait.expired && this.#onTimeout === 'stop-partition') {
      const stopped = { offset: obstacle.offset, error: this.#expired(obstacle, wait) }
      return { segments: scan.rewritten(segmentsBefore(segments, obstacle.offset)), stopped, drops: [] }
    }
    const whole = this.#keepsBatches && performance.now() - wait.since < WHOLE_BATCH_MS
    const from = whole ? batchStart(segments, obstacle.offset) : obstacle.offset
    return { segments: scan.rewritten(segmentsBefore(segments, from)), held: this.#hold(at, from), drops: [] }
  }

  #hold(
    { obstacle, wait, asked }: { obstacle: Obstacle; wait: SchemaWait; asked?: Promise<unknown> | undefined },
    from: bigint
  ): SchemaHold {
    return new SchemaHold({
      from,
      named: this.#named(obstacle),
      wait,
      answered: asked,
      recheckAt: from < obstacle.offset ? wait.since + WHOLE_BATCH_MS : undefined,
      lookAgain: this.#onTimeout !== 'wait'
    })
  }

  #named({ offset, part, ref }: Obstacle): NamedBy {
    return { topic: this.#source.topic, partition: this.#source.partition, offset, part, ref }
  }

  #expired(obstacle: Obstacle, wait: SchemaWait): TwinlogError {
    return expiredError(this.#named(obstacle), wait, this.#waits.timeoutMs)
  }

  /** What was read before is looked at by itself: a record behind it may name what was registered since. */
  #begin(read: readonly Segment[], seenAt: number): { segments: readonly Segment[]; look: ReadLook; since: number } {
    const earlier = this.#earlierAt(read)
    if (!earlier) return { segments: read, look: new ReadLook(this.#topic, seenAt), since: seenAt }
    const look = new ReadLook(this.#topic, earlier.seenAt, earlier.others)
    return { segments: segmentsBefore(read, earlier.before), look, since: earlier.seenAt }
  }

  #earlierAt(segments: readonly Segment[]) {
    if (this.#earlier !== undefined && (segments[0]?.from ?? 0n) >= this.#earlier.before) this.#earlier = undefined
    return this.#earlier
  }
}

/** Records before an offset, all read at one time. */
interface Moment {
  before: bigint
  seenAt: number
  look: ReadLook
}

/** Where the batch begins, or what is left of it. */
function batchStart(segments: readonly Segment[], offset: bigint): bigint {
  const holder = segments.find(segment => segment.kind === 'data' && segment.from <= offset && offset < segment.to)
  if (holder?.kind !== 'data') return offset
  const first = segments.find(segment => segment.kind === 'data' && segment.batch === holder.batch)
  return first?.from ?? offset
}

/** A record may fail for its key and for its value. */
function distinct(drops: Admitted['drops']): Admitted['drops'] {
  return [...new Map(drops.map(drop => [drop.offset, drop])).values()]
}

/** True when it is resolved soon. Its rejection is for others. */
async function inTime(asked: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<boolean>(resolve => {
    timer = setTimeout(() => resolve(false), SLOW_MS)
  })
  const answered = asked.then(
    () => true,
    () => false
  )
  const result = await Promise.race([answered, late])
  clearTimeout(timer)
  return result
}
