import { TwinlogError } from '../errors.js'
import { assertCrc, BATCH, isDense, isLogAppendTime, viewOf } from './batch.js'
import { payloadOf } from './decode.js'
import { compressionOf } from './compression.js'
import { BatchRewriter, compressPlanned, rewrittenBound, slicePlanned } from './rewrite.js'
import type { BatchView, CompressionName, PlannedBatch, Segment } from './types.js'

export interface PlanOptions {
  /** Target's limit for a batch (`max.message.bytes`). Larger ones are split; a single record that is too large is the target's to judge. */
  maxBatchBytes: number
  /** What is put together grows up to this, below `maxBatchBytes`. @defaultValue `maxBatchBytes` */
  preferredBatchBytes?: number | undefined
  /** Neighbouring source batches below this size are put together. 0: never. */
  coalesceBelowBytes: number
}

export interface Plan {
  batches: PlannedBatch[]
  /** Offsets without a record behind the last batch: it may still grow, so it belongs to no batch yet. */
  trailingGap: { from: bigint; to: bigint } | null
  /** Source offset behind all segments. */
  next: bigint
}

type DataSegment = Extract<Segment, { kind: 'data' }>

/** What a rewritten record usually grows by: enough to be right nearly always, since a batch that got too big is split. */
const LIKELY_GROWTH_PER_RECORD = 6

/** Compressed neighbours are put together up to this many times the preferred size of decompressed data. */
const DECOMPRESSED_FACTOR = 4

/**
 * Chooses for each batch: pass it as it is, coalesce it with its neighbours, or rebuild it. At least one segment. Pure; the codecs that
 * {@link neededCodecs} names must be loaded.
 */
export function planBatches(segments: readonly Segment[], options: PlanOptions): Plan {
  const first = segments[0]
  if (first === undefined)
    throw new TwinlogError('TWINLOG_INTERNAL', 'There is nothing to plan: no segments were given.')
  const planner = new Planner(options, first.from)
  let next = first.from
  for (const segment of segments) {
    if (segment.from !== next || segment.to < segment.from) {
      throw new TwinlogError(
        'TWINLOG_INTERNAL',
        `Segments must follow each other: expected ${next}, got ${segment.from}.`
      )
    }
    next = segment.to
    if (segment.kind === 'data') planner.add(segment)
  }
  planner.flush()
  const trailingGap = planner.placed < next ? { from: planner.placed, to: next } : null
  return { batches: planner.batches, trailingGap, next }
}

/** Codecs that planning these segments can call for; without options every codec that occurs. */
export function neededCodecs(segments: readonly Segment[], options?: PlanOptions): CompressionName[] {
  const names = new Set<CompressionName>()
  for (const segment of segments) {
    if (segment.kind !== 'data') continue
    if (options !== undefined && !isSmall(segment, options) && passes(segment, options)) continue
    names.add(compressionOf(segment.batch.attributes))
  }
  names.delete('none')
  return [...names]
}

/**
 * The rest of a planned batch whose first `n` records are on the target already; gaps before the first remaining record are
 * taken to be known there too. Verifies the checksum; the batch's codec must be loaded.
 */
export function dropFirstRecords(planned: PlannedBatch, n: number): PlannedBatch {
  if (n === 0) return planned
  const view = viewOf(planned.bytes)
  assertCrc(view)
  const rest = slicePlanned(planned, n, planned.count)
  const gaps = rest.gaps.filter(gap => gap.index > 0)
  return compressPlanned({ ...rest, gaps, via: 'rebuild' }, compressionOf(view.attributes))
}

/** The bytes can go to the target as they are: nothing cut off, no hole, and the timestamps are the producer's. */
function canPass({ batch, from, to }: DataSegment): boolean {
  return isDense(batch) && from === batch.baseOffset && to === batch.nextOffset && !isLogAppendTime(batch.attributes)
}

/** ... and the target takes them, or they can't be split. */
const passes = (segment: DataSegment, options: PlanOptions): boolean =>
  canPass(segment) && (segment.batch.bytes.length <= options.maxBatchBytes || segment.batch.count === 1)

const isSmall = (segment: DataSegment, options: PlanOptions): boolean =>
  segment.batch.bytes.length < options.coalesceBelowBytes

