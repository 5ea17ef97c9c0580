import type { Segment } from './types.js'

export interface CarveOptions {
  /** Source offsets that are left out: they become gaps. In any order. */
  drops: Iterable<bigint>
  /** Source offsets that no planned batch may reach over. In any order. */
  cuts?: Iterable<bigint> | undefined
}

const inOrder = (a: bigint, b: bigint) => (a < b ? -1 : a > b ? 1 : 0)

/**
 * The same stretch of the source log with some offsets left out and some boundaries drawn. A cut at an offset without a record holds for
 * the next record: no batch may have records from both sides of it. Pure; segments that nothing touches are handed on as they are.
 */
export function carve(segments: readonly Segment[], { drops, cuts = [] }: CarveOptions): Segment[] {
  const begin = segments[0]?.from ?? 0n
  const end = segments.at(-1)?.to ?? 0n
  const relevant = (offsets: Iterable<bigint>) => [...offsets].filter(o => o >= begin && o < end).sort(inOrder)
  const dropped = relevant(drops)
  const boundaries = relevant(cuts)
  if (dropped.length === 0 && boundaries.length === 0) return [...segments]

  const carved: Segment[] = []
  let nextDrop = 0
  let nextCut = 0
  let cut = false

  /** Records [from, to) of a segment's batch. A cut that was passed on the way counts here. */
  const pushData = (segment: Segment & { kind: 'data' }, from: bigint, to: bigint) => {
    let start = from
    for (; nextCut < boundaries.length && (boundaries[nextCut] as bigint) < to; nextCut++) {
      const boundary = boundaries[nextCut] as bigint
      if (boundary > start) {
        carved.push(piece(segment, start, boundary, cut))
        start = boundary
      }
      cut = true
    }
    carved.push(piece(segment, start, to, cut))
    cut = false
  }

  for (const segment of segments) {
    if (segment.kind === 'gap') {
      carved.push(segment)
      continue
    }
    cut ||= segment.cut === true
    let start = segment.from
    for (; nextDrop < dropped.length && (dropped[nextDrop] as bigint) < segment.to; nextDrop++) {
      const offset = dropped[nextDrop] as bigint
      // In a gap, or named twice.
      if (offset < start) continue
      if (offset > start) pushData(segment, start, offset)
      pushDropped(carved, offset)
      start = offset + 1n
    }
    if (start < segment.to) pushData(segment, start, segment.to)
  }
  return carved
}

function piece(segment: Segment & { kind: 'data' }, from: bigint, to: bigint, cut: boolean): Segment {
  if (from === segment.from && to === segment.to && cut === (segment.cut === true)) return segment
  return { kind: 'data', batch: segment.batch, from, to, ...(cut ? { cut } : {}) }
}

function pushDropped(carved: Segment[], offset: bigint): void {
  const last = carved.at(-1)
  if (last?.kind === 'gap' && last.reason === 'dropped') {
    carved[carved.length - 1] = { ...last, to: offset + 1n }
  } else {
    carved.push({ kind: 'gap', from: offset, to: offset + 1n, reason: 'dropped' })
  }
}
