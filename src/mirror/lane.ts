import { TwinlogError, toTwinlogError } from '../errors.js'
import type { FrameLease } from '../kafka/frame-pool.js'
import type { FetchedPartition } from '../kafka/requests/fetch.js'
import type { ProducedPartition } from '../kafka/requests/produce.js'
import type { Gap, GapTable } from '../lineage/gap-table.js'
import { type LaneEpoch, sequenceOf } from '../lineage/sequence.js'
import { planBatches } from '../records/plan.js'
import { readSegments } from '../records/segments.js'
import { stampBatch } from '../records/stamp.js'
import type { CompressionName, Segment } from '../records/types.js'
import type { LaneBuffer, Send } from './lane-buffer.js'
import { LagClock, LANE_TRANSITIONS, type LaneStateName, type LaneStatus, RateMeter } from './lane-status.js'
import { RaceMeter } from './race-meter.js'
import { judgeFetchError, judgeProduceError } from './lane-errors.js'
import { assertYoungEnough } from './lane-guard.js'
import type { RecoveredPosition } from './recovery.js'

export interface LaneTopic {
  topic: string
  topicId: string
  partition: number
}

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

/** What a lane begins with when it has nothing in memory, or nothing that counts. */
export interface LaneMemory {
  buffer: LaneBuffer
  /** Leader epoch of the source up to where the buffer continues; -1: not known, so a truncation until the next record isn't seen. */
  leaderEpoch: number
}

export interface LaneLimits {
  maxBatchBytes: number
  coalesceBelowBytes: number
  /** A lane with this much in memory is not fetched for. */
  bufferBytes: number
  /** The target forgets a producer this long after the time stamp of its last batch. */
  producerIdExpirationMs: number
}

const PIPELINE_DEPTH = 5
const OUT_OF_ORDER = 45
const CAUGHT_UP_LAG_MS = 1_000
/** While answers come this often, the broker has not had the time to forget a producer and be written to by another one unnoticed. */
const FORGET_CHECK_MS = 60_000
const LONG_SILENCE_MS = 60 * 60 * 1000

/**
 * One source partition copied into one target partition. The lane plans and keeps order; fetching and appending are done for
 * all lanes of a broker together, recovery asks the target. After any error it stops, lets everything in flight settle, and
 * goes on from what the target has.
 */
export class Lane {
  readonly key: string
  readonly source: LaneTopic
  readonly target: LaneTopic
  readonly #host: LaneHost
  readonly #limits: LaneLimits
  readonly #lag = new LagClock()
  readonly #rate = new RateMeter()
  readonly #races = new RaceMeter()
  #state: LaneStateName = 'starting'
  #error: TwinlogError | undefined
  #why: string | undefined
  #buffer: LaneBuffer | undefined
  #epoch: LaneEpoch | undefined
  #maxInFlight = 1
  #needsRecovery = true
  #recovering = false
  #wantsPause = false
  #targetEnd = 0n
  #sourceEnd = 0n
  #highWatermark = 0n
  #leaderEpoch = -1
  /** Time stamp of the last acknowledged batch, and when the target last told where the lane ends. */
  #lastTimestampMs = 0
  #contactAtMs = 0
  #same45 = { evidence: '', times: 0 }
  #dirty = false

  constructor(o: { key: string; source: LaneTopic; target: LaneTopic; host: LaneHost; limits: LaneLimits }) {
    this.key = o.key
    this.source = o.source
    this.target = o.target
    this.#host = o.host
    this.#limits = o.limits
  }

  get state(): LaneStateName {
    return this.#state
  }

  get error(): TwinlogError | undefined {
    return this.#error
  }

  get position(): bigint {
    return this.#buffer?.position ?? 0n
  }

  get leaderEpoch(): number {
    return this.#leaderEpoch
  }

  get reached(): bigint {
    return this.#buffer?.reached ?? 0n
  }

