import { describe, expect, it } from 'vitest'
import { GapTable } from '../../../src/lineage/gap-table.js'
import { cutOf, LaneBuffer, type Send } from '../../../src/mirror/lane-buffer.js'
import { decodeRecords } from '../../../src/records/decode.js'
import { viewOf } from '../../../src/records/batch.js'
import { encodeBatch } from '../../../src/records/encode.js'
import type { PlannedBatch } from '../../../src/records/types.js'
import { records } from '../lineage/fake-partition.js'

/** Records at source offsets [from, to), without gaps inside. */
function planned(from: number, to: number, gaps: PlannedBatch['gaps'] = []): PlannedBatch {
  const count = to - from - gaps.reduce((sum, gap) => sum + Number(gap.to - gap.from), 0)
  const values = Array.from({ length: count }, (_unused, index) => `${from}+${index}`)
  const bytes = encodeBatch({ records: records(values) })
  return { bytes, count, from: BigInt(from), to: BigInt(to), gaps, maxTimestamp: 0n, sourceLeaderEpoch: 0, via: 'pass' }
}

const ranges = (sends: Send[]) => sends.map(({ first, end }) => [Number(first), Number(end)])
const buffer = (next = 0n, reached?: bigint) => new LaneBuffer(new GapTable(0n), next, reached)

function drain(of: LaneBuffer): Send[] {
  const sends: Send[] = []
  for (let send = of.peek(100); send; send = of.peek(100)) sends.push(of.take() as Send)
  return sends
}

