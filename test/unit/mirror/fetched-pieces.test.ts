import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { FetchedPartition } from '../../../src/kafka/requests/fetch.js'
import { cutFetched } from '../../../src/mirror/fetched-pieces.js'
import { readSegments } from '../../../src/records/segments.js'
import type { Segment } from '../../../src/records/types.js'
import { FakePartition, records } from '../lineage/fake-partition.js'
import { encodeBatch } from '../../../src/records/encode.js'

/** Plain records, transactions that commit and abort, of two producers. */
const happening = fc.oneof(
  fc.record({ what: fc.constant('plain' as const), count: fc.integer({ min: 1, max: 5 }) }),
  fc.record({ what: fc.constant('in-transaction' as const), producer: fc.constantFrom(1n, 2n) }),
  fc.record({ what: fc.constant('end' as const), producer: fc.constantFrom(1n, 2n), commit: fc.boolean() })
)

function read(result: FetchedPartition, position: bigint): Segment[] {
  const { records: data, abortedTransactions } = result
  return readSegments(data, { position, isolation: 'read_committed', abortedTransactions }).segments
}

const shape = (segments: Segment[]) => segments.map(({ kind, from, to }) => ({ kind, from, to }))

describe('cutting what was fetched into pieces', () => {
  it('reads the same piece by piece as at once, aborted transactions included', () => {
    fc.assert(
      fc.property(
        fc.array(happening, { minLength: 1, maxLength: 60 }),
        fc.integer({ min: 1, max: 700 }),
        (story, size) => {
          const log = new FakePartition()
          const sequences = new Map<bigint, number>()
          for (const event of story) {
            if (event.what === 'plain') log.append(encodeBatch({ records: records(Array(event.count).fill('x')) }))
            else if (event.what === 'in-transaction') {
              const baseSequence = sequences.get(event.producer) ?? 0
              const bytes = encodeBatch({
                records: records(['t']),
                transactional: true,
                producerId: event.producer,
                producerEpoch: 0,
                baseSequence
              })
              expect(log.produce(bytes).errorCode).toBe(0)
              sequences.set(event.producer, baseSequence + 1)
            } else if (log.transactions.has(event.producer))
              log.marker(event.producer, 0, event.commit ? 'commit' : 'abort')
          }
          for (const producer of [...log.transactions.keys()]) log.marker(producer, 0, 'abort')
          const fetched = log.fetch(0n, 1 << 20, true) as unknown as FetchedPartition
          const whole = read(fetched, 0n)
          const pieces: Segment[] = []
          let count = 0
          for (const piece of cutFetched(fetched, () => size)) {
            const segments = read(piece, pieces.at(-1)?.to ?? 0n)
            pieces.push(...segments)
            count += 1
          }
          expect(shape(pieces)).toEqual(shape(whole))
          if (fetched.records.length > size * 2 && log.batches.length > 3) expect(count).toBeGreaterThan(1)
        }
      )
    )
  })

  it('leaves a batch that the broker has cut off to the last piece', () => {
    const log = new FakePartition()
    for (let batch = 0; batch < 4; batch++) log.append(encodeBatch({ records: records(['abc']) }))
    const fetched = log.fetch(0n, 1 << 20, true) as unknown as FetchedPartition
    const cut = { ...fetched, records: fetched.records.subarray(0, fetched.records.length - 10) }
    const pieces = [...cutFetched(cut, () => 1)]
    expect(pieces.reduce((sum, piece) => sum + piece.records.length, 0)).toBe(cut.records.length)
    expect(pieces.flatMap(piece => read(piece, 0n)).filter(({ kind }) => kind === 'data')).toHaveLength(3)
  })
})
