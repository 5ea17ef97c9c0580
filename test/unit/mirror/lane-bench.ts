import { TwinlogError } from '../../../src/errors.js'
import type { FetchedPartition } from '../../../src/kafka/requests/fetch.js'
import type { ProducedPartition } from '../../../src/kafka/requests/produce.js'
import { type Gap, GapTable } from '../../../src/lineage/gap-table.js'
import type { LaneEpoch } from '../../../src/lineage/sequence.js'
import { Lane, type LaneHost } from '../../../src/mirror/lane.js'
import { LaneBuffer, type Send } from '../../../src/mirror/lane-buffer.js'
import { lanePlan, type PlanFacts } from '../../../src/mirror/lane-guard.js'
import type { LaneStateName } from '../../../src/mirror/lane-status.js'
import type { TransactionCalls } from '../../../src/mirror/lane-transaction.js'
import type { DroppedRecord } from '../../../src/mirror/lane-troubles.js'
import type { LaneLimits } from '../../../src/mirror/lane-types.js'
import type { LaneWork } from '../../../src/mirror/lane-work.js'
import type { RecoveredPosition } from '../../../src/mirror/recovery.js'
import { encodeBatch } from '../../../src/records/encode.js'
import { records } from '../lineage/fake-partition.js'

export const DAY_MS = 86_400_000
export const EPOCH: LaneEpoch = { producerId: 70n, epoch: 0, base: 0n, firstSequence: 0 }
export const OWN: LaneEpoch = { producerId: 900n, epoch: 3, base: 0n, firstSequence: 0, own: true, owner: 'me' }
export const cut = () => new TwinlogError('TWINLOG_UNREACHABLE', 'cut', { retriable: true })

export const PLAIN: PlanFacts = {
  isolation: 'read_committed',
  forward: 'local',
  transformed: false,
  compacted: false,
  routed: false,
  onRecordError: 'stop-partition',
  onGap: 'stop-partition'
}

/** What a lane does whose options are these. */
export function workOf(o: Partial<PlanFacts & LaneWork> = {}): LaneWork {
  const facts = { ...PLAIN, ...o }
  const { isolation, onRecordError, onGap } = facts
  return {
    plan: lanePlan({ ...facts, transformed: o.transform !== undefined }),
    isolation,
    onRecordError,
    onGap,
    classify: o.classify ?? (() => 'local'),
    transform: o.transform
  }
}

/** A Mirror that does nothing but take notes. */
export class FakeHost implements LaneHost {
  kicks = 0
  moved = 0
  outOfRange = 0
  holes: () => Promise<boolean> = () => Promise.resolve(true)
  /** Called for a record that is left out. */
  onDropped: (record: DroppedRecord) => Promise<void> = () => Promise.resolve()
  readonly recoveries: TwinlogError[] = []
  readonly gaps: { epoch: LaneEpoch; gaps: Gap[] }[] = []
  readonly states: LaneStateName[] = []
  readonly losses: TwinlogError[] = []
  readonly left: DroppedRecord[] = []
  writeGaps(_lane: Lane, epoch: LaneEpoch, gaps: Gap[]): Promise<void> {
    this.gaps.push({ epoch, gaps })
    return Promise.resolve()
  }
  kick = () => void this.kicks++
  recover = (_lane: Lane, reason: TwinlogError) => void this.recoveries.push(reason)
  sourceMoved = () => void this.moved++
  sourceOutOfRange = () => void this.outOfRange++
  mayHaveHoles = () => this.holes()
  lost = (_lane: Lane, error: TwinlogError) => void this.losses.push(error)
  stateChanged = (_lane: Lane, _from: LaneStateName, to: LaneStateName) => void this.states.push(to)
  async dropped(_lane: Lane, record: DroppedRecord): Promise<void> {
    await this.onDropped(record)
    this.left.push(record)
  }
}

/** A coordinator that answers when it is told to. */
export class FakeCalls implements TransactionCalls {
  readonly log: string[] = []
  readonly #waiting: { resolve: () => void; reject: (error: unknown) => void }[] = []

  begin(epoch: LaneEpoch): Promise<void> {
    return this.#call(`begin ${epoch.producerId}/${epoch.epoch}`)
  }

  commit(epoch: LaneEpoch): Promise<void> {
    return this.#call(`commit ${epoch.producerId}/${epoch.epoch}`)
  }

