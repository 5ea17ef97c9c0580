import { BATCH, isTransactional, viewOf } from '../../../src/records/batch.js'
import { crc32c } from '../../../src/records/crc32c.js'
import { encodeBatch } from '../../../src/records/encode.js'
import type { DecodedRecord } from '../../../src/records/types.js'

interface Producer {
  epoch: number
  /** Last five data batches, oldest first. Empty behind a marker that began the epoch. */
  batches: { first: number; last: number; offset: bigint }[]
}

const SEQUENCE_SPACE = 2 ** 31

/** A partition's log with Kafka's idempotence rules (as measured: five batches remembered, unknown ids may begin anywhere). */
export class FakePartition {
  start = 0n
  end = 0n
  /** A slow follower holds the high watermark here; acks=all waits as long. */
  heldAt: bigint | undefined
  /** Answers are cut at so many bytes, but hold one batch at least. */
  responseBytes = Number.POSITIVE_INFINITY
  /** Offset at which an open transaction holds readers back. */
  openFrom: bigint | undefined
  /** Open transactions: producer id → their first offset here. */
  readonly transactions = new Map<bigint, bigint>()
  readonly aborted: { producerId: bigint; firstOffset: bigint; lastOffset: bigint }[] = []
  readonly producers = new Map<bigint, Producer>()
  #log: Buffer[] = []

  get highWatermark(): bigint {
    return this.heldAt !== undefined && this.heldAt < this.end ? this.heldAt : this.end
  }

  get lastStable(): bigint {
    const open = [...this.transactions.values(), ...(this.openFrom === undefined ? [] : [this.openFrom])]
    return open.reduce((lowest, offset) => (offset < lowest ? offset : lowest), this.highWatermark)
  }

  get batches(): readonly Buffer[] {
    return this.#log
  }

  /** As a follower or a test would: no questions asked. */
  append(bytes: Buffer): bigint {
    const offset = this.end
    bytes.writeBigInt64BE(offset, BATCH.baseOffset)
    this.#log.push(bytes)
    this.end = offset + BigInt(viewOf(bytes).lastOffsetDelta) + 1n
    return offset
  }

  produce(bytes: Buffer): { errorCode: number; baseOffset: bigint; logAppendTimeMs: bigint } {
    const batch = viewOf(bytes)
    if (crc32c(bytes.subarray(BATCH.attributes)) !== batch.crc) return refused(2)
    if (batch.count !== batch.lastOffsetDelta + 1 || batch.baseOffset !== 0n) return refused(87)
    if (batch.producerId < 0n) return { errorCode: 0, baseOffset: this.append(bytes), logAppendTimeMs: -1n }
    const known = this.producers.get(batch.producerId)
    const first = batch.baseSequence
    const last = (first + batch.count - 1) % SEQUENCE_SPACE
    if (known) {
      if (batch.producerEpoch < known.epoch) return refused(47)
      const repeated =
        batch.producerEpoch === known.epoch
          ? known.batches.find(old => old.first === first && old.last === last)
          : undefined
      if (repeated) return { errorCode: 0, baseOffset: repeated.offset, logAppendTimeMs: batch.maxTimestamp }
      const newest = batch.producerEpoch === known.epoch ? known.batches.at(-1) : undefined
      const expected = newest ? (newest.last + 1) % SEQUENCE_SPACE : 0
      if (first !== expected) return refused(45)
    }
    // Within a transaction only records of the transaction.
    const transactional = isTransactional(batch.attributes)
    if (!transactional && this.transactions.has(batch.producerId)) return refused(48)
    const offset = this.append(bytes)
    if (transactional && !this.transactions.has(batch.producerId)) this.transactions.set(batch.producerId, offset)
    const batches = known && known.epoch === batch.producerEpoch ? known.batches : []
    this.producers.set(batch.producerId, {
      epoch: batch.producerEpoch,
      batches: [...batches, { first, last, offset }].slice(-5)
    })
    return { errorCode: 0, baseOffset: offset, logAppendTimeMs: -1n }
  }

