import { setImmediate as nextTurn } from 'node:timers/promises'
import { TwinlogError } from '../../errors.js'
import { loadCodec } from '../../records/compression.js'
import { decodeRecords } from '../../records/decode.js'
import { neededCodecs } from '../../records/plan.js'
import type { DecodedRecord, PlannedBatch, Segment } from '../../records/types.js'
import { abortable } from '../../util/abortable.js'
import type { AdmitRecords, RecordObstacle } from '../schemas/lane-schemas.js'
import type { SchemaHold } from '../schemas/schema-hold.js'
import type { Transform } from '../transform-types.js'
import { TransformCaller, type TransformOutcome } from './call-transform.js'
import { type OutputRoute, TransformInput, type TransformOutput } from './mirror-record.js'
import { type OpenBatch, openBatch } from './open-batch.js'
import { OutputBatches } from './output-batches.js'

/** A record, or a whole damaged batch, that cannot be carried over. */
export interface RecordFailure {
  /** Source offsets [offset, to) are what `drop` leaves out. */
  offset: bigint
  to: bigint
  /** As it stands on the source, whatever the transform did to it. Views: good until `onError` resolves. Undefined: the batch is damaged. */
  record: DecodedRecord | undefined
  /** Bytes of the damaged batch. */
  raw: Buffer | undefined
  error: TwinlogError
}

type Verdict = 'mine' | 'other'

export interface TransformRunOptions {
  transform: Transform
  source: { topic: string; partition: number }
  /**
   * Whether an output belongs to this lane. An error with code `TWINLOG_RECORD_REJECTED` makes a record error of it; any other one ends the run.
   */
  mine: (output: OutputRoute, offset: bigint) => Verdict | Promise<Verdict>
  /** For one record. Only asynchronous transforms can be late. */
  timeoutMs: number
  signal: AbortSignal
  /** Called in source order. */
  onError: (failure: RecordFailure) => Promise<'drop' | 'stop'>
  /** Asked for all outputs of a record that are the lane's, before they are placed. */
  admit?: AdmitRecords | undefined
  maxBatchBytes: number
  /** Source batches are put together until the outputs have this size. @defaultValue 512 KiB */
  preferredBatchBytes?: number | undefined
}

export interface TransformedSegments {
  batches: PlannedBatch[]
  /** Source offset up to which everything is in a batch or a gap. */
  next: bigint
  /** Where `onError` said stop: nothing from here on is planned. */
  stopped?: { offset: bigint; error: TwinlogError } | undefined
  /** Where a record waits for its schema: nothing from there on is planned. */
  held?: SchemaHold | undefined
  /** Source records that `onError` dropped. */
  dropped: number
}

const PREFERRED_BATCH_BYTES = 512 << 10
const CALLS_AT_ONCE = 32
/** Longest stretch of work without a look at anything else in the process. */
const TURN_MS = 5

/**
 * Runs a transform over a stretch of the source log and plans its outputs into batches, with offsets that have no output as gaps. The bytes of the
 * segments must stay as they are until it resolves. Rejects with `TWINLOG_ABORTED` when the signal aborts.
 */
export async function transformSegments(
  segments: readonly Segment[],
  o: TransformRunOptions
): Promise<TransformedSegments> {
  const first = segments[0]
  if (first === undefined) {
    throw new TwinlogError('TWINLOG_INTERNAL', 'There is nothing to transform: no segments were given.')
  }
  for (const codec of neededCodecs(segments)) await loadCodec(codec)
  return new TransformRun(first.from, o).run(segments)
}

interface Call {
  input: TransformInput
  batch: OpenBatch
  /** Of its record in the batch. */
  index: number
  outcome: TransformOutcome | Promise<TransformOutcome>
}

class TransformRun {
  readonly #o: TransformRunOptions
  readonly #caller: TransformCaller
  readonly #out: OutputBatches
  /** Calls whose turn has not come, oldest first. Empty as long as the transform is synchronous. */
  #calls: Call[] = []
  #stopped: TransformedSegments['stopped']
  #held: SchemaHold | undefined
  #dropped = 0
  #next: bigint
  #turnBegan = 0

