import type { FetchedPartition } from '../kafka/requests/fetch.js'
import { BATCH, controlType, isControl, parseBatches } from '../records/batch.js'

const SIZE_AT = 8
const BEFORE_SIZE = 12

/**
 * Cuts what was fetched of one partition between batches, into pieces of about so many bytes: each can be read by itself, in order.
 * The list of aborted transactions goes with them: one that has ended in a piece is not in the next, where a later transaction of the
 * same producer would be taken for it.
 */
export function* cutFetched(result: FetchedPartition, pieceBytes: () => number): Generator<FetchedPartition> {
  const { records } = result
  let aborted = [...result.abortedTransactions].sort((a, b) => (a.firstOffset < b.firstOffset ? -1 : 1))
  let start = 0
  while (records.length - start > pieceBytes()) {
    const end = endOfPiece(records, start, pieceBytes())
    if (end === start || end >= records.length) break
    const piece = records.subarray(start, end)
    yield { ...result, records: piece, abortedTransactions: aborted }
    if (aborted.length > 0) aborted = withoutEnded(aborted, piece)
    start = end
  }
  yield start === 0 ? result : { ...result, records: records.subarray(start), abortedTransactions: aborted }
}

/** At least one batch; a batch that the broker has cut off goes with the last piece. */
function endOfPiece(records: Buffer, start: number, pieceBytes: number): number {
  let end = start
  while (end + BATCH.records <= records.length) {
    const next = end + BEFORE_SIZE + records.readInt32BE(end + SIZE_AT)
    if (next > records.length || next <= end) return records.length
    if (end > start && next - start > pieceBytes) return end
    end = next
  }
  return end === start ? records.length : end
}

function withoutEnded(aborted: FetchedPartition['abortedTransactions'], piece: Buffer): typeof aborted {
  const rest = [...aborted]
  for (const batch of parseBatches(piece)) {
    if (!isControl(batch.attributes) || controlType(batch) !== 'abort') continue
    const ended = rest.findIndex(entry => entry.producerId === batch.producerId && entry.firstOffset < batch.nextOffset)
    if (ended >= 0) rest.splice(ended, 1)
  }
  return rest
}