  marker(producerId: bigint, epoch: number, type: 'abort' | 'commit' = 'commit'): bigint {
    const known = this.producers.get(producerId)
    if (!known || known.epoch < epoch) this.producers.set(producerId, { epoch, batches: [] })
    const offset = this.append(markerBatch(producerId, epoch, type))
    const firstOffset = this.transactions.get(producerId)
    this.transactions.delete(producerId)
    if (firstOffset !== undefined && type === 'abort')
      this.aborted.push({ producerId, firstOffset, lastOffset: offset })
    return offset
  }

  /** Retention or DeleteRecords: whole batches below the offset go. */
  trim(start: bigint): void {
    this.start = start
    this.#log = this.#log.filter(bytes => viewOf(bytes).nextOffset > start)
  }

  /** Compaction: these batches go, by their base offset; nothing moves. */
  compact(gone: ReadonlySet<bigint>): void {
    this.#log = this.#log.filter(bytes => !gone.has(viewOf(bytes).baseOffset))
  }

  /** Loses its end, as in an unclean election. */
  truncate(end: bigint): void {
    this.#log = this.#log.filter(bytes => viewOf(bytes).nextOffset <= end)
    this.end = end
  }

  fetch(offset: bigint, maxBytes: number, committed: boolean) {
    const end = committed ? this.lastStable : this.highWatermark
    const bounds = { highWatermark: this.highWatermark, lastStableOffset: this.lastStable, logStartOffset: this.start }
    if (offset < this.start || offset > this.highWatermark) {
      const unknown = { highWatermark: -1n, lastStableOffset: -1n, logStartOffset: -1n }
      return { errorCode: 1, ...unknown, abortedTransactions: [], records: Buffer.alloc(0) }
    }
    const chosen: Buffer[] = []
    let bytes = 0
    for (const batch of this.#log) {
      const { nextOffset, baseOffset } = viewOf(batch)
      if (nextOffset <= offset || baseOffset >= end) continue
      if (chosen.length > 0 && bytes + batch.length > Math.min(maxBytes, this.responseBytes)) break
      chosen.push(batch)
      bytes += batch.length
    }
    const abortedTransactions = committed ? this.aborted.filter(entry => entry.lastOffset >= offset) : []
    return { errorCode: 0, ...bounds, abortedTransactions, records: Buffer.concat(chosen) }
  }

  describeProducers() {
    return [...this.producers].map(([producerId, producer]) => ({
      producerId,
      producerEpoch: producer.epoch,
      lastSequence: producer.batches.at(-1)?.last ?? -1,
      lastTimestamp: 0n,
      coordinatorEpoch: -1,
      currentTxnStartOffset: this.transactions.get(producerId) ?? -1n
    }))
  }
}

const refused = (errorCode: number) => ({ errorCode, baseOffset: -1n, logAppendTimeMs: -1n })

/** Records with these values and a young time stamp. */
export function records(values: string[], timestamp = BigInt(Date.now())): DecodedRecord[] {
  return values.map((value, index) => ({
    offset: BigInt(index),
    timestamp,
    key: null,
    value: Buffer.from(value),
    headers: []
  }))
}

/** `count` records of one producer; without one, foreign ones. */
export function dataBatch(
  count: number,
  o: { producerId?: bigint; producerEpoch?: number; baseSequence?: number; transactional?: boolean } = {}
): Buffer {
  return encodeBatch({ records: records(Array.from({ length: count }, () => 'x')), ...o })
}

function markerBatch(producerId: bigint, producerEpoch: number, type: 'abort' | 'commit'): Buffer {
  const key = Buffer.from([0, 0, 0, type === 'commit' ? 1 : 0])
  const record = { offset: 0n, timestamp: BigInt(Date.now()), key, value: Buffer.alloc(6), headers: [] }
  const bytes = encodeBatch({ records: [record], producerId, producerEpoch, transactional: true })
  bytes.writeInt16BE(0x30, BATCH.attributes)
  bytes.writeUInt32BE(crc32c(bytes.subarray(BATCH.attributes)), BATCH.crc)
  return bytes
}
