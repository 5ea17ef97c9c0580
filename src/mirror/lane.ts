import type { TwinlogError } from '../errors.js'
import type { FrameLease } from '../kafka/frame-pool.js'
import type { FetchedPartition } from '../kafka/requests/fetch.js'
import type { ProducedPartition } from '../kafka/requests/produce.js'
import type { Gap, GapTable } from '../lineage/gap-table.js'
import type { LaneEpoch } from '../lineage/sequence.js'
import type { CompressionName, Segment } from '../records/types.js'
import type { Hold, LaneBuffer, Send } from './lane-buffer.js'
import { lostRecords, planChanged } from './lane-errors.js'
import { guardOf } from './lane-guard.js'
import { LaneLife } from './lane-life.js'
import { LaneProgress, type TransactionHolder } from './lane-progress.js'
import { LaneSource } from './lane-source.js'
import type { LaneStateName, LaneStatus } from './lane-status.js'
import { LaneTarget } from './lane-target.js'
import type { TransactionCalls } from './lane-transaction.js'
import { type DroppedRecord, LaneTroubles } from './lane-troubles.js'
import type { LaneLimits, LaneMemory, LaneTopic } from './lane-types.js'
import type { LaneWork } from './lane-work.js'
import type { RecoveredPosition } from './recovery.js'

const RENEWAL_MS = 24 * 60 * 60 * 1000

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
  /** The log has holes: true when compaction explains them and the lane may plan around them as things are. */
  mayHaveHoles(lane: Lane): Promise<boolean>
  /** Records are gone that were not copied, or copies of them are. */
  lost(lane: Lane, error: TwinlogError): void
  /** A record is left out; resolves when the word about it is where the policy wants it. */
  dropped(lane: Lane, record: DroppedRecord): Promise<void>
  stateChanged(lane: Lane, from: LaneStateName, to: LaneStateName): void
}

export interface LaneOptions {
  key: string
  source: LaneTopic
  target: LaneTopic
  host: LaneHost
  limits: LaneLimits
  work: LaneWork
  /** The lane's own transactional id, for records that are too old for plain batches. */
  transactionalId: string
  transactions: TransactionCalls
  /** Counts what the lane holds. */
  hold?: Hold | undefined
  /** A transform sends records of this source partition to a target partition that is not its own. */
  routed?: boolean | undefined
  /** Source offset at which the lane begins, if it has none yet; absent: by the start option. */
  first?: bigint | undefined
}

/**
 * One source partition copied into one target partition. The lane plans and keeps order; fetching and appending are done for
 * all lanes of a broker together, recovery asks the target. After any error it stops, lets everything in flight settle, and
 * goes on from what the target has. Its life holds the state, its two sides read and send, its troubles know the policies.
 */
export class Lane {
  readonly key: string
  readonly source: LaneTopic
  readonly target: LaneTopic
  readonly transactionalId: string
  readonly routed: boolean
  readonly first: bigint | undefined
  readonly #host: LaneHost
  readonly #hold: Hold | undefined
  #limits: LaneLimits
  #work: LaneWork
  readonly #life: LaneLife
  readonly #progress: LaneProgress
  readonly #from: LaneSource
  readonly #to: LaneTarget
  readonly troubles: LaneTroubles
  #buffer: LaneBuffer | undefined
  #epoch: LaneEpoch | undefined
  #epochTakenAtMs = 0
  #dirty = false
  #failWhenDrained: TwinlogError | undefined

