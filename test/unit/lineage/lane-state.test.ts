import { afterEach, describe, expect, it, vi } from 'vitest'
import { type Gap, GapTable } from '../../../src/lineage/gap-table.js'
import { LaneState } from '../../../src/lineage/lane-state.js'
import type { BirthEntry } from '../../../src/lineage/state-values.js'
import { birth } from './births.js'

const LINK_ID = 70n

function born(o: Partial<BirthEntry> = {}): LaneState {
  const state = new LaneState('lane')
  state.addBirth(birth(o))
  return state
}

const gapsOf = (state: LaneState): Gap[] => [...state.gaps().between(0n, 1n << 40n)]
const gap = (ordinal: number, from: number, length: number): Gap => ({
  ordinal: BigInt(ordinal),
  from: BigInt(from),
  length: BigInt(length)
})
const epochEntry = (epoch: number, base: number) => ({
  producerId: LINK_ID,
  epoch,
  base: BigInt(base),
  firstSequence: 0
})
const chunk = (epoch: number, ...gaps: Gap[]) => ({ producerId: LINK_ID, epoch, gaps })

describe('the state of a lane', () => {
  it('keeps the first birth and says when another one contradicts it', () => {
    const state = born({ first: 5n })
    expect(state.addBirth(birth({ first: 5n, targetEnd: 9n }))).toBe(true)
    expect(state.addBirth(birth({ first: 6n }))).toBe(false)
    expect(state.addBirth(birth({ first: 5n, producerId: 71n }))).toBe(false)
    expect(state.addBirth(birth({ first: 5n, planDigest: 'other' }))).toBe(false)
    expect(state.birth).toMatchObject({ first: 5n, targetEnd: 0n, producerId: LINK_ID })
  })

  it('writes with the birth identity until an epoch is announced; the first word about an epoch counts', () => {
    const state = born()
    expect(state.currentEpoch).toEqual({ producerId: LINK_ID, epoch: 0, base: 0n, firstSequence: 0 })
    expect(state.addEpoch(epochEntry(1, 40))).toBe(true)
    expect(state.addEpoch(epochEntry(1, 40))).toBe(true)
    expect(state.addEpoch(epochEntry(1, 50))).toBe(false)
    expect(state.currentEpoch).toEqual(epochEntry(1, 40))
    expect(state.epochs.map(({ epoch }) => epoch)).toEqual([0, 1])
  })

  it('takes the highest epoch of an identity for the current one, however late a lower one is announced', () => {
    // Two owners fence, the later one is quicker with its word; or compaction has moved an older word behind a newer one.
    const state = born()
    state.addEpoch(epochEntry(2, 50))
    state.addEpoch(epochEntry(1, 40))
    expect(state.epochs.map(({ epoch }) => epoch)).toEqual([0, 1, 2])
    expect(state.currentEpoch?.epoch).toBe(2)
    state.addGaps(chunk(1, gap(45, 45, 1), gap(50, 51, 1)))
    expect(gapsOf(state)).toEqual([gap(45, 45, 1)])
  })

  it('keeps the higher checkpoint, and of equal ones the one that has reached further', () => {
    const state = born()
    const checkpoint = (next: bigint, reached: bigint) => ({ next, reached, targetEnd: next, sourceLeaderEpoch: 0 })
    for (const [next, reached] of [
      [5n, 5n],
      [9n, 9n],
      [7n, 20n],
      [9n, 12n],
      [9n, 10n]
    ] as const)
      state.addCheckpoint(checkpoint(next, reached))
    expect(state.checkpoint).toEqual(checkpoint(9n, 12n))
  })

  it('puts overlapping chunks together, in any order', () => {
    const gaps = [gap(2, 2, 1), gap(5, 6, 2), gap(5 + 4, 12, 1), gap(20, 24, 3)]
    const chunks = [[0, 1], [1, 2], [0, 1, 2, 3], [3], [2]].map(indexes =>
      chunk(0, ...indexes.map(index => gaps[index] as Gap))
    )
    for (const order of [chunks, [...chunks].reverse()]) {
      const state = born()
      for (const part of order) state.addGaps(part)
      expect(gapsOf(state)).toEqual(gaps)
    }
    const askedEachTime = born()
    for (const part of [chunks[0], chunks[1], chunks[3], chunks[2]]) {
      askedEachTime.addGaps(part as (typeof chunks)[number])
      gapsOf(askedEachTime)
    }
    expect(gapsOf(askedEachTime)).toEqual(gaps)
  })

  it('takes gaps at or beyond the base of a later epoch for void', () => {
    const state = born()
    state.addGaps(chunk(0, gap(2, 2, 1), gap(10, 11, 5), gap(12, 18, 1)))
    expect(gapsOf(state).length).toBe(3)
    state.addEpoch(epochEntry(1, 10))
    expect(gapsOf(state)).toEqual([gap(2, 2, 1)])
    // The new owner's plan, then a straggler of the old one.
    state.addGaps(chunk(1, gap(10, 11, 7)))
    state.addGaps(chunk(0, gap(11, 17, 1)))
    expect(gapsOf(state)).toEqual([gap(2, 2, 1), gap(10, 11, 7)])
  })

  it('voids by the lowest base of all later epochs', () => {
    const state = born()
    state.addEpoch(epochEntry(1, 30))
    state.addGaps(chunk(1, gap(30, 30, 1), gap(35, 36, 1)))
    state.addGaps(chunk(0, gap(29, 29, 1)))
    state.addEpoch(epochEntry(2, 20))
    expect(gapsOf(state)).toEqual([])
    state.addGaps(chunk(2, gap(20, 20, 1), gap(30, 31, 1)))
    expect(gapsOf(state)).toEqual([gap(20, 20, 1), gap(30, 31, 1)])
  })

  it('notices a chunk that is missing before another one', () => {
    const state = born()
    state.addGaps(chunk(0, gap(5, 7, 1)))
    expect(() => state.gaps()).toThrowError(expect.objectContaining({ code: 'TWINLOG_STATE_INVALID' }))
  })

  it('notices two owners that planned one gap differently', () => {
    const state = born()
    state.addGaps(chunk(0, gap(5, 5, 1)))
    state.addGaps(chunk(0, gap(5, 5, 2)))
    expect(() => state.gaps()).toThrowError(expect.objectContaining({ code: 'TWINLOG_STATE_INVALID' }))
  })

  it('has no plan without a birth', () => {
    const state = new LaneState('lane')
    state.addGaps(chunk(0, gap(5, 5, 1)))
    expect(() => state.gaps()).toThrowError(expect.objectContaining({ code: 'TWINLOG_STATE_INVALID' }))
  })

  it('does not change a table that was handed out', () => {
    const state = born()
    state.addGaps(chunk(0, gap(2, 2, 1)))
    const before = state.gaps()
    state.addGaps(chunk(0, gap(5, 6, 1)))
    expect(before.size).toBe(1)
    expect(state.gaps().size).toBe(2)
  })

  it('keeps the last word about the gate', () => {
    const state = born()
    state.setGate({ state: 'closed', service: 's', moveEpoch: 1 })
    state.setGate({ state: 'opened', service: 's', moveEpoch: 2 })
    expect(state.gate?.state).toBe('opened')
  })

  it('does not believe a late word of a move that a later one of the same service has overtaken', () => {
    const state = born()
    state.setGate({ state: 'closed', service: 's', moveEpoch: 2 })
    state.setGate({ state: 'opened', service: 's', moveEpoch: 1 })
    expect(state.gate).toMatchObject({ state: 'closed', moveEpoch: 2 })
    state.setGate({ state: 'opened', service: 'other', moveEpoch: 1 })
    expect(state.gate).toMatchObject({ state: 'opened', service: 'other' })
  })
})

