import type { FrameLease } from '../kafka/frame-pool.js'
import type { Gap, GapTable } from '../lineage/gap-table.js'
import { BATCH } from '../records/batch.js'
import { compressionOf } from '../records/compression.js'
import { dropFirstRecords } from '../records/plan.js'
import { compressPlanned, slicePlanned, sourceOffsetAt } from '../records/rewrite.js'
import type { CompressionName, PlannedBatch } from '../records/types.js'
import type { HeldMemory } from './byte-budget.js'

/** One planned batch with its place in the lane. */
export interface Send {
  batch: PlannedBatch
  /** Ordinal of its first record, and the one behind its last. */
  first: bigint
  end: bigint
  /** The gaps before and inside it are in the state topic: only then may it go out. */
  durable: boolean
  /** In a transaction of this id; absent for plain batches. */
  transactionalId?: string | undefined
  /** What the batch keeps alive, counted until it is acknowledged. */
  memory: HeldMemory
}

/** Counts the memory of a planned batch. */
export type Hold = (bytes: Buffer, frame?: FrameLease) => HeldMemory

const UNCOUNTED: HeldMemory = { release: () => undefined, abandon: () => undefined }

/**
 * A lane's records between source and target: planned, in flight, acknowledged, in ordinal order. Pure bookkeeping; it keeps
 * everything that is not acknowledged, because after an error the same batches go out again, never a new fetch.
 */
export class LaneBuffer {
  #gaps: GapTable
  #queue: Send[] = []
  #inFlight: Send[] = []
  #bytes = 0
  readonly #unsettled = new Set<Send>()
  #forgotten = false
  /** Where the lane stood when its memory was dropped: what was planned behind it never came to be. */
  #stoodAt: { next: bigint; reached: bigint } | undefined
  /** Ordinal that the next planned record gets. */
  #next: bigint
  /** Source offset behind the last planned record: a gap between it and the next record is still to be noted. */
  #source: bigint
  #position: bigint
  /** The source lost its end: the next record is the first of a new history, which begins here. */
  #era: bigint | undefined

  #hold: Hold = () => UNCOUNTED

  /** `reached`: source position up to which everything was known to be a gap when `next` was reached (from the checkpoint). */
  constructor(gaps: GapTable, next: bigint, reached?: bigint) {
    this.#gaps = gaps
    this.#next = next
    this.#source = gaps.sourceBehind(next)
    this.#position = reached !== undefined && reached > this.#source ? reached : this.#source
  }

  /** What is added from now on is counted. */
  countWith(hold: Hold): void {
    this.#hold = hold
  }

  /** Ordinal behind the last acknowledged record. */
  get acknowledgedNext(): bigint {
    return this.#stoodAt?.next ?? (this.#inFlight[0] ?? this.#queue[0])?.first ?? this.#next
  }

  /** Source offset to fetch next. */
  get position(): bigint {
    return this.#position
  }

  get gaps(): GapTable {
    return this.#gaps
  }

  /** Bytes held, sent and unsent. */
  get bytes(): number {
    return this.#bytes
  }

  /** Sends whose answer (or whose connection's end) has not come yet. */
  get unsettled(): number {
    return this.#unsettled.size
  }

  /** Answered, but not final yet: appended in a transaction that is still open. */
  get uncommitted(): Send[] {
    return this.#inFlight.filter(send => !this.#unsettled.has(send))
  }

  get empty(): boolean {
    return this.#queue.length === 0 && this.#inFlight.length === 0
  }