  constructor(from: bigint, o: TransformRunOptions) {
    this.#o = o
    this.#next = from
    this.#caller = new TransformCaller(o)
    const { maxBatchBytes, preferredBatchBytes = PREFERRED_BATCH_BYTES } = o
    this.#out = new OutputBatches(from, { maxBatchBytes, preferredBatchBytes })
  }

  async run(segments: readonly Segment[]): Promise<TransformedSegments> {
    const { signal } = this.#o
    const onAbort = () => this.#caller.abort(aborted(signal))
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      this.#assertGoingOn()
      this.#turnBegan = performance.now()
      await this.#walk(segments)
      await this.#settle(0)
      this.#assertGoingOn()
      this.#out.flush()
      const next = this.#stopped?.offset ?? this.#held?.from ?? this.#next
      return { batches: this.#out.batches, next, stopped: this.#stopped, held: this.#held, dropped: this.#dropped }
    } finally {
      signal.removeEventListener('abort', onAbort)
      // Whatever ended the run: nobody waits for these any more.
      this.#caller.abort(new TwinlogError('TWINLOG_ABORTED', 'the result of this call no longer counts'))
    }
  }

  async #walk(segments: readonly Segment[]): Promise<void> {
    let batch: OpenBatch | undefined
    let stretch = 0
    for (const segment of segments) {
      if (segment.from !== this.#next || segment.to < segment.from) {
        throw new TwinlogError(
          'TWINLOG_INTERNAL',
          `Segments must follow each other: expected ${this.#next}, got ${segment.from}.`
        )
      }
      this.#next = segment.to
      if (segment.kind === 'gap') continue
      if (segment.cut === true) stretch++
      try {
        if (batch?.view !== segment.batch) batch = openBatch(segment.batch, stretch)
        else if (segment.cut === true) batch = { ...batch, origin: { ...batch.origin, stretch } }
      } catch (error) {
        if (!(error instanceof TwinlogError) || error.code !== 'TWINLOG_CORRUPT_BATCH') throw error
        batch = undefined
        await this.#settle(0)
        if (!this.#over) await this.#damaged(segment, error)
      }
      if (batch !== undefined) await this.#records(batch, segment.from, segment.to)
      if (this.#over) return
    }
  }

  async #records(batch: OpenBatch, from: bigint, to: bigint): Promise<void> {
    for (const [index, record] of batch.records.entries()) {
      if (record.offset < from) continue
      if (record.offset >= to || this.#over) return
      const input = new TransformInput(record)
      const call = { input, batch, index, outcome: this.#caller.call(input) }
      if (this.#calls.length === 0 && !(call.outcome instanceof Promise)) {
        const handled = this.#handle(call, call.outcome)
        if (handled !== undefined) await handled
      } else {
        this.#calls.push(call)
        if (this.#calls.length >= CALLS_AT_ONCE) await this.#settle(CALLS_AT_ONCE - 1)
      }
      if (performance.now() - this.#turnBegan > TURN_MS) await this.#breathe()
    }
  }

  /** Handles the oldest calls until no more than `left` of them wait. */
  async #settle(left: number): Promise<void> {
    while (this.#calls.length > left && !this.#over) {
      const call = this.#calls.shift() as Call
      const outcome = await call.outcome
      this.#assertGoingOn()
      const handled = this.#handle(call, outcome)
      if (handled !== undefined) await handled
    }
  }

  #handle(call: Call, outcome: TransformOutcome): Promise<void> | undefined {
    if ('error' in outcome) return this.#fail(call, outcome.error)
    const kept: DecodedRecord[] = []
    const { outputs } = outcome
    for (let index = 0; index < outputs.length; index++) {
      const output = outputs[index] as TransformOutput
      let verdict: Verdict | Promise<Verdict>
      try {
        verdict = this.#o.mine(output.route, call.input.offset)
      } catch (error) {
        return this.#notRouted(call, error)
      }
      if (verdict instanceof Promise) return this.#handleSlowly(call, outputs, index, kept, verdict)
      if (verdict === 'mine') kept.push(output.record)
    }
    return this.#place(call, kept)
  }

  async #handleSlowly(
    call: Call,
    outputs: TransformOutput[],
    index: number,
    kept: DecodedRecord[],
    pending: Promise<Verdict>
  ): Promise<void> {
    try {
      let verdict = await abortable(pending, this.#o.signal)
      for (let at = index; ; ) {
        if (verdict === 'mine') kept.push((outputs[at] as TransformOutput).record)
        const output = outputs[++at]
        if (output === undefined) break
        verdict = await abortable(Promise.resolve(this.#o.mine(output.route, call.input.offset)), this.#o.signal)
      }
    } catch (error) {
      return this.#notRouted(call, error)
    }
    return this.#place(call, kept)
  }

  #notRouted(call: Call, error: unknown): Promise<void> {
    if (error instanceof TwinlogError && error.code === 'TWINLOG_RECORD_REJECTED') return this.#fail(call, error)
    throw error
  }

  #place(call: Call, kept: DecodedRecord[]): Promise<void> | undefined {
    const obstacle = kept.length === 0 ? undefined : this.#o.admit?.(kept, call.input.offset)
    if (obstacle === undefined) return this.#add(call, kept)
    return obstacle instanceof Promise ? this.#placeLater(call, kept, obstacle) : this.#keepBack(call, obstacle)
  }

  async #placeLater(call: Call, kept: DecodedRecord[], pending: Promise<RecordObstacle | undefined>): Promise<void> {
    const obstacle = await abortable(pending, this.#o.signal)
    this.#turnBegan = performance.now()
    if (obstacle === undefined) await this.#add(call, kept)
    else await this.#keepBack(call, obstacle)
  }

  async #keepBack(call: Call, obstacle: RecordObstacle): Promise<void> {
    if (obstacle.kind === 'hold') this.#held = obstacle.held
    else if (obstacle.kind === 'drop') await this.#fail(call, obstacle.error)
    else this.#stopped = { offset: call.input.offset, error: obstacle.error }
  }

  /** Nothing more is planned. */
  get #over(): boolean {
    return this.#stopped !== undefined || this.#held !== undefined
  }

