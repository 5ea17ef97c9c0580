import { TwinlogError, toTwinlogError } from '../errors.js'
import type { ProducedPartition } from '../kafka/requests/produce.js'
import { type LaneEpoch, sequenceOf } from '../lineage/sequence.js'
import { stampBatch } from '../records/stamp.js'
import { type Clocks, clocks } from '../util/clocks.js'
import type { LaneBuffer, Send } from './lane-buffer.js'
import {
  judgeProduceError,
  OUT_OF_ORDER_SEQUENCE,
  producerMaybeForgotten,
  sequenceRefused,
  targetTruncated
} from './lane-errors.js'
import { AgeGuard } from './lane-guard.js'
import { LaneTransaction, type TransactionCalls } from './lane-transaction.js'
import type { LaneLimits, LaneTopic } from './lane-types.js'
import { RaceMeter } from './race-meter.js'
import { TargetContact } from './target-contact.js'

const PIPELINE_DEPTH = 5

/** What the target side needs of its lane. */
export interface TargetSideHost {
  buffer(): LaneBuffer | undefined
  epoch(): LaneEpoch | undefined
  needsRecovery(): boolean
  /** A recovery that waits for everything in flight may be able to begin. */
  settled(): void
  copied(records: number, bytes: number, now: number): void
  observe(): void
  markDirty(): void
  kick(): void
  /** Old records come: the lane needs a producer id of its own before they can be written. */
  needsOwnId(): void
  /** The target does not take what this batch holds, now or ever. */
  refused(send: Send, error: TwinlogError, badRecords: readonly number[]): void
  /** The target no longer has what it had acknowledged. */
  targetLost(error: TwinlogError): void
  fail(error: TwinlogError): void
  failSoft(error: TwinlogError): void
}

/** The target side of a lane: what goes out and when, and what the answers mean. */
export class LaneTarget {
  readonly #key: string
  readonly #target: LaneTopic
  #limits: LaneLimits
  readonly #host: TargetSideHost
  readonly #transactionalId: string
  readonly #races = new RaceMeter()
  readonly #contact: TargetContact
  readonly #age: AgeGuard
  readonly #transaction: LaneTransaction
  /** Answers of the transaction that is open: final only with its commit. */
  readonly #answers = new Map<Send, ProducedPartition>()
  #end = 0n
  #seenTo = 0n
  #maxInFlight = 1
  #writesTransactions = false
  #same45 = { evidence: '', times: 0 }

