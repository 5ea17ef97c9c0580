import type { TwinlogError } from '../errors.js'
import type { FrameLease } from '../kafka/frame-pool.js'
import type { FetchedPartition } from '../kafka/requests/fetch.js'
import type { ProducedPartition } from '../kafka/requests/produce.js'
import type { Gap, GapTable } from '../lineage/gap-table.js'
import type { LaneEpoch } from '../lineage/sequence.js'
import type { CompressionName, Segment } from '../records/types.js'
import type { LaneBuffer, Send } from './lane-buffer.js'
import { lostRecords } from './lane-errors.js'
import { LaneLife } from './lane-life.js'
import { LaneProgress } from './lane-progress.js'
import { LaneSource, type SourceSideHost } from './lane-source.js'
import type { LaneStateName, LaneStatus } from './lane-status.js'
import { LaneTarget, type TargetSideHost } from './lane-target.js'
import type { LaneLimits, LaneMemory, LaneTopic } from './lane-types.js'
import type { RecoveredPosition } from './recovery.js'

/** What a lane needs of its Mirror. */
export interface LaneHost {
  /** Something can be sent, or fetched again. */
  kick(lane: Lane): void
  /** Writes gaps ahead of the data behind them. */
  writeGaps(lane: Lane, epoch: LaneEpoch, gaps: Gap[]): Promise<void>
  /** The lane stopped for a reason that may pass: bring it back by asking the target. */
  recover(lane: Lane, reason: TwinlogError): void
  /** The source partition's leader moved. */
  sourceMoved(lane: Lane): void
  /** The lane's position is not in the source's log any more: where does the log begin and end? */
  sourceOutOfRange(lane: Lane): void
  stateChanged(lane: Lane, from: LaneStateName, to: LaneStateName): void
}

/**
 * One source partition copied into one target partition. The lane plans and keeps order; fetching and appending are done for
 * all lanes of a broker together, recovery asks the target. After any error it stops, lets everything in flight settle, and
 * goes on from what the target has. Its life holds the state, its two sides read and send.
 */
export class Lane {
  readonly key: string
  readonly source: LaneTopic
  readonly target: LaneTopic
  readonly #host: LaneHost
  readonly #limits: LaneLimits
  readonly #life: LaneLife
  readonly #progress = new LaneProgress()
  readonly #from: LaneSource
  readonly #to: LaneTarget
  #buffer: LaneBuffer | undefined
  #epoch: LaneEpoch | undefined
  #dirty = false

