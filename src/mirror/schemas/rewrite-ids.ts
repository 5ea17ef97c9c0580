import { BATCH, assertCrc, viewOf } from '../../records/batch.js'
import { codecFor, compressionOf } from '../../records/compression.js'
import { crc32c } from '../../records/crc32c.js'
import type { BatchView, DecodedRecord } from '../../records/types.js'
import { ID_AT, type Part } from './wire-format.js'

/** Ids of a batch that are others on the target. */
export interface IdPatches {
  /** Content of the batch, decompressed. */
  payload: Buffer
  /** Where in it a magic byte is followed by an id, and the id that belongs there. */
  at: number[]
  ids: number[]
}

/**
 * The same batch with other ids, in memory of its own: header, records and compression stay as they are. An id has four bytes whatever it
 * is, so nothing moves. Verifies the checksum first: a new one would bless damage. The batch's codec must be loaded.
 */
export function patchBatch(batch: BatchView, { payload, at, ids }: IdPatches): BatchView {
  assertCrc(batch)
  const compression = compressionOf(batch.attributes)
  const plain = compression === 'none'
  // What was not compressed is a view of the frame, which others read.
  const content = plain ? Buffer.from(batch.bytes) : payload
  const start = plain ? BATCH.records : 0
  for (let index = 0; index < at.length; index++)
    content.writeInt32BE(ids[index] as number, start + (at[index] as number) + ID_AT)
  const bytes = plain ? content : withRecords(batch, codecFor(compression).compress(content))
  bytes.writeUInt32BE(crc32c(bytes.subarray(BATCH.attributes)), BATCH.crc)
  return viewOf(bytes)
}

function withRecords(batch: BatchView, records: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(BATCH.records + records.length)
  batch.bytes.copy(bytes, 0, 0, BATCH.records)
  records.copy(bytes, BATCH.records)
  bytes.writeInt32BE(bytes.length - BATCH.partitionLeaderEpoch, BATCH.length)
  return bytes
}

/** What of a record gets another id: its key or value, or the header at this place. */
export type RecordPlace = Part | number

/** Puts an id into a record that a transform has made. Its buffers may be the transform's own, so they are not written to. */
export function rewriteRecord(record: DecodedRecord, place: RecordPlace, id: number): void {
  const rewritten = (bytes: Buffer | null) => {
    if (bytes === null) return null
    const copy = Buffer.from(bytes)
    copy.writeInt32BE(id, ID_AT)
    return copy
  }
  if (place === 'key') record.key = rewritten(record.key)
  else if (place === 'value') record.value = rewritten(record.value)
  else {
    const header = record.headers[place]
    if (header) record.headers[place] = [header[0], rewritten(header[1])]
  }
}