  constructor(o: LaneOptions) {
    this.key = o.key
    this.source = o.source
    this.target = o.target
    this.transactionalId = o.transactionalId
    this.routed = o.routed ?? false
    this.first = o.first
    this.#host = o.host
    this.#hold = o.hold
    this.#limits = o.limits
    this.#work = o.work
    this.#progress = new LaneProgress(o.work.isolation)
    this.#life = new LaneLife({
      changed: (from, to) => this.#host.stateChanged(this, from, to),
      drop: () => this.#drop(),
      settled: () => this.settled,
      recover: reason => this.#host.recover(this, reason)
    })
    const failSoft = (error: TwinlogError) => {
      if (this.#to.abandon()) this.troubles.broken = true
      this.#life.failSoft(error)
    }
    this.troubles = new LaneTroubles({
      ...o,
      work: () => this.#work,
      buffer: () => this.#buffer,
      drop: offsets => this.#from.drop(offsets),
      forgetDrops: () => this.#from.forgetDrops(),
      cut: offset => this.#from.cut(offset),
      dropped: record => this.#host.dropped(this, record),
      lost: error => this.#host.lost(this, error),
      kick: () => this.#host.kick(this),
      fail: error => this.fail(error),
      failSoft
    })
    const host = {
      buffer: () => this.#buffer,
      epoch: () => this.#epoch,
      work: () => this.#work,
      copies: () => this.#life.copies,
      needsRecovery: () => this.needsRecovery,
      fetched: (ends: { highWatermark: bigint; lastStableOffset: bigint }) => this.#progress.fetched(ends),
      copied: (records: number, bytes: number, now: number) => {
        this.#progress.copied(records, bytes, now)
        this.#life.progressed()
      },
      observe: () => this.#observe(),
      markDirty: () => this.markDirty(),
      kick: () => this.#host.kick(this),
      writeGaps: (epoch: LaneEpoch, gaps: Gap[]) => this.#host.writeGaps(this, epoch, gaps),
      sourceMoved: () => this.#host.sourceMoved(this),
      sourceOutOfRange: () => this.#host.sourceOutOfRange(this),
      sourceTruncated: (at: bigint, error: TwinlogError) => this.troubles.sourceTruncated(at, error),
      mayHaveHoles: () => this.#host.mayHaveHoles(this),
      damaged: this.troubles.damaged.bind(this.troubles),
      dropped: (record: DroppedRecord) => this.#host.dropped(this, record),
      needsOwnId: () => this.troubles.needsOwnId(),
      refused: this.troubles.refused.bind(this.troubles),
      settled: () => this.#life.settled(),
      targetLost: (error: TwinlogError) => this.troubles.targetLost(error),
      fail: (error: TwinlogError) => this.fail(error),
      failSoft,
      failWhenDrained: (error: TwinlogError) => {
        this.#failWhenDrained = error
        this.#observe()
      }
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

  get work(): LaneWork {
    return this.#work
  }

  /** Identity under which the lane writes, or wrote last. */
  get epoch(): LaneEpoch | undefined {
    return this.#epoch
  }

  /** A transactional id that is not used for a week is forgotten, and what it fenced with it. */
  needsRenewal(now: number): boolean {
    return this.#epoch?.own === true && this.#life.copies && now - this.#epochTakenAtMs > RENEWAL_MS
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

  /** Target offset up to which nothing of the lane follows behind its end. */
  get seenTo(): bigint {
    return this.#to.seenTo
  }

  /** Up to here the target holds nothing of the lane behind its end: somebody has looked. */
  sawTo(offset: bigint): void {
    this.#to.sawTo(offset)
    this.markDirty()
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

  /** Only another attempt leads out of its state: nobody has to go on with this one. */
  get over(): boolean {
    return this.#life.over
  }

  get active(): boolean {
    return this.#life.active
  }

  get needsRecovery(): boolean {
    return this.#life.needsRecovery
  }

  get wantsFetch(): boolean {
    const reads = this.#life.copies && !this.#from.busy && !this.#from.holds
    return reads && !this.#failWhenDrained && this.bytes < this.#limits.bufferBytes
  }

  /** What is in memory goes on from this ordinal. */
  canResumeAt(next: bigint): boolean {
    return this.#buffer?.canResumeAt(next) ?? false
  }

  /** The topics' configs changed, or a plan that depends on them. */
  reconfigure(o: { limits?: Partial<LaneLimits>; work?: LaneWork }): void {
    this.#limits = { ...this.#limits, ...o.limits }
    this.#from.limits = this.#limits
    this.#to.reconfigure(this.#limits)
    if (o.work) this.#work = o.work
  }

  /** The recovered position: everything in memory that the target lacks goes out again, or the lane fetches anew. */
  begin(at: RecoveredPosition, fromState: () => LaneMemory): void {
    // Failed or stopped while the target was asked: that stands.
    if (this.#life.over) return
    if (this.#buffer && at.next < this.acknowledgedNext && !this.troubles.targetWasLost)
      return this.#targetLost(lostRecords(this.target, at.next, this.acknowledgedNext))
    // Gaps that were written under another identity are void under this one: what was planned on them is planned again.
    if (this.#epoch && (this.#epoch.epoch !== at.epoch.epoch || this.#epoch.producerId !== at.epoch.producerId))
      this.#buffer?.forget()
    if (this.#epoch?.epoch !== at.epoch.epoch) this.#epochTakenAtMs = Date.now()
    this.#epoch = at.epoch
    this.#failWhenDrained = undefined
    this.troubles.applySplit()
    if (this.#buffer?.resumeAt(at.next)) this.#from.beginAt()
    else {
      const { buffer, leaderEpoch } = fromState()
      if (this.#hold) buffer.countWith(this.#hold)
      this.#buffer?.drop()
      this.#buffer = buffer
      this.#from.beginAt(this.troubles.applyEra(buffer) ? -1 : leaderEpoch)
    }
    this.troubles.over()
    this.#to.beginAt(at.targetEnd, at.seenTo)
    this.#life.begin()
    // An idle partition is not told of again within a fetch session.
    this.#observe()
    this.#host.kick(this)
  }

  pause(): void {
    this.#life.pause()
  }

  resume(): void {
    if (!this.#life.resume()) return
    this.#host.kick(this)
    // What it was to fail for may have come while it was paused.
    this.#observe()
  }

  /** Out of `stopped` again: a move that had closed the lane was given up. */
  reopen(): void {
    this.#buffer?.forget()
    this.#life.reopen()
  }

  /** Out of `failed` again, to see whether the cause is gone. */
  retry(): void {
    this.#buffer?.forget()
    this.#life.retry()
  }

  mayRetry(now: number): boolean {
    return this.#life.mayRetry(now)
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

  /** Another process copies the lane, and only one may. */
  standBy(why: string): void {
    this.#life.standBy(why)
  }

  get standsBy(): boolean {
    return this.#life.standsBy
  }

  /** What decides about the plan has changed: the lane begins anew under it. */
  replan(): void {
    this.troubles.broken = true
    this.#buffer?.forget()
    this.unreachable(planChanged(this.source))
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

  /** Plans what was read; `frame` is what the segments are views of, where its memory is used again. Never rejects. */
  ingest(segments: Segment[], frame?: FrameLease): Promise<void> {
    return this.#from.ingest(segments, frame)
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
    if (!this.active && this.state !== 'paused') return
    if (this.#to.abandon()) this.troubles.broken = true
    this.#life.failSoft(error)
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

  /** Offset at which an open transaction of the source holds the lane up, while that is what it waits for. */
  get heldAt(): bigint | undefined {
    return this.state === 'waiting' && this.#life.copies ? this.#progress.heldAt(this.reached) : undefined
  }

  heldBy(holder: TransactionHolder): void {
    this.#progress.heldBy(holder)
    this.#observe()
  }

  /** `now` by the monotonic clock. */
  status(now = performance.now()): LaneStatus {
    return this.#progress.status(this, this.#life.why, now)
  }

  /** How the lane is protected against a second writer, and why. */
  get guard(): ReturnType<typeof guardOf> {
    return guardOf(this.#work.plan, this.#epoch, this.#to.writesTransactions)
  }

  #targetLost(error: TwinlogError): void {
    if (this.troubles.acceptsTargetLoss(error)) this.#life.askAgain(error)
    else this.fail(error)
  }

  #drop(): void {
    if (this.#to.abandon()) this.troubles.broken = true
    this.#failWhenDrained = undefined
    this.#from.letGo()
    this.#buffer?.drop()
  }

  #observe(): void {
    const now = performance.now()
    this.#progress.observe(this.reached, now)
    if (!this.#life.copies) return
    const failure = this.#failWhenDrained
    if (failure && this.drained) return this.fail(failure)
    const next = this.#from.waits ?? this.#progress.next(this, now)
    if (next) this.#life.moveTo(next.state, next.why)
  }
}
