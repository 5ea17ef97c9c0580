import type { Gap } from './gap-table.js'
import { formatKey, type WriterIdentity } from './state-keys.js'
import { encodeEntry, encodeGapChunk, type GapChunk } from './state-values.js'

/** Whose words the keys name; undefined for the first identity of an ordinary lane: several processes with one plan share its keys. */
export type KeyIdentity = WriterIdentity | undefined

/** The entries that tell of these gaps: chunks of those that follow each other, and one for each new history of the source. */
export function gapRecords(
  lane: string,
  { producerId, epoch, gaps }: GapChunk,
  identity: KeyIdentity
): { key: Buffer; value: Buffer }[] {
  const entries: { key: Buffer; value: Buffer }[] = []
  let run: Gap[] = []
  const flush = () => {
    const first = run[0]
    if (first) {
      const key = chunkKey(lane, { ordinal: first.ordinal, count: run.length }, identity)
      entries.push({ key, value: encodeGapChunk({ producerId, epoch, gaps: run }) })
    }
    run = []
  }
  for (const gap of gaps) {
    if (gap.era === undefined) {
      run.push(gap)
      continue
    }
    flush()
    const key = formatKey({ kind: 'era', lane, ordinal: gap.ordinal, identity: { producerId, epoch } })
    entries.push({ key: Buffer.from(key), value: encodeEntry({ producerId, epoch, ...gap }) })
  }
  flush()
  return entries
}

export function chunkKey(lane: string, chunk: { ordinal: bigint; count: number }, identity: KeyIdentity): Buffer {
  return Buffer.from(formatKey({ kind: 'gaps', lane, ...chunk, identity }))
}