  /** Lets the oldest call succeed or fail, and what follows from it happen. */
  async answer(error?: unknown): Promise<void> {
    const oldest = this.#waiting.shift()
    if (!oldest) throw new Error('nobody waits for the coordinator')
    if (error === undefined) oldest.resolve()
    else oldest.reject(error)
    for (let turn = 0; turn < 5; turn++) await Promise.resolve()
  }

  #call(what: string): Promise<void> {
    this.log.push(what)
    return new Promise((resolve, reject) => void this.#waiting.push({ resolve, reject }))
  }
}

type AnswerOptions = Partial<FetchedPartition> & { skip?: bigint; timestampMs?: number; values?: string[] }

/** A lane whose target has 100 foreign records; batches of two records each are fetched for it. */
export class LaneBench {
  readonly host = new FakeHost()
  readonly calls = new FakeCalls()
  readonly lane: Lane
  fromStateCalls = 0
  /** What the state topic knows. */
  table = new GapTable(0n)
  #source = 0n

  constructor(o: { work?: LaneWork; limits?: Partial<LaneLimits> } = {}) {
    const where = { topic: 'orders', topicId: 'id', partition: 3 }
    const limits = {
      maxBatchBytes: 1_000_000,
      coalesceBelowBytes: 0,
      bufferBytes: 1 << 20,
      producerIdExpirationMs: DAY_MS,
      logAppendTime: false,
      ...o.limits
    }
    this.lane = new Lane({
      key: 'lane',
      source: where,
      target: where,
      host: this.host,
      limits,
      work: o.work ?? workOf(),
      transactionalId: 'twinlog.link.lane',
      transactions: this.calls
    })
  }

  begin(at: Partial<RecoveredPosition> = {}, reached?: bigint): this {
    const position = { next: 0n, epoch: EPOCH, targetEnd: 100n, ...at }
    this.lane.begin(position, () => {
      this.fromStateCalls++
      return { buffer: new LaneBuffer(this.table.clone(), position.next, reached), leaderEpoch: 4 }
    })
    this.#source = this.lane.position
    return this
  }

  /** An answer with so many batches behind what was fetched so far; `skip`: offsets before them that hold nothing. */
  answer(batches: number, o: AnswerOptions = {}): FetchedPartition {
    const { skip = 0n, timestampMs = Date.now(), values = ['a', 'b'], ...rest } = o
    let end = this.#source + skip
    const chunks: Buffer[] = []
    for (let batch = 0; batch < batches; batch++, end += BigInt(values.length))
      chunks.push(encodeBatch({ records: records(values, BigInt(timestampMs)), baseOffset: end }))
    return {
      topic: 'orders',
      topicId: 'id',
      partition: 3,
      errorCode: 0,
      highWatermark: end,
      lastStableOffset: end,
      logStartOffset: 0n,
      abortedTransactions: [],
      preferredReadReplica: -1,
      records: Buffer.concat(chunks),
      ...rest
    }
  }

  fetch(batches: number, o: AnswerOptions = {}): this {
    void this.fetchLater(batches, o)
    return this
  }

  /** For what cannot be planned at once. */
  async fetchLater(batches: number, o: AnswerOptions = {}): Promise<void> {
    const segments = this.lane.read(this.answer(batches, o), this.lane.position)
    if (!segments) throw new Error('the lane did not read')
    const planned = this.lane.ingest(segments)
    this.#source = this.lane.position
    await planned
    this.#source = this.lane.position
  }

  /** Sends everything that may go out now. */
  send(): Send[] {
    const sends: Send[] = []
    while (this.lane.peek()) sends.push(this.lane.take())
    return sends
  }

  appended(send: Send | undefined, baseOffset: bigint, o: Partial<ProducedPartition> = {}): void {
    this.lane.answered(send as Send, { ...ANSWER, baseOffset, ...o })
  }

  refused(send: Send | undefined, errorCode: number, badRecords: number[] = []): void {
    this.lane.answered(send as Send, { ...ANSWER, baseOffset: -1n, errorCode, badRecords })
  }

  /** What a checkpoint that is written now would say. */
  get pair() {
    return { next: this.lane.acknowledgedNext, targetEnd: this.lane.targetEnd }
  }
}

export const ANSWER: ProducedPartition = {
  topic: 'orders',
  topicId: 'id',
  partition: 3,
  errorCode: 0,
  baseOffset: 0n,
  logAppendTimeMs: -1n,
  logStartOffset: 0n,
  errorMessage: null,
  badRecords: []
}
