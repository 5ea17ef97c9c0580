import { describe, expect, it } from 'vitest'
import { encodeBatch } from '../../../src/records/encode.js'
import { readSegments } from '../../../src/records/segments.js'
import { patched } from './naive.js'

function batch(offset: bigint, count: number, producerId: bigint, transactional: boolean): Buffer {
  const records = Array.from({ length: count }, (_, index) => ({
    offset: offset + BigInt(index),
    timestamp: 1n,
    key: null,
    value: null,
    headers: []
  }))
  return encodeBatch({ records, baseOffset: offset, producerId, producerEpoch: 0, baseSequence: 0, transactional })
}

const COMMITTED = { position: 10n, isolation: 'read_committed' } as const
const abortedFrom = (firstOffset: bigint) => [{ producerId: 5n, firstOffset }]
const kinds = (data: Buffer, abortedTransactions: { producerId: bigint; firstOffset: bigint }[]) =>
  readSegments(data, { ...COMMITTED, abortedTransactions }).segments.map(segment =>
    segment.kind === 'gap' ? segment.reason : 'data'
  )

describe('readSegments', () => {
  it('keeps plain batches of a producer that is listed as aborted: only transactional ones can be', () => {
    const data = Buffer.concat([batch(10n, 1, 5n, true), batch(11n, 1, 5n, false), batch(12n, 1, 6n, true)])
    expect(kinds(data, abortedFrom(10n))).toEqual(['aborted', 'data', 'data'])
  })

  it('counts a producer as aborted from the batch that holds the first offset of its transaction', () => {
    const data = Buffer.concat([batch(10n, 2, 5n, true), batch(12n, 2, 5n, true)])
    expect(kinds(data, abortedFrom(12n))).toEqual(['data', 'aborted'])
    expect(kinds(data, abortedFrom(13n))).toEqual(['data', 'aborted'])
    expect(kinds(data, abortedFrom(14n))).toEqual(['data', 'data'])
  })

  it('does not change the list that it was given', () => {
    const abortedTransactions = Object.freeze([...abortedFrom(12n), ...abortedFrom(10n)])
    expect(readSegments(batch(10n, 1, 5n, true), { ...COMMITTED, abortedTransactions }).next).toBe(11n)
  })

  it('leaves out batches before the position, and begins in the middle of the one that holds it', () => {
    const data = Buffer.concat([batch(5n, 3, -1n, false), batch(8n, 5, -1n, false)])
    const { segments, next } = readSegments(data, { ...COMMITTED, abortedTransactions: [] })
    expect(segments).toMatchObject([{ kind: 'data', from: 10n, to: 13n }])
    expect(next).toBe(13n)
  })

  it('stays where it is when the answer holds no complete batch', () => {
    const data = batch(10n, 3, -1n, false)
    const read = readSegments(data.subarray(0, data.length - 1), { ...COMMITTED, abortedTransactions: [] })
    expect(read).toEqual({ segments: [], next: 10n, leaderEpoch: -1 })
  })

  it('calls control batches that are neither commit nor abort markers too', () => {
    const control = patched(batch(10n, 1, -1n, false), bytes => bytes.writeInt16BE(0x20, 21))
    expect(kinds(control, [])).toEqual(['marker'])
  })
})