  #add(call: Call, kept: DecodedRecord[]): Promise<void> | undefined {
    const { input, batch } = call
    if (kept.length === 0 || this.#out.add(input.offset, kept, batch.origin)) return undefined
    const { topic, partition } = this.#o.source
    const message =
      `what the transform made of offset ${input.offset} of ${topic}-${partition} (${kept.length} records) does not fit into one batch of ` +
      `${this.#o.maxBatchBytes} bytes, the target's max.message.bytes`
    const context = { topic, partition, offset: input.offset }
    return this.#fail(call, new TwinlogError('TWINLOG_RECORD_TOO_LARGE', message, context))
  }

  async #fail({ input, batch, index }: Call, error: TwinlogError): Promise<void> {
    const { offset } = input
    batch.untouched ??= decodeRecords(batch.view)
    const record = batch.untouched[index]
    await this.#judge({ offset, to: offset + 1n, record, raw: undefined, error }, 1)
  }

  async #damaged({ batch, from, to }: Segment & { kind: 'data' }, error: TwinlogError): Promise<void> {
    const records = Math.max(0, Math.min(batch.count, Number(to - from)))
    await this.#judge({ offset: from, to, record: undefined, raw: batch.bytes, error }, records)
  }

  async #judge(failure: RecordFailure, records: number): Promise<void> {
    const verdict = await abortable(this.#o.onError(failure), this.#o.signal)
    this.#turnBegan = performance.now()
    if (verdict === 'drop') this.#dropped += records
    else this.#stopped = { offset: failure.offset, error: failure.error }
  }

  async #breathe(): Promise<void> {
    await nextTurn()
    this.#assertGoingOn()
    this.#turnBegan = performance.now()
  }

  #assertGoingOn(): void {
    if (this.#o.signal.aborted) throw aborted(this.#o.signal)
  }
}

function aborted(signal: AbortSignal): TwinlogError {
  return new TwinlogError('TWINLOG_ABORTED', 'aborted by the caller while records were transformed', {
    cause: signal.reason
  })
}