  constructor(o: { key: string; source: LaneTopic; target: LaneTopic; host: LaneHost; limits: LaneLimits }) {
    this.key = o.key
    this.source = o.source
    this.target = o.target
    this.#host = o.host
    this.#limits = o.limits
    this.#life = new LaneLife({
      changed: (from, to) => this.#host.stateChanged(this, from, to),
      drop: () => this.#buffer?.drop(),
      settled: () => this.settled,
      recover: reason => this.#host.recover(this, reason)
    })
    const host: SourceSideHost & TargetSideHost = {
      buffer: () => this.#buffer,
      epoch: () => this.#epoch,
      copies: () => this.#life.copies,
      needsRecovery: () => this.needsRecovery,
      fetched: ends => this.#progress.fetched(ends),
      copied: (records, bytes, now) => this.#progress.copied(records, bytes, now),
      observe: () => this.#observe(),
      markDirty: () => this.markDirty(),
      kick: () => this.#host.kick(this),
      writeGaps: (epoch, gaps) => this.#host.writeGaps(this, epoch, gaps),
      sourceMoved: () => this.#host.sourceMoved(this),
      sourceOutOfRange: () => this.#host.sourceOutOfRange(this),
      settled: () => this.#life.settled(),
      fail: error => this.fail(error),
      failSoft: error => this.#life.failSoft(error)
    }
    this.#from = new LaneSource({ ...o, host })
    this.#to = new LaneTarget({ ...o, host })
  }

  get state(): LaneStateName {
    return this.#life.state
  }

  get error(): TwinlogError | undefined {
    return this.#life.error
  }

  get position(): bigint {
    return this.#buffer?.position ?? 0n
  }

  get leaderEpoch(): number {
    return this.#from.leaderEpoch
  }

  get reached(): bigint {
    return this.#buffer?.reached ?? 0n
  }

  get targetEnd(): bigint {
    return this.#to.end
  }

  /** Ordinal behind the last acknowledged record. */
  get acknowledgedNext(): bigint {
    return this.#buffer?.acknowledgedNext ?? 0n
  }

  /** Gaps of the lane as far as they are planned. */
  get gaps(): GapTable | undefined {
    return this.#buffer?.gaps
  }

  get bytes(): number {
    return this.#buffer?.bytes ?? 0
  }

  /** Codecs of what is in memory. */
  heldCodecs(): CompressionName[] {
    return this.#buffer?.codecs() ?? []
  }

  get limits(): LaneLimits {
    return this.#limits
  }

  /** Everything planned is acknowledged. */
  get drained(): boolean {
    return this.#buffer?.empty ?? true
  }

  /** Nothing of ours is on its way to the target. */
  get settled(): boolean {
    return (this.#buffer?.unsettled ?? 0) === 0
  }

  get active(): boolean {
    return this.#life.active
  }

  get needsRecovery(): boolean {
    return this.#life.needsRecovery
  }

  get wantsFetch(): boolean {
    return this.#life.copies && this.bytes < this.#limits.bufferBytes
  }

  /** The recovered position: everything in memory that the target lacks goes out again, or the lane fetches anew. */
  begin(at: RecoveredPosition, fromState: () => LaneMemory): void {
    // Failed or stopped while the target was asked: that stands.
    if (this.#life.over) return
    if (this.#buffer && at.next < this.acknowledgedNext)
      return this.fail(lostRecords(this.target, at.next, this.acknowledgedNext))
    // Gaps that were written under another identity are void under this one: what was planned on them is planned again.
    if (this.#epoch && (this.#epoch.epoch !== at.epoch.epoch || this.#epoch.producerId !== at.epoch.producerId))
      this.#buffer?.forget()
    this.#epoch = at.epoch
    if (!this.#buffer?.resumeAt(at.next)) {
      const { buffer, leaderEpoch } = fromState()
      this.#buffer = buffer
      this.#from.beginAt(leaderEpoch)
    }
    this.#to.beginAt(at.targetEnd)
    this.#life.begin()
    this.#host.kick(this)
  }

  pause(): void {
    this.#life.pause()
  }

  resume(): void {
    if (this.#life.resume()) this.#host.kick(this)
  }

  /** Out of `stopped` again: a move that had closed the lane was given up. */
  reopen(): void {
    this.#buffer?.forget()
    this.#life.reopen()
  }

  fail(error: TwinlogError): void {
    this.#life.fail(error)
  }

  stop(why?: string, error?: TwinlogError): void {
    this.#life.stop(why, error)
  }

  /** What keeps the lane from starting may pass, but has not for a while. Its memory is for the others meanwhile. */
  blocked(error: TwinlogError): void {
    this.#life.blocked(error)
  }

  /** How long to stay back before the next attempt: a lane that keeps losing to another owner leaves it the way for a while. */
  stayBackMs(): number {
    return this.#to.stayBackMs()
  }

  /** A new connection may lead to a broker that has forgotten this producer: the first batch goes alone. */
  connectionChanged(): void {
    this.#to.connectionChanged()
  }

  // ── source side ───────────────────────────────────────────────────────────────────────────────────────────────

  /** Segments of a fetched answer, or undefined when it held an error or nothing; then the lane has dealt with it. */
  read(result: FetchedPartition, asked: bigint): Segment[] | undefined {
    return this.#from.read(result, asked)
  }

  /** Plans what was read. The codecs of these segments are loaded; `frame` is what they are views of, where its memory is used again. */
  plan(segments: Segment[], frame?: FrameLease): void {
    this.#from.plan(segments, frame)
  }

  // ── target side ───────────────────────────────────────────────────────────────────────────────────────────────

  /** The next batch that may go out, not taken yet. */
  peek(): Send | undefined {
    return this.#life.sends ? this.#to.peek() : undefined
  }

  /** Takes it: stamped with our identity, ready for the wire. */
  take(): Send {
    return this.#to.take()
  }

  answered(send: Send, result: ProducedPartition): void {
    this.#to.answered(send, result)
  }

  /** The connection was lost under this send: whether it was appended is unknown until the target is asked. */
  unanswered(send: Send, error: TwinlogError): void {
    this.#to.unanswered(send, error)
  }

  /** The broker that was thought to lead the target cannot be reached: with nothing on its way there, nobody else would say so. */
  unreachable(error: TwinlogError): void {
    if (this.active || this.state === 'paused') this.#life.failSoft(error)
  }

  // ── state ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** True once after every progress: the checkpoint is behind. */
  takeDirty(): boolean {
    const dirty = this.#dirty
    this.#dirty = false
    return dirty
  }

  markDirty(): void {
    this.#dirty = true
  }

  sourceEndIs(end: bigint): void {
    this.#progress.sourceEndIs(end)
    this.#observe()
  }

  status(now = Date.now()): LaneStatus {
    return this.#progress.status(this, this.#life.why, now)
  }

  #observe(): void {
    const now = Date.now()
    this.#progress.observe(this.reached, now)
    if (!this.#life.copies) return
    const next = this.#progress.next(this, now)
    if (next) this.#life.moveTo(next.state, next.why)
  }
}