  /** Source position up to which everything is on the target or a gap, given that all acknowledged sends are. */
  get reached(): bigint {
    if (this.#stoodAt) return this.#stoodAt.reached
    const first = this.#inFlight[0] ?? this.#queue[0]
    return first ? this.#gaps.positionAt(first.first) : this.#position
  }

  /** Takes planned batches in; answers the new sends and the gaps that must be written down before the first of them goes out. */
  add(batches: PlannedBatch[], position: bigint, frame?: FrameLease): { sends: Send[]; gaps: Gap[] } {
    const sends: Send[] = []
    const gaps: Gap[] = []
    for (const batch of batches) {
      const first = this.#next
      const skipped = batch.from - this.#source
      const era = this.#era
      this.#era = undefined
      if (era !== undefined) this.#note({ ordinal: first, from: this.#source, length: skipped, era }, gaps)
      else if (skipped > 0n) this.#note({ ordinal: first, from: this.#source, length: skipped }, gaps)
      for (const gap of batch.gaps) {
        if (gap.index > 0)
          this.#note({ ordinal: first + BigInt(gap.index), from: gap.from, length: gap.to - gap.from }, gaps)
      }
      const end = first + BigInt(batch.count)
      const send: Send = { batch, first, end, durable: gaps.length === 0, memory: this.#hold(batch.bytes, frame) }
      this.#next = send.end
      this.#source = batch.to
      this.#bytes += batch.bytes.length
      this.#queue.push(send)
      sends.push(send)
    }
    if (position > this.#position) this.#position = position
    return { sends, gaps }
  }

  /** The source no longer has what lies before `position`: the lane goes on there, and the next record brings the gap. */
  skipTo(position: bigint): void {
    if (position > this.#position) this.#position = position
  }

  /**
   * The source lost its end and goes on with another history from `start`. Nothing may be in memory. What was copied of the old end
   * stays on the target.
   */
  beginEra(start: bigint): void {
    // What lies between the last copied record and the new history is still as it was, and not copied yet.
    if (start < this.#position) this.#position = start
    if (start < this.#source) this.#era = start
  }

  /** The next batch that may go out now. */
  peek(maxInFlight: number): Send | undefined {
    const head = this.#queue[0]
    return head?.durable && this.#unsettled.size < maxInFlight ? head : undefined
  }

  take(): Send | undefined {
    const send = this.#queue.shift()
    if (!send) return undefined
    this.#inFlight.push(send)
    this.#unsettled.add(send)
    return send
  }

  /**
   * An answer, or the certainty that none will come. True when the acknowledged end moved to the end of this send; what was appended
   * behind a failed send stays until the target was asked. Nothing moves after a drop.
   */
  settle(send: Send, appended: boolean): boolean {
    if (!this.#unsettled.delete(send)) return false
    if (this.#stoodAt) {
      this.drop()
      return false
    }
    return appended && this.#acknowledge(send)
  }

  /** Appended, but in a transaction that is still open. False when nothing was known of it. */
  answered(send: Send): boolean {
    return this.#unsettled.delete(send)
  }

  /** The transaction with everything that was answered is complete; answers the sends whose records are final now. */
  commit(): Send[] {
    return this.uncommitted.filter(send => this.#acknowledge(send))
  }

  #acknowledge(send: Send): boolean {
    if (this.#stoodAt || this.#inFlight[0] !== send) return false
    this.#inFlight.shift()
    this.#bytes -= send.batch.bytes.length
    send.memory.release()
    return true
  }

  /** Lets go of everything that is not on its way: the lane starts from the state topic when it starts again. */
  drop(): void {
    this.#stoodAt ??= { next: this.acknowledgedNext, reached: this.reached }
    this.#forgotten = true
    // A socket may still read what was sent once.
    for (const send of [...this.#inFlight, ...this.#queue]) if (!this.#unsettled.has(send)) send.memory.abandon()
    this.#inFlight = this.#inFlight.filter(send => this.#unsettled.has(send))
    this.#queue = []
    this.#bytes = this.#inFlight.reduce((sum, send) => sum + send.batch.bytes.length, 0)
  }

  codecs(): CompressionName[] {
    const sends = [...this.#inFlight, ...this.#queue]
    return [...new Set(sends.map(({ batch }) => compressionOf(batch.bytes.readInt16BE(BATCH.attributes))))]
  }

  /**
   * A batch that the target refuses becomes two, so that what is wrong with it shows. Nothing of the plan changes. False when it holds
   * the outputs of one source record only. Its codec must be loaded; takes effect with the next `resumeAt`.
   */
  split(send: Send): boolean {
    const index = splitIndex(send.batch)
    const list = this.#inFlight.includes(send) ? this.#inFlight : this.#queue
    const place = list.indexOf(send)
    if (index === undefined || place < 0) return false
    const codec = compressionOf(send.batch.bytes.readInt16BE(BATCH.attributes))
    const halves = [slicePlanned(send.batch, 0, index), slicePlanned(send.batch, index, send.batch.count)]
    let first = send.first
    const sends = halves.map(half => {
      const batch = compressPlanned(half, codec)
      const end = first + BigInt(half.count)
      const part: Send = { batch, first, end, durable: true, memory: this.#hold(batch.bytes) }
      first = part.end
      return part
    })
    list.splice(place, 1, ...sends)
    send.memory.abandon()
    return true
  }

  /** What is in memory was planned on words that were never written: the next `resumeAt` starts from the state topic. */
  forget(): void {
    this.#forgotten = true
  }

  /**
   * After an error, with nothing in flight any more: the target's next ordinal is `next`. Drops what the target has, cuts the
   * batch that straddles it and queues the rest again. False when `next` lies outside of what is in memory.
   */
  resumeAt(next: bigint): boolean {
    if (!this.canResumeAt(next)) return false
    const sends = [...this.#inFlight, ...this.#queue]
    this.#inFlight = []
    for (const send of sends) if (send.end <= next) send.memory.abandon()
    this.#queue = sends.filter(send => send.end > next)
    const head = this.#queue[0]
    if (head && head.first < next) {
      // In place: whoever waits for its gaps to be written makes this very send durable.
      head.batch = dropFirstRecords(head.batch, Number(next - head.first))
      head.first = next
      head.memory.abandon()
      head.memory = this.#hold(head.batch.bytes)
    }
    this.#bytes = this.#queue.reduce((sum, send) => sum + send.batch.bytes.length, 0)
    return true
  }

  /** Whether what is in memory goes on from there. */
  canResumeAt(next: bigint): boolean {
    const first = (this.#inFlight[0] ?? this.#queue[0])?.first ?? this.#next
    return !this.#forgotten && next >= first && next <= this.#next
  }

  /** A gap that is written down already (by an earlier owner) is checked, not written again. */
  #note(gap: Gap, fresh: Gap[]): void {
    const known = this.#gaps.knows(gap)
    this.#gaps.append(gap)
    if (!known) fresh.push(gap)
  }
}

/** Source offset at which a batch can be cut in two; undefined: it holds the outputs of one record only. */
export function cutOf(batch: PlannedBatch): bigint | undefined {
  const index = splitIndex(batch)
  return index === undefined ? undefined : sourceOffsetAt(batch, index)
}

/** Where a batch can be cut in two: never between the outputs of one source record. */
function splitIndex(batch: PlannedBatch): number | undefined {
  const middle = batch.count >> 1
  for (let distance = 0; distance < batch.count; distance++) {
    for (const index of [middle - distance, middle + distance]) {
      if (index <= 0 || index >= batch.count) continue
      if (sourceOffsetAt(batch, index) > sourceOffsetAt(batch, index - 1)) return index
    }
  }
  return undefined
}
