import { describe, expect, it } from 'vitest'
import { computeLedger, countOf, type LedgerInput } from '../../../src/failover/ledger.js'

const input = (over: Partial<LedgerInput>): LedgerInput => ({
  kind: 'failover',
  from: 'east',
  parts: [],
  reached: () => undefined,
  missing: [],
  ...over
})
const acknowledged = (instance: string, ...ranges: [partition: number, from: bigint, to: bigint][]) => ({
  instance,
  ledger: { acknowledged: ranges.map(([partition, from, to]) => ({ topic: 't', partition, from, to })), inDoubt: [] }
})

describe('ledger', () => {
  it('counts as lost exactly what was acknowledged at or behind the end of the lane', () => {
    const { lost } = computeLedger(
      input({ parts: [acknowledged('a', [0, 5n, 8n], [0, 8n, 12n], [0, 20n, 21n])], reached: () => 10n })
    )
    expect(lost).toEqual([
      { topic: 't', partition: 0, from: 10n, to: 12n, count: 2, instanceId: 'a' },
      { topic: 't', partition: 0, from: 20n, to: 21n, count: 1, instanceId: 'a' }
    ])
    expect(countOf(lost)).toBe(3)
  })

  it('joins neighbours of one partition and instance, in whatever order they were acknowledged', () => {
    const { lost } = computeLedger(
      input({
        parts: [acknowledged('a', [0, 8n, 12n], [1, 12n, 13n], [0, 5n, 8n]), acknowledged('b', [1, 13n, 14n])],
        reached: () => 0n
      })
    )
    expect(lost.map(({ partition, from, to, instanceId }) => [partition, from, to, instanceId])).toEqual([
      [0, 5n, 12n, 'a'],
      [1, 12n, 13n, 'a'],
      [1, 13n, 14n, 'b']
    ])
  })

  it('counts everything as lost where there is no lane', () => {
    expect(countOf(computeLedger(input({ parts: [acknowledged('a', [0, 5n, 8n])] })).lost)).toBe(3)
  })

  it('is empty when the lane got past everything', () => {
    expect(computeLedger(input({ parts: [acknowledged('a', [0, 5n, 8n])], reached: () => 8n })).lost).toEqual([])
  })

  it('keeps sends in doubt apart, with their keys and without invented partitions', () => {
    const ledger = { acknowledged: [], inDoubt: [{ topic: 't', count: 3, keys: ['x'] }] }
    const result = computeLedger(input({ parts: [{ instance: 'a', ledger }] }))
    expect(result.lost).toEqual([])
    expect(result.inDoubt).toEqual([{ topic: 't', count: 3, instanceId: 'a', keys: ['x'] }])
  })

  it('says what it cannot know: foreign writers, the real end, instances without an answer', () => {
    const { note } = computeLedger(input({ missing: ['b', 'c'] }))
    expect(note).toMatch(/other programs wrote to east/)
    expect(note).toMatch(/Nobody knows the end/)
    expect(note).toMatch(/Instances b, c never answered/)
    expect(computeLedger(input({ kind: 'switchover' })).note).not.toMatch(/Nobody knows/)
  })
})
