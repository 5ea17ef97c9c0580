import type { AckRange } from '../control/ledger-part.js'

interface Span {
  from: bigint
  to: bigint
}

/**
 * Acknowledged offsets as sorted, merged ranges per partition. Acknowledgements come nearly in order, so that a producer
 * alone on a partition needs one range; what is replicated is forgotten, so that memory follows the mirror's lag.
 */
export class AcknowledgedRanges {
  readonly #spans = new Map<string, Map<number, Span[]>>()

  add({ topic, partition, from, to }: AckRange): void {
    if (to <= from) return
    let partitions = this.#spans.get(topic)
    if (partitions === undefined) this.#spans.set(topic, (partitions = new Map<number, Span[]>()))
    const spans = partitions.get(partition)
    if (spans === undefined) partitions.set(partition, [{ from, to }])
    else insert(spans, from, to)
  }

  /** Forgets everything below `offset`. */
  dropBelow(topic: string, partition: number, offset: bigint): void {
    const spans = this.#spans.get(topic)?.get(partition)
    if (spans === undefined) return
    let gone = 0
    for (const span of spans) {
      if (span.to > offset) break
      gone++
    }
    spans.splice(0, gone)
    const first = spans[0]
    if (first !== undefined && first.from < offset) first.from = offset
  }

  clear(): void {
    this.#spans.clear()
  }

  list(): AckRange[] {
    const ranges: AckRange[] = []
    for (const [topic, partitions] of this.#spans) {
      for (const [partition, spans] of partitions) {
        for (const { from, to } of spans) ranges.push({ topic, partition, from, to })
      }
    }
    return ranges
  }
}

function insert(spans: Span[], from: bigint, to: bigint): void {
  let start = spans.length
  while (start > 0 && (spans[start - 1] as Span).to >= from) start--
  let end = start
  let low = from
  let high = to
  while (end < spans.length && (spans[end] as Span).from <= to) {
    const span = spans[end] as Span
    if (span.from < low) low = span.from
    if (span.to > high) high = span.to
    end++
  }
  spans.splice(start, end - start, { from: low, to: high })
}