describe('LaneBuffer', () => {
  it('numbers records, notes each gap once and holds back what lies behind gaps that are not written', () => {
    const lane = buffer()
    const { sends, gaps } = lane.add(
      [planned(0, 3), planned(5, 10, [{ index: 2, from: 7n, to: 8n }]), planned(10, 12)],
      14n
    )
    expect(ranges(sends)).toEqual([
      [0, 3],
      [3, 7],
      [7, 9]
    ])
    expect(gaps).toEqual([
      { ordinal: 3n, from: 3n, length: 2n },
      { ordinal: 5n, from: 7n, length: 1n }
    ])
    expect(sends.map(send => send.durable)).toEqual([true, false, false])
    expect(lane.position).toBe(14n)
    expect(lane.take()).toBe(sends[0])
    expect(lane.peek(5)).toBeUndefined()
    for (const send of sends) send.durable = true
    expect(lane.peek(1)).toBeUndefined()
    expect(lane.peek(2)).toBe(sends[1])
    // The gap behind the last record is noted with the record behind it.
    expect(lane.add([planned(20, 21)], 21n).gaps).toEqual([{ ordinal: 9n, from: 12n, length: 8n }])
  })

  it('does not note a gap again that an earlier owner has written', () => {
    const table = new GapTable(0n)
    table.append({ ordinal: 3n, from: 3n, length: 2n })
    const lane = new LaneBuffer(table, 3n)
    expect(lane.position).toBe(3n)
    const { sends, gaps } = lane.add([planned(5, 8)], 8n)
    expect(gaps).toEqual([])
    expect(sends[0]?.durable).toBe(true)
  })

  it('has reached what is acknowledged without a hole, and trailing gaps when all of it is', () => {
    const lane = buffer()
    const { sends } = lane.add([planned(0, 3), planned(3, 6)], 9n)
    drain(lane)
    expect([lane.reached, lane.acknowledgedNext, lane.unsettled]).toEqual([0n, 0n, 2])
    lane.settle(sends[0] as Send, true)
    expect([lane.reached, lane.acknowledgedNext, lane.unsettled]).toEqual([3n, 3n, 1])
    lane.settle(sends[1] as Send, true)
    expect([lane.reached, lane.acknowledgedNext, lane.unsettled, lane.bytes, lane.empty]).toEqual([9n, 6n, 0, 0, true])
    expect(buffer(0n, 4n).position).toBe(4n)
  })

  it('keeps what was appended behind a failed send until the target was asked', () => {
    const lane = buffer()
    const { sends } = lane.add([planned(0, 3), planned(3, 6)], 6n)
    drain(lane)
    lane.settle(sends[0] as Send, false)
    lane.settle(sends[1] as Send, true)
    expect([lane.acknowledgedNext, lane.unsettled]).toEqual([0n, 0])
    expect(lane.resumeAt(0n)).toBe(true)
    expect(ranges(drain(lane))).toEqual([
      [0, 3],
      [3, 6]
    ])
  })

  it('counts a send once, however often it is settled', () => {
    const lane = buffer()
    const { sends } = lane.add([planned(0, 3), planned(3, 6)], 6n)
    drain(lane)
    for (let time = 0; time < 3; time++) lane.settle(sends[0] as Send, true)
    expect([lane.unsettled, lane.acknowledgedNext]).toEqual([1, 3n])
  })

  it.each([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])(
    'goes on at ordinal %i: drops what the target has and cuts the batch in the middle',
    next => {
      const lane = buffer()
      lane.add([planned(0, 3), planned(3, 6), planned(6, 9)], 9n)
      lane.take()
      lane.take()
      expect(lane.resumeAt(BigInt(next))).toBe(true)
      const values = drain(lane).flatMap(send => {
        expect(Number(send.end - send.first)).toBe(send.batch.count)
        return decodeRecords(viewOf(send.batch.bytes)).map(record => record.value?.toString())
      })
      const all = ['0+0', '0+1', '0+2', '3+0', '3+1', '3+2', '6+0', '6+1', '6+2']
      expect(values).toEqual(all.slice(next))
      expect(lane.acknowledgedNext).toBe(BigInt(next))
    }
  )

  it('cannot go on outside of what is in memory, nor on words that were never written', () => {
    const lane = buffer(5n)
    lane.add([planned(5, 8)], 8n)
    expect([lane.resumeAt(4n), lane.resumeAt(9n)]).toEqual([false, false])
    lane.forget()
    expect(lane.resumeAt(6n)).toBe(false)
  })

  it('sends a cut batch once its gaps are written, also when that was asked for before the cut', () => {
    // Another owner was quicker while our gaps were on their way: the batch was cut into a new send that nobody made durable.
    const lane = buffer()
    const { sends } = lane.add([planned(2, 6)], 6n)
    expect(lane.resumeAt(2n)).toBe(true)
    expect(lane.peek(5)).toBeUndefined()
    for (const send of sends) send.durable = true
    expect(lane.peek(5)?.first).toBe(2n)
  })

  it('takes records of a transaction off only when it is committed', () => {
    const lane = buffer()
    const { sends } = lane.add([planned(0, 3), planned(3, 6), planned(6, 8)], 8n)
    drain(lane)
    expect([lane.answered(sends[0] as Send), lane.answered(sends[1] as Send)]).toEqual([true, true])
    expect([lane.unsettled, lane.uncommitted, lane.acknowledgedNext]).toEqual([1, sends.slice(0, 2), 0n])
    expect([lane.reached, lane.empty]).toEqual([0n, false])
    expect(lane.commit()).toEqual(sends.slice(0, 2))
    expect([lane.acknowledgedNext, lane.uncommitted]).toEqual([6n, []])
    expect(lane.answered(sends[0] as Send)).toBe(false)
  })

  it('does not commit behind a send whose fate is open, nor after its memory was dropped', () => {
    const lane = buffer()
    const { sends } = lane.add([planned(0, 3), planned(3, 6)], 6n)
    drain(lane)
    lane.answered(sends[1] as Send)
    expect([lane.commit(), lane.acknowledgedNext]).toEqual([[], 0n])
    lane.answered(sends[0] as Send)
    lane.drop()
    expect([lane.commit(), lane.acknowledgedNext, lane.bytes]).toEqual([[], 0n, 0])
  })

  it('sends again what was answered in a transaction that came to nothing', () => {
    const lane = buffer()
    const { sends } = lane.add([planned(0, 3), planned(3, 6)], 6n)
    drain(lane)
    for (const send of sends) lane.answered(send)
    expect(lane.resumeAt(0n)).toBe(true)
    expect(ranges(drain(lane))).toEqual([
      [0, 3],
      [3, 6]
    ])
  })

  it.each([true, false])('cuts a refused batch in two, again and again, without changing the plan (sent: %s)', sent => {
    const lane = buffer()
    const batches = [planned(0, 2), planned(2, 10, [{ index: 3, from: 5n, to: 6n }]), planned(10, 12)]
    const { gaps, sends } = lane.add(batches, 12n)
    for (const send of sends) send.durable = true
    if (sent) drain(lane)
    const refused = (first: bigint) => {
      lane.resumeAt(0n)
      const found = drain(lane).find(send => send.first === first) as Send
      if (!sent) lane.resumeAt(0n)
      return found
    }
    expect(lane.split(refused(2n))).toBe(true)
    expect(lane.split(refused(2n))).toBe(true)
    expect(lane.split(refused(2n))).toBe(false)
    lane.resumeAt(0n)
    const all = drain(lane)
    expect(ranges(all)).toEqual([
      [0, 2],
      [2, 3],
      [3, 5],
      [5, 9],
      [9, 11]
    ])
    expect(all.map(({ batch }) => [batch.from, batch.to])).toEqual([
      [0n, 2n],
      [2n, 3n],
      [3n, 5n],
      [6n, 10n],
      [10n, 12n]
    ])
    expect([lane.gaps.size, gaps.length]).toEqual([1, 1])
    const values = all.flatMap(({ batch }) => decodeRecords(viewOf(batch.bytes)).map(({ value }) => String(value)))
    expect(values).toEqual(['0+0', '0+1', '2+0', '2+1', '2+2', '2+3', '2+4', '2+5', '2+6', '10+0', '10+1'])
  })

  it('does not cut between the records that were made of one', () => {
    const expansion = (index: number) => ({ index, from: 1n, to: 0n })
    const bytes = encodeBatch({ records: records(['a', 'b', 'c']) })
    const batch = { bytes, count: 3, from: 0n, to: 1n, maxTimestamp: 0n, sourceLeaderEpoch: 0, via: 'rebuild' as const }
    const one: PlannedBatch = { ...batch, gaps: [expansion(1), expansion(2)] }
    expect(cutOf(one)).toBeUndefined()
    const two: PlannedBatch = { ...batch, to: 2n, gaps: [expansion(1)] }
    expect(cutOf(two)).toBe(1n)
  })

  describe('at a new history of the source', () => {
    it('goes on where that begins, and its first record tells', () => {
      const lane = buffer(6n)
      lane.beginEra(4n)
      expect(lane.position).toBe(4n)
      expect(lane.add([planned(4, 6)], 6n).gaps).toEqual([{ ordinal: 6n, from: 6n, length: -2n, era: 4n }])
      expect(lane.add([planned(7, 8)], 8n).gaps).toEqual([{ ordinal: 8n, from: 6n, length: 1n }])
    })

    it('does not leave out what was fetched before the cut and not copied yet', () => {
      // Symptom: the source was cut behind the last copied record, and everything in between was skipped.
      const lane = buffer(6n)
      lane.beginEra(9n)
      expect(lane.position).toBe(6n)
      expect(lane.add([planned(6, 9)], 9n).gaps).toEqual([])
      const noted = buffer(6n, 12n)
      noted.beginEra(9n)
      expect(noted.position).toBe(9n)
      expect(noted.add([planned(9, 10)], 10n).gaps).toEqual([{ ordinal: 6n, from: 6n, length: 3n }])
    })
  })

  it('skips what the source no longer has, and the next record brings the gap', () => {
    const lane = buffer()
    const { sends } = lane.add([planned(0, 2)], 2n)
    lane.skipTo(50n)
    expect([lane.position, lane.reached]).toEqual([50n, 0n])
    lane.skipTo(40n)
    expect(lane.position).toBe(50n)
    expect(lane.add([planned(50, 51)], 51n).gaps).toEqual([{ ordinal: 2n, from: 2n, length: 48n }])
    expect(sends).toHaveLength(1)
  })
})
