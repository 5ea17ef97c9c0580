import { BATCH, corrupt, isLogAppendTime } from './batch.js'
import { codecFor, compressionOf } from './compression.js'
import type { BatchView, DecodedRecord } from './types.js'
import { type Cursor, readVarint, readVarlong, readVarlongBig } from './varint.js'

/** The records' bytes, decompressed where need be; a view when they were not compressed. */
export function payloadOf(batch: BatchView): Buffer {
  const payload = decompress(batch)
  // Buffers are sized by the count further on: a count that cannot be true must not get there.
  if (batch.count < 0 || batch.count > payload.length) {
    throw corrupt(batch.baseOffset, `its header counts ${batch.count} records in ${payload.length} bytes`)
  }
  return payload
}

function decompress(batch: BatchView): Buffer {
  const stored = batch.bytes.subarray(BATCH.records)
  const compression = compressionOf(batch.attributes)
  if (compression === 'none') return stored
  const codec = codecFor(compression)
  try {
    return codec.decompress(stored)
  } catch (cause) {
    throw corrupt(batch.baseOffset, `its ${compression} data cannot be decompressed`, cause)
  }
}

/** All records of a batch, as views into it (or into its decompressed content). Does not verify the checksum. */
export function decodeRecords(batch: BatchView): DecodedRecord[] {
  const payload = payloadOf(batch)
  const logAppendTime = isLogAppendTime(batch.attributes)
  const cursor: Cursor = { position: 0 }
  const records: DecodedRecord[] = []
  try {
    for (let index = 0; index < batch.count; index++) {
      const length = readVarint(payload, cursor)
      const end = cursor.position + length
      if (length < 0 || end > payload.length) throw new RangeError(`record ${index} runs over the end`)
      const record = decodeRecord(payload, cursor, batch)
      if (logAppendTime) record.timestamp = batch.maxTimestamp
      if (cursor.position !== end) throw new RangeError(`record ${index} does not have the length it says`)
      records.push(record)
    }
  } catch (cause) {
    if (cause instanceof RangeError) throw corrupt(batch.baseOffset, cause.message, cause)
    throw cause
  }
  if (cursor.position !== payload.length) throw corrupt(batch.baseOffset, 'there are bytes behind its last record')
  return records
}

function decodeRecord(payload: Buffer, cursor: Cursor, batch: BatchView): DecodedRecord {
  cursor.position++
  const beforeTimestamp = cursor.position
  const delta = readVarlong(payload, cursor)
  let timestamp: bigint
  if (Number.isNaN(delta)) {
    cursor.position = beforeTimestamp
    timestamp = BigInt.asIntN(64, batch.firstTimestamp + readVarlongBig(payload, cursor))
  } else {
    timestamp = delta === 0 ? batch.firstTimestamp : BigInt.asIntN(64, batch.firstTimestamp + BigInt(delta))
  }
  const offset = batch.baseOffset + BigInt(readVarint(payload, cursor))
  const key = readBytes(payload, cursor)
  const value = readBytes(payload, cursor)
  const headerCount = readVarint(payload, cursor)
  if (headerCount < 0) throw new RangeError('a record has a negative number of headers')
  const headers: DecodedRecord['headers'] = []
  for (let index = 0; index < headerCount; index++) {
    const name = readBytes(payload, cursor)
    if (name === null) throw new RangeError('a header has no name')
    headers.push([name, readBytes(payload, cursor)])
  }
  return { offset, timestamp, key, value, headers }
}

function readBytes(payload: Buffer, cursor: Cursor): Buffer | null {
  const length = readVarint(payload, cursor)
  if (length < 0) return null
  const start = cursor.position
  if (length > payload.length - start) throw new RangeError('a field runs over the end')
  cursor.position = start + length
  return payload.subarray(start, start + length)
}
