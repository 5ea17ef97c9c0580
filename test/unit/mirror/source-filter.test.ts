import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hasHoles, leaveOut, unclassified } from '../../../src/mirror/source-filter.js'
import { encodeBatch } from '../../../src/records/encode.js'
import { readSegments } from '../../../src/records/segments.js'

function batch(baseOffset: bigint, count: number, producerId: bigint): Buffer {
  const records = Array.from({ length: count }, (_, index) => ({
    offset: baseOffset + BigInt(index),
    timestamp: 1n,
    key: null,
    value: null,
    headers: []
  }))
  return encodeBatch({ records, baseOffset, producerId, producerEpoch: 0, baseSequence: 0 })
}

const read = (data: Buffer, position: bigint) =>
  readSegments(data, { position, isolation: 'read_committed', abortedTransactions: [] }).segments

describe('leaving out what links wrote', () => {
  it('skips exactly the batches of the producers named, whatever the order, the holes and the position', () => {
    const written = fc.record({
      id: fc.bigInt(-1n, 4n),
      count: fc.integer({ min: 1, max: 4 }),
      hole: fc.integer({ min: 0, max: 2 })
    })
    const links = fc.subarray([0n, 1n, 2n, 3n, 4n])
    fc.assert(
      fc.property(fc.array(written, { maxLength: 12 }), links, fc.bigInt(0n, 40n), (batches, skipped, position) => {
        const bytes: Buffer[] = []
        const wanted: bigint[] = []
        let offset = 0n
        for (const { id, count, hole } of batches) {
          offset += BigInt(hole)
          bytes.push(batch(offset, count, id))
          for (let index = 0n; index < count; index++)
            if (!skipped.includes(id) && offset + index >= position) wanted.push(offset + index)
          offset += BigInt(count)
        }
        const segments = leaveOut(read(Buffer.concat(bytes), position), id => (skipped.includes(id) ? 'skip' : 'local'))
        const kept = segments.flatMap(({ kind, from, to }) =>
          kind === 'data' ? Array.from({ length: Number(to - from) }, (_, index) => from + BigInt(index)) : []
        )
        expect(kept).toEqual(wanted)
        let next = position
        for (const { from, to } of segments) {
          expect(from).toBe(next)
          next = to
        }
      })
    )
  })

  it('leaves what it is given alone, and copies what links wrote when it is to be sent on', () => {
    const segments = read(Buffer.concat([batch(0n, 2, 5n), batch(2n, 1, 6n)]), 0n)
    expect(leaveOut(segments, () => 'copy')).toBe(segments)
    const before = segments.map(({ kind }) => kind)
    expect(leaveOut(segments, id => (id === 5n ? 'skip' : 'copy'))).toMatchObject([
      { kind: 'gap', from: 0n, to: 2n, reason: 'forwarded' },
      { kind: 'data', from: 2n, to: 3n }
    ])
    expect(segments.map(({ kind }) => kind)).toEqual(before)
  })

  it('names the producers that nobody has told about yet, each once', () => {
    const data = Buffer.concat([
      batch(0n, 1, 5n),
      batch(1n, 1, 6n),
      batch(2n, 1, 5n),
      batch(3n, 1, -1n),
      batch(4n, 1, 7n)
    ])
    const classify = (id: bigint) => (id === 6n ? 'local' : Promise.resolve('skip' as const))
    expect(unclassified(read(data, 0n), classify)).toEqual([5n, 7n])
  })
})

describe('hasHoles', () => {
  it('sees ranges without a batch, and nothing else', () => {
    expect(hasHoles(read(Buffer.concat([batch(0n, 2, 5n), batch(2n, 1, 5n)]), 0n))).toBe(false)
    expect(hasHoles(read(Buffer.concat([batch(0n, 2, 5n), batch(3n, 1, 5n)]), 0n))).toBe(true)
  })
})