  constructor(o: {
    key: string
    target: LaneTopic
    limits: LaneLimits
    transactionalId: string
    transactions: TransactionCalls
    host: TargetSideHost
  }) {
    this.#key = o.key
    this.#target = o.target
    this.#limits = o.limits
    this.#host = o.host
    this.#transactionalId = o.transactionalId
    this.#contact = new TargetContact(o.limits.producerIdExpirationMs)
    this.#age = new AgeGuard(o.limits.producerIdExpirationMs)
    this.#transaction = new LaneTransaction(o.transactions, {
      epoch: () => this.#host.epoch(),
      changed: () => this.#host.kick(),
      committed: () => this.#committed(),
      failed: error => this.#host.failSoft(retriable(error, this.#target))
    })
  }

  /** The target's configs have changed. */
  reconfigure(limits: LaneLimits): void {
    this.#limits = limits
    this.#contact.expirationMs = limits.producerIdExpirationMs
    this.#age.expirationMs = limits.producerIdExpirationMs
  }

  /** Target offset behind the lane's last acknowledged record. */
  get end(): bigint {
    return this.#end
  }

  /** Up to here the target holds nothing of the lane behind its end: markers of its own, and what others wrote. */
  get seenTo(): bigint {
    return this.#seenTo > this.#end ? this.#seenTo : this.#end
  }

  sawTo(offset: bigint): void {
    if (offset > this.#seenTo) this.#seenTo = offset
  }

  get inTransaction(): boolean {
    return this.#transaction.state !== 'closed'
  }

  /** The last batch went out in a transaction. */
  get writesTransactions(): boolean {
    return this.#writesTransactions
  }

  /** The target was asked: it ends here. */
  beginAt(end: bigint, seenTo = end): void {
    this.#end = end
    this.#seenTo = seenTo
    this.#maxInFlight = 1
    this.#transaction.reset()
    this.#answers.clear()
    this.#contact.asked(clocks())
  }

  /** The lane has stopped. True when a transaction was open: what became of it only a new epoch can tell. */
  abandon(): boolean {
    this.#answers.clear()
    return this.#transaction.abandon()
  }

  /** How long to stay back before the next attempt. */
  stayBackMs(): number {
    return this.#races.pauseMs(performance.now())
  }

  connectionChanged(): void {
    this.#maxInFlight = 1
  }

  /** The next batch that may go out now. Looking is what opens and closes transactions. */
  peek(): Send | undefined {
    const buffer = this.#host.buffer()
    if (!buffer) return undefined
    const now = clocks()
    const send = buffer.peek(this.#contact.mayBeForgotten(now) ? 1 : this.#maxInFlight)
    if (!send) {
      this.#perhapsCommit(buffer, now)
      return undefined
    }
    if (this.#contact.mustAskFirst(now) && !this.inTransaction) {
      // After a silence the broker may have dropped our state by time stamp: look before the next batch, not after.
      if (buffer.unsettled === 0) this.#host.failSoft(producerMaybeForgotten())
      return undefined
    }
    // Whoever gathers a request must know before it takes the batch: one request names one transactional id.
    send.transactionalId = this.#transaction.state === 'open' ? this.#transactionalId : undefined
    return this.#isOld(send, now) ? this.#peekOld(send, buffer, now) : this.#peekYoung(send, buffer)
  }

  take(): Send {
    const send = this.#host.buffer()?.take()
    const epoch = this.#host.epoch()
    if (!send || !epoch) throw new TwinlogError('TWINLOG_INTERNAL', `lane ${this.#key} has nothing to send`)
    const transactional = this.#transaction.state === 'open'
    this.#writesTransactions = transactional
    send.transactionalId = transactional ? this.#transactionalId : undefined
    if (transactional) this.#transaction.sent(send.batch.bytes.length)
    stampBatch(send.batch.bytes, {
      producerId: epoch.producerId,
      producerEpoch: epoch.epoch,
      baseSequence: sequenceOf(send.first, epoch),
      transactional
    })
    return send
  }

  answered(send: Send, result: ProducedPartition): void {
    const buffer = this.#host.buffer()
    if (!buffer || this.#host.needsRecovery()) {
      const final = send.transactionalId === undefined && result.errorCode === 0
      if (buffer?.settle(send, final) === true) this.#acknowledged(send, result)
      this.#host.settled()
      return
    }
    if (result.errorCode !== 0) {
      buffer.settle(send, false)
      this.#produceFailed(send, result, buffer)
      return
    }
    const repeated = this.#limits.logAppendTime ? result.baseOffset < this.#end : result.logAppendTimeMs !== -1n
    if (!repeated && result.baseOffset < this.#end) {
      buffer.settle(send, false)
      this.#host.targetLost(targetTruncated(this.#target, result.baseOffset, this.#end))
      return
    }
    this.#maxInFlight = PIPELINE_DEPTH
    this.#same45.times = 0
    if (send.transactionalId !== undefined) {
      if (buffer.answered(send)) this.#answers.set(send, result)
      this.#acknowledgedNow()
    } else if (buffer.settle(send, true)) this.#acknowledged(send, result)
    this.#host.copied(repeated ? 0 : send.batch.count, send.batch.bytes.length, performance.now())
    this.#host.observe()
    this.#host.kick()
  }

  unanswered(send: Send, error: TwinlogError): void {
    this.#host.buffer()?.settle(send, false)
    if (this.#host.needsRecovery()) this.#host.settled()
    else this.#host.failSoft(error)
  }

  #isOld(send: Send, now: Clocks): boolean {
    // With its own time stamps the target remembers a producer by the time of the append.
    return !this.#limits.logAppendTime && this.#age.needsTransaction(Number(send.batch.maxTimestamp), now.wall)
  }

  #peekOld(send: Send, buffer: LaneBuffer, now: Clocks): Send | undefined {
    if (this.#host.epoch()?.own !== true) {
      if (buffer.unsettled === 0) this.#host.needsOwnId()
      return undefined
    }
    if (this.#transaction.state === 'open' && !this.#transaction.full(now.monotonic)) return send
    if (buffer.unsettled > 0) return undefined
    if (this.#transaction.state === 'open') this.#transaction.commit()
    else this.#transaction.open(now.monotonic)
    return undefined
  }

  /** Young records go on in a transaction that is open; a plain batch waits for its end. */
  #peekYoung(send: Send, buffer: LaneBuffer): Send | undefined {
    if (this.#transaction.state === 'closed') return send
    if (buffer.unsettled === 0) this.#transaction.commit()
    return undefined
  }

  #perhapsCommit(buffer: LaneBuffer, now: Clocks): void {
    if (this.#transaction.state !== 'open' || buffer.unsettled > 0) return
    if (this.#transaction.full(now.monotonic)) return this.#transaction.commit()
    this.#transaction.commitSoon(() => buffer.unsettled === 0)
  }

  #committed(): void {
    for (const send of this.#host.buffer()?.commit() ?? []) {
      const result = this.#answers.get(send)
      if (result) this.#acknowledged(send, result)
    }
    this.#answers.clear()
    // Its marker stands behind the last record.
    this.#seenTo = this.#end + 1n
    // The marker is the latest the broker knows of this producer, and it is of now.
    this.#acknowledgedNow()
    this.#host.observe()
  }

  #acknowledgedNow(): void {
    const now = clocks()
    this.#contact.acknowledged(now.wall, now)
  }

  /** Next ordinal and target end move together: a checkpoint must never hold one of this moment and one of that. */
  #acknowledged(send: Send, result: ProducedPartition): void {
    this.#end = result.baseOffset + BigInt(send.batch.count)
    const now = clocks()
    this.#contact.acknowledged(this.#limits.logAppendTime ? now.wall : Number(send.batch.maxTimestamp), now)
    this.#host.markDirty()
  }

  #produceFailed(send: Send, result: ProducedPartition, buffer: LaneBuffer): void {
    const verdict = judgeProduceError(result, this.#target)
    if (verdict.action === 'refused') return this.#host.refused(send, verdict.error, result.badRecords)
    if (verdict.action === 'fail') return this.#host.fail(verdict.error)
    if (result.errorCode === OUT_OF_ORDER_SEQUENCE) {
      this.#races.lost(performance.now())
      const next = buffer.acknowledgedNext
      const evidence = `${next}/${this.#end}`
      this.#same45 = { evidence, times: this.#same45.evidence === evidence ? this.#same45.times + 1 : 1 }
      const { times } = this.#same45
      if (times > 3) {
        const at = { next, targetEnd: this.#end, epoch: this.#host.epoch() }
        return this.#host.fail(sequenceRefused(this.#target, times, at))
      }
    }
    return this.#host.failSoft(verdict.error)
  }
}

function retriable(error: unknown, target: LaneTopic): TwinlogError {
  return toTwinlogError(
    error,
    'TWINLOG_UNREACHABLE',
    `a transaction on target partition ${target.topic}-${target.partition} failed`,
    { retriable: true }
  )
}