describe('the gaps of a lane that nobody fenced', () => {
  afterEach(() => void vi.restoreAllMocks())

  it('go to the end of the table as they come: what is known is not put together again', () => {
    // Symptom: each commit of a transactional source rebuilt a table of a million gaps.
    const state = born()
    for (let index = 0; index < 100; index++) state.addGaps(chunk(0, gap(index, 2 * index, 1)))
    const appended = vi.spyOn(GapTable.prototype, 'append')
    state.addGaps(chunk(0, gap(100, 200, 1)))
    expect(state.gaps().size).toBe(101)
    state.addGaps(chunk(0, gap(101, 202, 1)))
    expect(state.gaps().size).toBe(102)
    expect(appended).toHaveBeenCalledTimes(2)
  })

  it('are copied once for each table that was handed out, which stays as it was', () => {
    const state = born()
    state.addGaps(chunk(0, gap(0, 0, 1)))
    const before = state.gaps()
    expect(state.gaps()).toBe(before)
    const cloned = vi.spyOn(GapTable.prototype, 'clone')
    for (let index = 1; index < 10; index++) state.addGaps(chunk(0, gap(index, 2 * index, 1)))
    expect(cloned).toHaveBeenCalledTimes(1)
    const between = state.gaps()
    state.addGaps(chunk(0, gap(10, 20, 1)))
    expect([before.size, between.size, state.gaps().size]).toEqual([1, 10, 11])
  })

  it('contradict each other only for who asks for them, and for nobody once a later epoch voids them', () => {
    const state = born()
    state.addGaps(chunk(0, gap(2, 2, 1), gap(5, 6, 1)))
    expect(() => state.addGaps(chunk(0, gap(5, 6, 2)))).not.toThrow()
    expect(() => state.addGaps(chunk(0, gap(9, 70, 2)))).not.toThrow()
    state.addCheckpoint({ next: 5n, reached: 6n, targetEnd: 5n, sourceLeaderEpoch: 0 })
    expect(state.checkpoint?.next).toBe(5n)
    for (let time = 0; time < 2; time++)
      expect(() => state.gaps()).toThrowError(expect.objectContaining({ code: 'TWINLOG_STATE_INVALID' }))
    state.addEpoch(epochEntry(1, 5))
    expect(gapsOf(state)).toEqual([gap(2, 2, 1)])
  })
})