  get targetEnd(): bigint {
    return this.#targetEnd
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
    return this.#state === 'copying' || this.#state === 'caught-up' || this.#state === 'waiting'
  }

  get needsRecovery(): boolean {
    return this.#needsRecovery
  }

  get wantsFetch(): boolean {
    return this.active && !this.#needsRecovery && (this.#buffer?.bytes ?? 0) < this.#limits.bufferBytes
  }

  /** The recovered position: everything in memory that the target lacks goes out again, or the lane fetches anew. */
  begin(at: RecoveredPosition, fromState: () => LaneMemory): void {
    // Failed or stopped while the target was asked: that stands.
    if (this.#state === 'failed' || this.#state === 'stopped') return
    if (this.#buffer && at.next < this.#buffer.acknowledgedNext) return this.fail(this.#lostRecords(at.next))
    // Gaps that were written under another identity are void under this one: what was planned on them is planned again.
    if (this.#epoch && (this.#epoch.epoch !== at.epoch.epoch || this.#epoch.producerId !== at.epoch.producerId))
      this.#buffer?.forget()
    this.#epoch = at.epoch
    if (!this.#buffer?.resumeAt(at.next)) {
      const { buffer, leaderEpoch } = fromState()
      this.#buffer = buffer
      this.#leaderEpoch = leaderEpoch
    }
    this.#targetEnd = at.targetEnd
    this.#maxInFlight = 1
    this.#lastTimestampMs = Date.now()
    this.#contactAtMs = Date.now()
    this.#needsRecovery = false
    this.#recovering = false
    this.#error = undefined
    this.#transition(this.#wantsPause ? 'paused' : this.#state === 'caught-up' ? 'caught-up' : 'copying')
    this.#host.kick(this)
  }

  pause(): void {
    this.#wantsPause = true
    if (this.active) this.#transition('paused')
  }

  resume(): void {
    this.#wantsPause = false
    if (this.#state === 'paused') {
      this.#transition(this.#needsRecovery ? 'starting' : 'copying')
      this.#host.kick(this)
    }
  }

  /** Out of `stopped` again: a move that had closed the lane was given up. */
  reopen(): void {
    this.#error = undefined
    this.#buffer?.forget()
    this.#transition('starting')
  }

  fail(error: TwinlogError): void {
    // Why it was stopped decides whether it is opened again.
    if (this.#state === 'stopped') return
    this.#error = error
    this.#needsRecovery = true
    this.#buffer?.drop()
    this.#transition('failed', error.message)
  }

  stop(why?: string, error?: TwinlogError): void {
    this.#error = error
    this.#needsRecovery = true
    this.#buffer?.drop()
    if (this.#state !== 'stopped') this.#transition('stopped', why)
  }

  /** What keeps the lane from starting may pass, but has not for a while. Its memory is for the others meanwhile. */
  blocked(error: TwinlogError): void {
    if (!this.#needsRecovery || this.#state === 'failed' || this.#state === 'stopped') return
    this.#error = error
    this.#buffer?.drop()
    this.#transition('waiting', error.message)
  }

  /** How long to stay back before the next attempt: a lane that keeps losing to another owner leaves it the way for a while. */
  stayBackMs(): number {
    return this.#races.pauseMs(Date.now())
  }

  /** A new connection may lead to a broker that has forgotten this producer: the first batch goes alone. */
  connectionChanged(): void {
    this.#maxInFlight = 1
  }

  // ── source side ───────────────────────────────────────────────────────────────────────────────────────────────

  /** Segments of a fetched answer, or undefined when it held an error or nothing; then the lane has dealt with it. */
  read(result: FetchedPartition, asked: bigint): Segment[] | undefined {
    // An answer to an older question must not be read: after a recovery it could hide a gap.
    if (!this.active || this.#needsRecovery || !this.#buffer || asked !== this.#buffer.position) return undefined
    if (result.errorCode !== 0) {
      this.#fetchFailed(result)
      return undefined
    }
    if (result.divergingEpoch) {
      this.fail(
        new TwinlogError(
          'TWINLOG_TRUNCATED',
          `source partition ${this.source.topic}-${this.source.partition} was truncated: epoch ${result.divergingEpoch.epoch} ends at ` +
            `${result.divergingEpoch.endOffset}, the lane had read up to ${this.position}`,
          { ...this.#where(), offset: result.divergingEpoch.endOffset }
        )
      )
      return undefined
    }
    this.#highWatermark = result.highWatermark
    this.#sourceEnd = result.lastStableOffset >= 0n ? result.lastStableOffset : result.highWatermark
    if (result.records.length === 0) {
      this.#observe()
      return undefined
    }
    const o = {
      position: this.#buffer.position,
      isolation: 'read_committed' as const,
      abortedTransactions: result.abortedTransactions
    }
    const { segments, leaderEpoch } = readSegments(result.records, o)
    if (leaderEpoch > this.#leaderEpoch) this.#leaderEpoch = leaderEpoch
    return segments
  }

  /** Plans what was read. The codecs of these segments are loaded; `frame` is what they are views of, where its memory is used again. */
  plan(segments: Segment[], frame?: FrameLease): void {
    try {
      this.#plan(segments, frame)
    } catch (error) {
      this.fail(toTwinlogError(error, 'TWINLOG_INTERNAL', `planning lane ${this.key} failed`, this.#where()))
    }
  }

  #plan(segments: Segment[], frame: FrameLease | undefined): void {
    const buffer = this.#buffer
    const epoch = this.#epoch
    // Loading a codec takes a while: after a recovery in between these segments would follow something else.
    if (!this.active || this.#needsRecovery || !buffer || !epoch || segments[0]?.from !== buffer.position) return
    const planned = planBatches(segments, this.#limits)
    for (const batch of planned.batches) {
      assertYoungEnough(batch, this.#limits.producerIdExpirationMs, this.source)
    }
    const { sends, gaps } = buffer.add(planned.batches, planned.next, frame)
    if (gaps.length > 0)
      this.#writeAhead(
        epoch,
        gaps,
        sends.filter(send => !send.durable)
      )
    this.#dirty = true
    this.#observe()
    if (sends.length > 0) this.#host.kick(this)
  }

  // ── target side ───────────────────────────────────────────────────────────────────────────────────────────────

  /** The next batch that may go out, not taken yet. */
  peek(): Send | undefined {
    // A paused lane fetches nothing more, but what was fetched goes out.
    if ((!this.active && this.#state !== 'paused') || this.#needsRecovery) return undefined
    const forgetful = this.#mayBeForgotten()
    const send = this.#buffer?.peek(forgetful ? 1 : this.#maxInFlight)
    if (!send || !this.#mustAskFirst(forgetful)) return send
    // After a silence the broker may have dropped our state by time stamp: look before the next batch, not after.
    if (this.settled) {
      this.#failSoft(
        new TwinlogError('TWINLOG_POSITION_UNKNOWN', 'the target may have forgotten this producer by now', {
          retriable: true
        })
      )
    }
    return undefined
  }

  /** Takes it: stamped with our identity, ready for the wire. */
  take(): Send {
    const send = this.#buffer?.take()
    if (!send || !this.#epoch) throw new TwinlogError('TWINLOG_INTERNAL', `lane ${this.key} has nothing to send`)
    stampBatch(send.batch.bytes, {
      producerId: this.#epoch.producerId,
      producerEpoch: this.#epoch.epoch,
      baseSequence: sequenceOf(send.first, this.#epoch)
    })
    return send
  }

  answered(send: Send, result: ProducedPartition): void {
    const buffer = this.#buffer
    if (!buffer || this.#needsRecovery) {
      if (buffer?.settle(send, result.errorCode === 0) === true) this.#acknowledged(send, result)
      this.#settled()
      return
    }
    if (result.errorCode !== 0) {
      buffer.settle(send, false)
      this.#produceFailed(result)
      return
    }
    const repeated = result.logAppendTimeMs !== -1n
    if (!repeated && result.baseOffset < this.#targetEnd) {
      buffer.settle(send, false)
      this.fail(
        new TwinlogError(
          'TWINLOG_TRUNCATED',
          `target partition ${this.target.topic}-${this.target.partition} appended at ${result.baseOffset}, but the lane had already written up to ` +
            `${this.#targetEnd}: the target was truncated or re-created`,
          { topic: this.target.topic, partition: this.target.partition, offset: result.baseOffset }
        )
      )
      return
    }
    if (buffer.settle(send, true)) this.#acknowledged(send, result)
    this.#maxInFlight = PIPELINE_DEPTH
    this.#same45.times = 0
    this.#rate.add(repeated ? 0 : send.batch.count, send.batch.bytes.length, Date.now())
    this.#observe()
    this.#host.kick(this)
  }

  /** Next ordinal and target end move together: a checkpoint must never hold one of this moment and one of that. */
  #acknowledged(send: Send, result: ProducedPartition): void {
    this.#targetEnd = result.baseOffset + BigInt(send.batch.count)
    this.#contactAtMs = Date.now()
    // The broker keeps the time stamp of the last batch, not the highest one.
    this.#lastTimestampMs = Number(send.batch.maxTimestamp)
    this.#dirty = true
  }

  /** The connection was lost under this send: whether it was appended is unknown until the target is asked. */
  unanswered(send: Send, error: TwinlogError): void {
    this.#buffer?.settle(send, false)
    if (this.#needsRecovery) this.#settled()
    else this.#failSoft(error)
  }

  /** The broker that was thought to lead the target cannot be reached: with nothing on its way there, nobody else would say so. */
  unreachable(error: TwinlogError): void {
    if (this.active || this.#state === 'paused') this.#failSoft(error)
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
    if (end > this.#sourceEnd) this.#sourceEnd = end
    this.#observe()
  }

  status(now = Date.now()): LaneStatus {
    const reached = this.reached
    const lag = this.#sourceEnd > reached ? this.#sourceEnd - reached : 0n
    return {
      topic: this.source.topic,
      partition: this.source.partition,
      targetTopic: this.target.topic,
      targetPartition: this.target.partition,
      state: this.#state,
      ...(this.#why === undefined ? {} : { why: this.#why }),
      guard: 'stable',
      sourceEnd: this.#sourceEnd,
      position: this.position,
      reached,
      targetEnd: this.#targetEnd,
      lagRecords: lag,
      lagMs: this.#lag.lagMs(reached, now),
      ...this.#rate.rates(now),
      ...(this.#error === undefined ? {} : { error: this.#error })
    }
  }

  #observe(): void {
    const now = Date.now()
    const reached = this.reached
    this.#lag.observe(this.#sourceEnd, reached, now)
    if (!this.active || this.#needsRecovery) return
    const done = this.#buffer?.empty === true && reached >= this.#sourceEnd
    // Live traffic leaves a few records on the way at any time: a lane that keeps within a second of the source stays caught up.
    if (!done) {
      if (this.#state !== 'caught-up' || this.#lag.lagMs(reached, now) > CAUGHT_UP_LAG_MS) this.#transition('copying')
    } else if (this.#sourceEnd < this.#highWatermark)
      this.#transition('waiting', `an open transaction on the source holds the log at offset ${this.#sourceEnd}`)
    else this.#transition('caught-up')
  }

  #writeAhead(epoch: LaneEpoch, gaps: Gap[], waiting: Send[]): void {
    this.#host.writeGaps(this, epoch, gaps).then(
      () => {
        for (const send of waiting) send.durable = true
        this.#host.kick(this)
      },
      (error: unknown) => {
        const cause =
          error instanceof TwinlogError
            ? error
            : new TwinlogError('TWINLOG_INTERNAL', 'writing gaps ahead failed', { cause: error })
        // Recovery begins from the written state again: what was planned behind unwritten gaps is forgotten.
        this.#buffer?.forget()
        this.#failSoft(
          new TwinlogError(cause.code, `cannot write gaps ahead: ${cause.message}`, { cause, retriable: true })
        )
      }
    )
  }

  #fetchFailed(result: FetchedPartition): void {
    const verdict = judgeFetchError(result, this.position, this.source)
    if (verdict.action === 'refresh') this.#host.sourceMoved(this)
    else if (verdict.action === 'ask-bounds') this.#host.sourceOutOfRange(this)
    else this.fail(verdict.error)
  }

  #produceFailed(result: ProducedPartition): void {
    const verdict = judgeProduceError(result, this.target)
    if (verdict.action === 'fail') return this.fail(verdict.error)
    if (result.errorCode === OUT_OF_ORDER) {
      this.#races.lost(Date.now())
      const evidence = `${this.#buffer?.acknowledgedNext}/${this.#targetEnd}`
      this.#same45 = { evidence, times: this.#same45.evidence === evidence ? this.#same45.times + 1 : 1 }
      if (this.#same45.times > 3) {
        return this.fail(
          new TwinlogError(
            'TWINLOG_POSITION_UNKNOWN',
            `the target refuses the lane's next sequence (error 45) ${this.#same45.times} times although nothing changed: next ordinal ` +
              `${this.#buffer?.acknowledgedNext}, target end ${this.#targetEnd}, producer ${this.#epoch?.producerId} epoch ${this.#epoch?.epoch}`,
            { topic: this.target.topic, partition: this.target.partition, kafkaCode: 45 }
          )
        )
      }
    }
    return this.#failSoft(verdict.error)
  }

  /** Stop, let everything in flight settle, then ask the target. */
  #failSoft(error: TwinlogError): void {
    if (this.#needsRecovery) return this.#settled()
    this.#needsRecovery = true
    this.#error = error
    // Losing a race to another owner is everyday life of a lane that two processes copy; it shows only when it takes long.
    if (error.kafkaCode !== OUT_OF_ORDER) this.#transition('starting')
    this.#settled()
  }

  #settled(): void {
    if (!this.#needsRecovery || !this.#error || this.#recovering || !this.settled) return
    if (this.#state === 'failed' || this.#state === 'stopped') return
    this.#recovering = true
    this.#host.recover(this, this.#error)
  }

  /** The broker forgets a producer by the time stamp of its last batch. */
  #mayBeForgotten(): boolean {
    return Date.now() - this.#lastTimestampMs > this.#limits.producerIdExpirationMs * 0.75
  }

  /** After a silence: another owner may have gone on and been forgotten, or a fence's marker may have been. */
  #mustAskFirst(forgetful: boolean): boolean {
    const silenceMs = Date.now() - this.#contactAtMs
    if (forgetful) return silenceMs > Math.min(FORGET_CHECK_MS, this.#limits.producerIdExpirationMs / 4)
    return silenceMs > LONG_SILENCE_MS
  }

  #lostRecords(next: bigint): TwinlogError {
    return new TwinlogError(
      'TWINLOG_TRUNCATED',
      `target partition ${this.target.topic}-${this.target.partition} goes on at ordinal ${next}, but it had acknowledged everything before ` +
        `${this.#buffer?.acknowledgedNext}: the target lost records`,
      { topic: this.target.topic, partition: this.target.partition }
    )
  }

  #transition(to: LaneStateName, why?: string): void {
    const from = this.#state
    this.#why = why
    if (from === to) return
    if (!LANE_TRANSITIONS[from].includes(to)) return
    this.#state = to
    this.#host.stateChanged(this, from, to)
  }

  #where() {
    return { topic: this.source.topic, partition: this.source.partition }
  }
}
