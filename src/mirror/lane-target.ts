import { TwinlogError } from '../errors.js'
import type { ProducedPartition } from '../kafka/requests/produce.js'
import { type LaneEpoch, sequenceOf } from '../lineage/sequence.js'
import { stampBatch } from '../records/stamp.js'
import type { LaneLimits, LaneTopic } from './lane-types.js'
import type { LaneBuffer, Send } from './lane-buffer.js'
import {
  judgeProduceError,
  OUT_OF_ORDER_SEQUENCE,
  producerMaybeForgotten,
  sequenceRefused,
  targetTruncated
} from './lane-errors.js'
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
  fail(error: TwinlogError): void
  failSoft(error: TwinlogError): void
}

/** The target side of a lane: what goes out and when, and what the answers mean. */
export class LaneTarget {
  readonly #key: string
  readonly #target: LaneTopic
  readonly #host: TargetSideHost
  readonly #races = new RaceMeter()
  readonly #contact: TargetContact
  #end = 0n
  #maxInFlight = 1
  #same45 = { evidence: '', times: 0 }

  constructor(o: { key: string; target: LaneTopic; limits: LaneLimits; host: TargetSideHost }) {
    this.#key = o.key
    this.#target = o.target
    this.#host = o.host
    this.#contact = new TargetContact(o.limits.producerIdExpirationMs)
  }

  /** Target offset behind the lane's last acknowledged record. */
  get end(): bigint {
    return this.#end
  }

  /** The target was asked: it ends here. */
  beginAt(end: bigint): void {
    this.#end = end
    this.#maxInFlight = 1
    this.#contact.asked(Date.now())
  }

  /** How long to stay back before the next attempt. */
  stayBackMs(): number {
    return this.#races.pauseMs(Date.now())
  }

  connectionChanged(): void {
    this.#maxInFlight = 1
  }

  peek(): Send | undefined {
    const now = Date.now()
    const buffer = this.#host.buffer()
    const send = buffer?.peek(this.#contact.mayBeForgotten(now) ? 1 : this.#maxInFlight)
    if (!send || !this.#contact.mustAskFirst(now)) return send
    // After a silence the broker may have dropped our state by time stamp: look before the next batch, not after.
    if (buffer?.unsettled === 0) this.#host.failSoft(producerMaybeForgotten())
    return undefined
  }

  take(): Send {
    const send = this.#host.buffer()?.take()
    const epoch = this.#host.epoch()
    if (!send || !epoch) throw new TwinlogError('TWINLOG_INTERNAL', `lane ${this.#key} has nothing to send`)
    stampBatch(send.batch.bytes, {
      producerId: epoch.producerId,
      producerEpoch: epoch.epoch,
      baseSequence: sequenceOf(send.first, epoch)
    })
    return send
  }

  answered(send: Send, result: ProducedPartition): void {
    const buffer = this.#host.buffer()
    if (!buffer || this.#host.needsRecovery()) {
      if (buffer?.settle(send, result.errorCode === 0) === true) this.#acknowledged(send, result)
      this.#host.settled()
      return
    }
    if (result.errorCode !== 0) {
      buffer.settle(send, false)
      this.#produceFailed(result, buffer)
      return
    }
    const repeated = result.logAppendTimeMs !== -1n
    if (!repeated && result.baseOffset < this.#end) {
      buffer.settle(send, false)
      this.#host.fail(targetTruncated(this.#target, result.baseOffset, this.#end))
      return
    }
    if (buffer.settle(send, true)) this.#acknowledged(send, result)
    this.#maxInFlight = PIPELINE_DEPTH
    this.#same45.times = 0
    this.#host.copied(repeated ? 0 : send.batch.count, send.batch.bytes.length, Date.now())
    this.#host.observe()
    this.#host.kick()
  }

  unanswered(send: Send, error: TwinlogError): void {
    this.#host.buffer()?.settle(send, false)
    if (this.#host.needsRecovery()) this.#host.settled()
    else this.#host.failSoft(error)
  }

  /** Next ordinal and target end move together: a checkpoint must never hold one of this moment and one of that. */
  #acknowledged(send: Send, result: ProducedPartition): void {
    this.#end = result.baseOffset + BigInt(send.batch.count)
    this.#contact.acknowledged(Number(send.batch.maxTimestamp), Date.now())
    this.#host.markDirty()
  }

  #produceFailed(result: ProducedPartition, buffer: LaneBuffer): void {
    const verdict = judgeProduceError(result, this.#target)
    if (verdict.action === 'fail') return this.#host.fail(verdict.error)
    if (result.errorCode === OUT_OF_ORDER_SEQUENCE) {
      this.#races.lost(Date.now())
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
