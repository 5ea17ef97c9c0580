import { TwinlogError } from '../errors.js'
import { BATCH, TRANSACTIONAL_BIT } from './batch.js'
import { codecFor, compressionBits } from './compression.js'
import { crc32c } from './crc32c.js'
import type { CompressionName, DecodedRecord } from './types.js'
import { sizeOfVarint, sizeOfVarlongBig, writeVarint, writeVarlongBig } from './varint.js'

export interface EncodeBatchInput {
  /** In offset order; offsets become deltas to the first one's. */
  records: DecodedRecord[]
  /** @defaultValue 0n */
  baseOffset?: bigint | undefined
  /** @defaultValue 'none' */
  compression?: CompressionName | undefined
  /** @defaultValue -1n */
  producerId?: bigint | undefined
  /** @defaultValue -1 */
  producerEpoch?: number | undefined
  /** @defaultValue -1 */
  baseSequence?: number | undefined
  transactional?: boolean | undefined
}

/** What the deltas of a batch count from. */
type Base = Pick<DecodedRecord, 'offset' | 'timestamp'>

/** A CreateTime batch of these records. */
export function encodeBatch(input: EncodeBatchInput): Buffer {
  const { records, compression = 'none' } = input
  const first = records[0]
  const last = records[records.length - 1]
  if (first === undefined || last === undefined) {
    throw new TwinlogError('TWINLOG_INTERNAL', 'A record batch cannot be built from zero records.')
  }
  let maxTimestamp = first.timestamp
  let bound: number = BATCH.records
  for (const record of records) {
    if (record.timestamp > maxTimestamp) maxTimestamp = record.timestamp
    bound += recordBound(record)
  }
  const bytes = Buffer.allocUnsafe(bound)
  let end: number = BATCH.records
  for (const record of records) end = writeRecord(bytes, end, record, first)
  return finishBatch(bytes.subarray(0, end), {
    ...input,
    compression,
    count: records.length,
    lastOffsetDelta: Number(last.offset - first.offset),
    firstTimestamp: first.timestamp,
    maxTimestamp
  })
}

interface BatchHeader {
  count: number
  lastOffsetDelta: number
  firstTimestamp: bigint
  maxTimestamp: bigint
  compression: CompressionName
  baseOffset?: bigint | undefined
  producerId?: bigint | undefined
  producerEpoch?: number | undefined
  baseSequence?: number | undefined
  transactional?: boolean | undefined
}

/** Compresses what lies behind the (still empty) header of `plain`, and writes the header and its checksum. */
export function finishBatch(plain: Buffer, header: BatchHeader): Buffer {
  let bytes = plain
  if (header.compression !== 'none') {
    const compressed = codecFor(header.compression).compress(plain.subarray(BATCH.records))
    bytes = Buffer.allocUnsafe(BATCH.records + compressed.length)
    compressed.copy(bytes, BATCH.records)
  }
  const attributes = compressionBits(header.compression) | (header.transactional === true ? TRANSACTIONAL_BIT : 0)
  bytes.writeBigInt64BE(header.baseOffset ?? 0n, BATCH.baseOffset)
  bytes.writeInt32BE(bytes.length - BATCH.partitionLeaderEpoch, BATCH.length)
  bytes.writeInt32BE(-1, BATCH.partitionLeaderEpoch)
  bytes[BATCH.magic] = 2
  bytes.writeInt16BE(attributes, BATCH.attributes)
  bytes.writeInt32BE(header.lastOffsetDelta, BATCH.lastOffsetDelta)
  bytes.writeBigInt64BE(header.firstTimestamp, BATCH.firstTimestamp)
  bytes.writeBigInt64BE(header.maxTimestamp, BATCH.maxTimestamp)
  bytes.writeBigInt64BE(header.producerId ?? -1n, BATCH.producerId)
  bytes.writeInt16BE(header.producerEpoch ?? -1, BATCH.producerEpoch)
  bytes.writeInt32BE(header.baseSequence ?? -1, BATCH.baseSequence)
  bytes.writeInt32BE(header.count, BATCH.count)
  bytes.writeUInt32BE(crc32c(bytes.subarray(BATCH.attributes)), BATCH.crc)
  return bytes
}

const sizeOfBytes = (data: Buffer | null): number => (data === null ? 1 : sizeOfVarint(data.length) + data.length)

/** Bytes that surely hold an encoded record. */
export const recordBound = (record: DecodedRecord): number => 30 + sizeOfFields(record)

/** Size of a record behind its offset delta. */
function sizeOfFields(record: DecodedRecord): number {
  let size = sizeOfBytes(record.key) + sizeOfBytes(record.value) + sizeOfVarint(record.headers.length)
  for (const [name, value] of record.headers) size += sizeOfBytes(name) + sizeOfBytes(value)
  return size
}

/** Writes a record whose deltas count from `first`, and returns the position behind it. */
export function writeRecord(bytes: Buffer, start: number, record: DecodedRecord, first: Base): number {
  const timestampDelta = BigInt.asIntN(64, record.timestamp - first.timestamp)
  const offsetDelta = Number(record.offset - first.offset)
  const length = 1 + sizeOfVarlongBig(timestampDelta) + sizeOfVarint(offsetDelta) + sizeOfFields(record)
  let position = writeVarint(bytes, start, length)
  bytes[position++] = 0
  position = writeVarlongBig(bytes, position, timestampDelta)
  position = writeVarint(bytes, position, offsetDelta)
  position = writeBytes(bytes, position, record.key)
  position = writeBytes(bytes, position, record.value)
  position = writeVarint(bytes, position, record.headers.length)
  for (const [name, value] of record.headers) {
    position = writeBytes(bytes, position, name)
    position = writeBytes(bytes, position, value)
  }
  return position
}

function writeBytes(bytes: Buffer, position: number, data: Buffer | null): number {
  if (data === null) return writeVarint(bytes, position, -1)
  position = writeVarint(bytes, position, data.length)
  bytes.set(data, position)
  return position + data.length
}
