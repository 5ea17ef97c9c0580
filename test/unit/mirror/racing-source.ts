import { isControl, isTransactional, viewOf } from '../../../src/records/batch.js'
import { decodeRecords } from '../../../src/records/decode.js'
import { encodeBatch } from '../../../src/records/encode.js'
import type { BatchView } from '../../../src/records/types.js'
import { type FakePartition, records } from '../lineage/fake-partition.js'

/** Mulberry32: the same seed, the same faults (as far as timers allow). */
export function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** A source log with committed and aborted transactions, plain batches and markers. */
export class RacingSource {
  readonly log: FakePartition
  /** Values by source offset, as a read_committed reader sees them. */
  readonly committed = new Map<bigint, string>()
  /** Age of the records that come next. */
  ageMs = 0
  readonly #random: () => number
  #written = 0

  constructor(log: FakePartition, random: () => number) {
    this.log = log
    this.#random = random
  }

  grow(): void {
    const producerId = 5n
    const kind = this.#random()
    const timestamp = BigInt(Date.now() - this.ageMs)
    const values = Array.from({ length: 1 + Math.floor(this.#random() * 6) }, () => `r${this.#written++}`)
    if (kind < 0.4) {
      this.#commit(this.log.append(encodeBatch({ records: records(values, timestamp) })), values)
      return
    }
    const identity = { producerId, producerEpoch: 0, baseSequence: 0, transactional: true }
    const base = this.log.append(encodeBatch({ records: records(values, timestamp), ...identity }))
    if (kind < 0.6) {
      const lastOffset = this.log.append(markerOf(this.log, producerId, 'abort'))
      this.log.aborted.push({ producerId, firstOffset: base, lastOffset })
      return
    }
    this.log.append(markerOf(this.log, producerId, 'commit'))
    this.#commit(base, values)
  }

  #commit(base: bigint, values: string[]): void {
    values.forEach((value, index) => this.committed.set(base + BigInt(index), value))
  }
}

function markerOf(log: FakePartition, producerId: bigint, type: 'abort' | 'commit'): Buffer {
  const end = log.end
  log.marker(producerId, 0, type)
  // Appended twice would be wrong: take it off again and let the caller append it.
  const bytes = (log.batches as Buffer[]).pop() as Buffer
  log.end = end
  return bytes
}

/** What a read_committed consumer reads, with its offsets; an independent look at the log. */
export function committedValues(log: FakePartition): (readonly [offset: bigint, value: string])[] {
  const views = log.batches.map(bytes => viewOf(bytes))
  const fate = (view: BatchView, index: number) => {
    if (!isTransactional(view.attributes)) return true
    const end = views.slice(index).find(later => isControl(later.attributes) && later.producerId === view.producerId)
    return end !== undefined && decodeRecords(end)[0]?.key?.readInt16BE(2) === 1
  }
  return views.flatMap((view, index) =>
    isControl(view.attributes) || !fate(view, index)
      ? []
      : decodeRecords(view).map(({ offset, value }) => [offset, String(value)] as const)
  )
}

/** A broker's check: producers go whose last batch or marker bears a time stamp this old, unless a transaction of theirs is open. */
export function expireProducers(log: FakePartition, expirationMs: number): void {
  for (const producerId of [...log.producers.keys()]) {
    if (log.transactions.has(producerId)) continue
    const last = log.batches.findLast(bytes => viewOf(bytes).producerId === producerId)
    if (!last || Date.now() - Number(viewOf(last).maxTimestamp) <= expirationMs) continue
    log.producers.delete(producerId)
  }
}