class Planner {
  readonly batches: PlannedBatch[] = []
  /** Source offset behind the last record that is in a batch. */
  placed: bigint
  readonly #options: PlanOptions
  /** Neighbours with the same codec that become one batch. */
  #run: DataSegment[] = []
  #runBytes = 0
  #runCodec: CompressionName = 'none'

  constructor(options: PlanOptions, from: bigint) {
    this.#options = options
    this.placed = from
  }

  add(segment: DataSegment): void {
    const { batch } = segment
    if (segment.cut === true) this.flush()
    // What is left of a batch after something was carved out of it stays together: it is opened once.
    if (this.#run.at(-1)?.batch === batch) {
      this.#run.push(segment)
      return
    }
    if (!isSmall(segment, this.#options)) {
      this.flush()
      this.#run.push(segment)
      this.#runBytes = Number.POSITIVE_INFINITY
      return
    }
    const codec = compressionOf(batch.attributes)
    const bytes = likelySize(batch, codec)
    if (codec !== this.#runCodec || this.#runBytes + bytes > this.#preferredBytes) this.flush()
    if (this.#run.length === 0) {
      this.#runBytes = BATCH.records
      this.#runCodec = codec
    }
    this.#run.push(segment)
    this.#runBytes += bytes
  }

  get #preferredBytes(): number {
    const { maxBatchBytes, preferredBatchBytes = maxBatchBytes } = this.#options
    return Math.min(preferredBatchBytes, maxBatchBytes)
  }

  flush(): void {
    const run = this.#run
    if (run.length === 0) return
    this.#run = []
    this.#runBytes = 0
    this.#emit(run)
  }

  #emit(run: DataSegment[]): void {
    const limit = this.#preferredBytes * DECOMPRESSED_FACTOR
    for (let start = 0; start < run.length; ) {
      const single = run[start] as DataSegment
      if (start === run.length - 1 && passes(single, this.#options)) {
        this.#pass(single)
        return
      }
      const payloads: Buffer[] = []
      let capacity = 0
      for (let index = start; index < run.length; index++) {
        const { batch } = run[index] as DataSegment
        const continues = index > start && run[index - 1]?.batch === batch
        if (capacity > limit && !continues) break
        if (!continues) assertCrc(batch)
        const payload = continues ? (payloads.at(-1) as Buffer) : payloadOf(batch)
        payloads.push(payload)
        if (!continues) capacity += rewrittenBound(batch, payload)
      }
      this.#rewrite(run, start, payloads, capacity)
      start += payloads.length
    }
  }

  #pass({ batch, from, to }: DataSegment): void {
    this.batches.push({
      bytes: batch.bytes,
      count: batch.count,
      from,
      to,
      gaps: from > this.placed ? [{ index: 0, from: this.placed, to: from }] : [],
      maxTimestamp: batch.maxTimestamp,
      sourceLeaderEpoch: batch.partitionLeaderEpoch,
      via: 'pass'
    })
    this.placed = to
  }

  #rewrite(run: DataSegment[], start: number, payloads: Buffer[], capacity: number): void {
    const rewriter = new BatchRewriter(capacity, this.placed)
    for (let index = 0; index < payloads.length; index++) {
      const { batch, from, to } = run[start + index] as DataSegment
      rewriter.append(batch, payloads[index] as Buffer, from, to)
    }
    const joined = run[start]?.batch !== run[start + payloads.length - 1]?.batch
    const planned = rewriter.finish(joined ? 'coalesce' : 'rebuild')
    if (planned === null) return
    const codec = compressionOf((run[start] as DataSegment).batch.attributes)
    this.#pushWithinLimit(planned, codec)
    this.placed = planned.to
  }

  #pushWithinLimit(plain: PlannedBatch, codec: CompressionName): void {
    const planned = compressPlanned(plain, codec)
    if (planned.bytes.length <= this.#options.maxBatchBytes || planned.count === 1) {
      this.batches.push(planned)
      return
    }
    const middle = planned.count >> 1
    this.#pushWithinLimit(slicePlanned(plain, 0, middle), codec)
    this.#pushWithinLimit(slicePlanned(plain, middle, plain.count), codec)
  }
}

function likelySize(batch: BatchView, codec: CompressionName): number {
  if (codec !== 'none') return batch.bytes.length
  return batch.bytes.length - BATCH.records + batch.count * LIKELY_GROWTH_PER_RECORD
}
