import type { FrameLease } from '../kafka/frame-pool.js'
import type { Gap, GapTable } from '../lineage/gap-table.js'
import { BATCH } from '../records/batch.js'
import { compressionOf } from '../records/compression.js'
import { dropFirstRecords } from '../records/plan.js'
import type { CompressionName, PlannedBatch } from '../records/types.js'

/** One planned batch with its place in the lane. */
export interface Send {
  batch: PlannedBatch
  /** Ordinal of its first record, and the one behind its last. */
  first: bigint
  end: bigint
  /** The gaps before and inside it are in the state topic: only then may it go out. */
  durable: boolean
  /** Holds the memory that the batch is a view of, until the batch is acknowledged. */
  frame?: FrameLease | undefined
}

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

  /** `reached`: source position up to which everything was known to be a gap when `next` was reached (from the checkpoint). */
  constructor(gaps: GapTable, next: bigint, reached?: bigint) {
    this.#gaps = gaps
    this.#next = next
    this.#source = gaps.sourceBehind(next)
    this.#position = reached !== undefined && reached > this.#source ? reached : this.#source
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

  get empty(): boolean {
    return this.#queue.length === 0 && this.#inFlight.length === 0
  }

  /** Source position up to which everything is on the target or a gap, given that all acknowledged sends are. */
  get reached(): bigint {
    if (this.#stoodAt) return this.#stoodAt.reached
    const first = this.#inFlight[0] ?? this.#queue[0]
    return first ? this.#gaps.sourceBehind(first.first) : this.#position
  }

  /** Takes planned batches in; answers the new sends and the gaps that must be written down before the first of them goes out. */
  add(batches: PlannedBatch[], position: bigint, frame?: FrameLease): { sends: Send[]; gaps: Gap[] } {
    const sends: Send[] = []
    const gaps: Gap[] = []
    for (const batch of batches) {
      const first = this.#next
      if (batch.from > this.#source)
        this.#note({ ordinal: first, from: this.#source, length: batch.from - this.#source }, gaps)
      for (const gap of batch.gaps) {
        if (gap.index > 0)
          this.#note({ ordinal: first + BigInt(gap.index), from: gap.from, length: gap.to - gap.from }, gaps)
      }
      const send: Send = { batch, first, end: first + BigInt(batch.count), durable: gaps.length === 0 }
      if (frame?.covers(batch.bytes)) {
        frame.hold()
        send.frame = frame
      }
      this.#next = send.end
      this.#source = batch.to
      this.#bytes += batch.bytes.length
      this.#queue.push(send)
      sends.push(send)
    }
    if (position > this.#position) this.#position = position
    return { sends, gaps }
  }

  /** The next batch that may go out now. */
  peek(maxInFlight: number): Send | undefined {
    const head = this.#queue[0]
    return head?.durable && this.#inFlight.length < maxInFlight ? head : undefined
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
    if (!appended || this.#inFlight[0] !== send) return false
    this.#inFlight.shift()
    this.#bytes -= send.batch.bytes.length
    // Acknowledged: nothing sends it again. Sends that are dropped otherwise leave their memory to the garbage collector.
    send.frame?.release()
    send.frame = undefined
    return true
  }

  /** Lets go of everything that is not on its way: the lane starts from the state topic when it starts again. */
  drop(): void {
    this.#stoodAt ??= { next: this.acknowledgedNext, reached: this.reached }
    this.#forgotten = true
    this.#inFlight = this.#inFlight.filter(send => this.#unsettled.has(send))
    this.#queue = []
    this.#bytes = this.#inFlight.reduce((sum, send) => sum + send.batch.bytes.length, 0)
  }

  codecs(): CompressionName[] {
    const sends = [...this.#inFlight, ...this.#queue]
    return [...new Set(sends.map(({ batch }) => compressionOf(batch.bytes.readInt16BE(BATCH.attributes))))]
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
    const sends = [...this.#inFlight, ...this.#queue]
    const first = sends[0]?.first ?? this.#next
    if (this.#forgotten || next < first || next > this.#next) return false
    this.#inFlight = []
    this.#queue = sends.filter(send => send.end > next)
    const head = this.#queue[0]
    if (head && head.first < next) {
      // In place: whoever waits for its gaps to be written makes this very send durable.
      head.batch = dropFirstRecords(head.batch, Number(next - head.first))
      head.first = next
      head.frame = undefined
    }
    this.#bytes = this.#queue.reduce((sum, send) => sum + send.batch.bytes.length, 0)
    return true
  }

  /** A gap that is written down already (by an earlier owner) is checked, not written again. */
  #note(gap: Gap, fresh: Gap[]): void {
    const size = this.#gaps.size
    this.#gaps.append(gap)
    if (this.#gaps.size > size) fresh.push(gap)
  }
}
