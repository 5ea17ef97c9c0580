import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { viewOf } from '../../../src/records/batch.js'
import { carve } from '../../../src/records/carve.js'
import { encodeBatch } from '../../../src/records/encode.js'
import type { BatchView, Segment } from '../../../src/records/types.js'

function batchOf(from: number, count: number): BatchView {
  const records = Array.from({ length: count }, (_, index) => ({
    offset: BigInt(from + index),
    timestamp: 0n,
    key: null,
    value: null,
    headers: []
  }))
  return viewOf(encodeBatch({ records, baseOffset: BigInt(from) }))
}

const data = (from: number, count: number, cut?: true): Segment => ({
  kind: 'data',
  batch: batchOf(from, count),
  from: BigInt(from),
  to: BigInt(from + count),
  ...(cut ? { cut } : {})
})
const gap = (from: number, to: number): Segment => ({
  kind: 'gap',
  from: BigInt(from),
  to: BigInt(to),
  reason: 'marker'
})
const shape = (segments: Segment[]) =>
  segments.map(s =>
    s.kind === 'gap' ? `${s.reason} ${s.from}-${s.to}` : `${s.cut ? 'cut ' : ''}data ${s.from}-${s.to}`
  )

describe('carve', () => {
  it('hands on what nothing touches', () => {
    const segments = [data(0, 3), gap(3, 4), data(4, 2, true)]
    const carved = carve(segments, { drops: [99n], cuts: [100n] })
    expect(carved).toEqual(segments)
    carved.forEach((segment, index) => expect(segment).toBe(segments[index]))
    expect(carve([], { drops: [1n] })).toEqual([])
  })

  it('turns dropped offsets into gaps and joins neighbours, over batch ends as well', () => {
    const carved = carve([data(0, 3), data(3, 3)], { drops: [3n, 2n, 5n] })
    expect(shape(carved)).toEqual(['data 0-2', 'dropped 2-4', 'data 4-5', 'dropped 5-6'])
  })

  it('drops nothing that is a gap already', () => {
    expect(shape(carve([gap(0, 2), data(2, 2)], { drops: [0n, 1n, 2n] }))).toEqual([
      'marker 0-2',
      'dropped 2-3',
      'data 3-4'
    ])
  })

  it('splits at a cut, also at the beginning of a segment', () => {
    expect(shape(carve([data(0, 4), data(4, 2)], { drops: [], cuts: [4n, 2n] }))).toEqual([
      'data 0-2',
      'cut data 2-4',
      'cut data 4-6'
    ])
  })

  it('moves a cut without a record to the next record', () => {
    expect(shape(carve([data(0, 1), gap(1, 3), data(3, 2)], { drops: [], cuts: [2n] }))).toEqual([
      'data 0-1',
      'marker 1-3',
      'cut data 3-5'
    ])
    expect(shape(carve([data(0, 4)], { drops: [1n, 2n], cuts: [1n] }))).toEqual([
      'data 0-1',
      'dropped 1-3',
      'cut data 3-4'
    ])
    expect(shape(carve([data(0, 2), data(2, 2, true)], { drops: [2n] }))).toEqual([
      'data 0-2',
      'dropped 2-3',
      'cut data 3-4'
    ])
  })

  it('accounts for each offset as the plain rules say, whatever is dropped and cut', () => {
    const piece = fc.record({
      kind: fc.constantFrom('data', 'data', 'gap'),
      length: fc.integer({ min: 1, max: 5 }),
      cut: fc.boolean()
    })
    const offsets = fc.array(fc.nat({ max: 30 }), { maxLength: 8 })
    fc.assert(
      fc.property(fc.array(piece, { minLength: 1, maxLength: 7 }), offsets, offsets, (pieces, drops, cuts) => {
        let at = 0
        const segments = pieces.map(({ kind, length, cut }) => {
          at += length
          return kind === 'gap' ? gap(at - length, at) : data(at - length, length, cut || undefined)
        })
        const carved = carve(segments, { drops: new Set(drops.map(BigInt)), cuts: cuts.map(BigInt) })

        const seen = carved.flatMap(s =>
          Array.from({ length: Number(s.to - s.from) }, (_, index) => {
            const offset = Number(s.from) + index
            return {
              offset,
              what: s.kind === 'gap' ? s.reason : s.batch,
              cut: s.kind === 'data' && index === 0 && s.cut
            }
          })
        )
        expect(seen.map(s => s.offset)).toEqual(Array.from({ length: at }, (_, index) => index))
        let barrier = false
        for (const { offset, what, cut } of seen) {
          const segment = segments.find(s => s.from <= offset && offset < s.to) as Segment
          if (cuts.includes(offset)) barrier = true
          if (segment.kind === 'data' && segment.cut && Number(segment.from) === offset) barrier = true
          if (segment.kind === 'gap') expect(what).toBe('marker')
          else if (drops.includes(offset)) expect(what).toBe('dropped')
          else {
            expect(what).toBe(segment.batch)
            expect(cut === true).toBe(barrier)
            barrier = false
          }
        }
      })
    )
  })
})
