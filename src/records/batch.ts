import { TwinlogError } from '../errors.js'
import { crc32c } from './crc32c.js'
import type { BatchView } from './types.js'

/** Positions in a v2 RecordBatch. The checksum covers everything from `attributes` on. */
export const BATCH = {
  baseOffset: 0,
  length: 8,
  partitionLeaderEpoch: 12,
  magic: 16,
  crc: 17,
  attributes: 21,
  lastOffsetDelta: 23,
  firstTimestamp: 27,
  maxTimestamp: 35,
  producerId: 43,
  producerEpoch: 51,
  baseSequence: 53,
  count: 57,
  records: 61
} as const

/** Bytes in front of those that `length` counts. */
const LENGTH_OVERHEAD = 12

export const CODEC_MASK = 0x07
export const LOG_APPEND_TIME_BIT = 0x08
export const TRANSACTIONAL_BIT = 0x10
const CONTROL_BIT = 0x20
const DELETE_HORIZON_BIT = 0x40

export const isLogAppendTime = (attributes: number): boolean => (attributes & LOG_APPEND_TIME_BIT) !== 0
export const isTransactional = (attributes: number): boolean => (attributes & TRANSACTIONAL_BIT) !== 0
export const isControl = (attributes: number): boolean => (attributes & CONTROL_BIT) !== 0
export const hasDeleteHorizon = (attributes: number): boolean => (attributes & DELETE_HORIZON_BIT) !== 0

/** True when each offset between the first and the last one is a record, as far as the header says. */
export const isDense = (batch: BatchView): boolean => batch.count === batch.lastOffsetDelta + 1

/**
 * The complete batches of a fetch answer, as views. Brokers cut the answer at a byte limit, so a partial batch at the end is
 * normal and ignored.
 */
export function parseBatches(data: Buffer): BatchView[] {
  const batches: BatchView[] = []
  let start = 0
  while (data.length - start > BATCH.magic) {
    const magic = data[start + BATCH.magic] as number
    if (magic !== 2) throw unsupportedMagic(magic, data.readBigInt64BE(start))
    const size = data.readInt32BE(start + BATCH.length) + LENGTH_OVERHEAD
    if (size < BATCH.records) {
      throw corrupt(data.readBigInt64BE(start), `its length field says ${size} bytes, less than a batch header`)
    }
    if (size > data.length - start) break
    batches.push(viewOf(data.subarray(start, start + size)))
    start += size
  }
  return batches
}

/** Header fields of one batch; `bytes` is the batch and nothing else. */
export function viewOf(bytes: Buffer): BatchView {
  const baseOffset = bytes.readBigInt64BE(BATCH.baseOffset)
  const lastOffsetDelta = bytes.readInt32BE(BATCH.lastOffsetDelta)
  return {
    bytes,
    baseOffset,
    nextOffset: baseOffset + BigInt(lastOffsetDelta) + 1n,
    partitionLeaderEpoch: bytes.readInt32BE(BATCH.partitionLeaderEpoch),
    crc: bytes.readUInt32BE(BATCH.crc),
    attributes: bytes.readInt16BE(BATCH.attributes),
    lastOffsetDelta,
    firstTimestamp: bytes.readBigInt64BE(BATCH.firstTimestamp),
    maxTimestamp: bytes.readBigInt64BE(BATCH.maxTimestamp),
    producerId: bytes.readBigInt64BE(BATCH.producerId),
    producerEpoch: bytes.readInt16BE(BATCH.producerEpoch),
    baseSequence: bytes.readInt32BE(BATCH.baseSequence),
    count: bytes.readInt32BE(BATCH.count)
  }
}

/** Compares the checksum in the bytes (not the view's: the bytes may have been stamped since) with a fresh one. */
export function verifyCrc(batch: BatchView): boolean {
  return crc32c(batch.bytes.subarray(BATCH.attributes)) === batch.bytes.readUInt32BE(BATCH.crc)
}

/** A new checksum would bless damage: whatever is about to write one asks here first. */
export function assertCrc(batch: BatchView): void {
  if (!verifyCrc(batch)) throw corrupt(batch.baseOffset, 'its checksum does not match its content')
}

/** What a control batch announces. Its only record has the key {version int16, type int16}. */
export function controlType(batch: BatchView): 'abort' | 'commit' | 'other' {
  const { bytes } = batch
  // Record: length varint, attributes, timestamp delta, offset delta, key length, key. Markers are never compressed.
  let position: number = BATCH.records
  const skipVarint = () => {
    while (position < bytes.length && (bytes[position] as number) >= 0x80) position++
    position++
  }
  skipVarint()
  position++
  for (let field = 0; field < 3; field++) skipVarint()
  if (batch.count === 0 || position + 4 > bytes.length) return 'other'
  const type = bytes.readInt16BE(position + 2)
  return type === 0 ? 'abort' : type === 1 ? 'commit' : 'other'
}

export function corrupt(offset: bigint, problem: string, cause?: unknown): TwinlogError {
  return new TwinlogError(
    'TWINLOG_CORRUPT_BATCH',
    `The record batch at offset ${offset} is damaged: ${problem}. Check the log on the broker that served it (kafka-dump-log.sh --deep-iteration) and its disk.`,
    { offset, cause }
  )
}

function unsupportedMagic(magic: number, offset: bigint): TwinlogError {
  return new TwinlogError(
    'TWINLOG_UNSUPPORTED',
    `The batch at offset ${offset} has message format v${magic}; twinlog copies format v2 only. Set the topic's message format to v2 (Kafka 0.11 or later) and let the old segments expire.`,
    { offset }
  )
}
