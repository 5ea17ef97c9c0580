import { assertCrc, BATCH, corrupt } from '../../records/batch.js'
import { compressionOf } from '../../records/compression.js'
import { decodeRecords } from '../../records/decode.js'
import type { BatchView, DecodedRecord } from '../../records/types.js'
import type { OutputOrigin } from './output-batches.js'

/** A source batch whose records go through a transform. */
export interface OpenBatch {
  view: BatchView
  origin: OutputOrigin
  /** The transform's own: it may write into them. */
  records: DecodedRecord[]
  /** Decoded once more for failures. */
  untouched?: DecodedRecord[]
}

/** What a record takes besides key and value, roughly. */
const LIKELY_BYTES_BESIDES = 10

/** Verifies and decodes a batch. Its records get memory of their own: they are handed out, and the frame they came in is used again. */
export function openBatch(view: BatchView, stretch: number): OpenBatch {
  assertCrc(view)
  const codec = compressionOf(view.attributes)
  const records = decodeRecords(codec === 'none' ? { ...view, bytes: Buffer.from(view.bytes) } : view)
  let expected = view.baseOffset
  let bytes = 1
  for (const { offset, key, value } of records) {
    if (offset < expected || offset >= view.nextOffset) {
      throw corrupt(view.baseOffset, `a record has offset ${offset}, which does not fit`)
    }
    expected = offset + 1n
    bytes += LIKELY_BYTES_BESIDES + (key?.length ?? 0) + (value?.length ?? 0)
  }
  const compressionRatio = codec === 'none' ? 1 : Math.min(1, (view.bytes.length - BATCH.records) / bytes)
  return { view, origin: { codec, leaderEpoch: view.partitionLeaderEpoch, compressionRatio, stretch }, records }
}
