import { describe, expect, it } from 'vitest'
import { HandledPositions } from '../../../src/failover/handled-positions.js'

const requested = (fetchOffset: bigint, partition = 0) => [{ topic: 't', partitions: [{ partition, fetchOffset }] }]
const at = (offset: bigint, partition = 0) => ({ topic: 't', partition, offset })

function assigned(mode: 'handled' | 'committed' = 'handled', partitions = [0]) {
  const positions = new HandledPositions(mode)
  positions.assign({ t: partitions }, false)
  return positions
}

describe('HandledPositions', () => {
  it('starts where the first fetch starts and follows what handlers finished', () => {
    const positions = assigned()
    expect(positions.list()).toEqual([])
    const tag = positions.fetching(requested(100n))
    expect(positions.list()).toEqual([at(100n)])
    positions.handled('t', 0, 101n, tag)
    positions.handled('t', 0, 102n, tag)
    expect(positions.list()).toEqual([at(102n)])
    expect(positions.uncommitted()).toEqual([at(102n)])
    positions.committed('t', 0, 102n)
    expect(positions.uncommitted()).toEqual([])
  })

  it('goes ahead with a fetch behind control records and never back with one', () => {
    const positions = assigned()
    const tag = positions.fetching(requested(10n))
    positions.handled('t', 0, 20n, tag)
    positions.fetching(requested(21n))
    expect(positions.list()).toEqual([at(21n)])
    positions.fetching(requested(15n))
    expect(positions.list()).toEqual([at(21n)])
  })

  it('reports nothing for a partition that is not assigned', () => {
    const positions = assigned()
    const tag = positions.fetching(requested(5n, 1))
    positions.handled('t', 1, 6n, tag)
    positions.committed('t', 1, 6n)
    positions.seek('t', 1, 9n)
    expect(positions.list()).toEqual([])
  })

  it('ignores a result that comes after a rejoin or after the freeze', () => {
    const positions = assigned()
    const old = positions.fetching(requested(0n))
    positions.committed('t', 0, 0n)
    positions.beginRejoin()
    expect(positions.isCurrent(old)).toBe(false)
    positions.handled('t', 0, 50n, old)
    positions.assign({ t: [0] }, true)
    positions.handled('t', 0, 50n, old)
    expect(positions.list()).toEqual([at(0n)])
    const tag = positions.fetching(requested(0n))
    positions.freeze()
    positions.handled('t', 0, 1n, tag)
    positions.committed('t', 0, 1n)
    expect(positions.list()).toEqual([at(0n)])
  })

  it('keeps committed positions of partitions that stay, and only in consecutive generations', () => {
    const positions = assigned('handled', [0, 1])
    positions.fetching([...requested(7n), ...requested(8n, 1)])
    positions.committed('t', 0, 7n)
    positions.committed('t', 1, 8n)
    positions.beginRejoin()
    positions.assign({ t: [1] }, true)
    expect(positions.list()).toEqual([at(8n, 1)])
    positions.beginRejoin()
    positions.assign({ t: [1] }, false)
    expect(positions.list()).toEqual([])
  })

  it('drops a position whose commit failed before the rejoin: the partition was read again from the commit', () => {
    const positions = assigned()
    const tag = positions.fetching(requested(3n))
    positions.handled('t', 0, 9n, tag)
    positions.beginRejoin()
    positions.assign({ t: [0] }, true)
    expect(positions.list()).toEqual([])
  })

  it('takes a seek at once, and nothing from messages fetched before it', () => {
    const positions = assigned()
    const tag = positions.fetching(requested(100n))
    positions.handled('t', 0, 101n, tag)
    positions.seek('t', 0, 40n)
    positions.handled('t', 0, 102n, tag)
    expect(positions.list()).toEqual([at(40n)])
    expect(positions.isHandled('t', 0, 100n, tag)).toBe(false)
    const next = positions.fetching(requested(40n))
    positions.handled('t', 0, 41n, next)
    expect(positions.list()).toEqual([at(41n)])
  })

  it('knows a record that another fetcher handed out already', () => {
    const positions = assigned()
    const first = positions.fetching(requested(0n))
    const second = positions.fetching(requested(0n))
    positions.handled('t', 0, 10n, first)
    expect(positions.isHandled('t', 0, 9n, second)).toBe(true)
    expect(positions.isHandled('t', 0, 10n, second)).toBe(false)
  })

  it('follows only commits when the user commits', () => {
    const positions = assigned('committed')
    const tag = positions.fetching(requested(100n))
    positions.handled('t', 0, 150n, tag)
    positions.fetching(requested(150n))
    expect(positions.list()).toEqual([at(100n)])
    expect(positions.uncommitted()).toEqual([])
    positions.committed('t', 0, 120n)
    expect(positions.list()).toEqual([at(120n)])
  })
})
