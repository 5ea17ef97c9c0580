import { describe, expect, it } from 'vitest'
import { TwinlogError } from '../../../src/errors.js'
import { GapTable } from '../../../src/lineage/gap-table.js'
import { cut, EPOCH, LaneBench, workOf } from './lane-bench.js'

const LATER = { ...EPOCH, epoch: 1, base: 6n }
const gap = new TwinlogError('TWINLOG_GAP', 'records were deleted before they were copied')
const truncated = new TwinlogError('TWINLOG_TRUNCATED', 'the source lost records')

/** Six records are copied, four more are in memory. */
function underWay(onGap: 'continue' | 'stop-partition'): LaneBench {
  const bench = new LaneBench({ work: workOf({ onGap }) }).begin()
  bench.fetch(3)
  bench.appended(bench.send()[0], 100n)
  bench.send().forEach((send, index) => bench.appended(send, 102n + 2n * BigInt(index)))
  return bench.fetch(2)
}

describe('records that the source deleted before they were copied', () => {
  it('stop the lane', () => {
    const bench = underWay('stop-partition')
    bench.lane.troubles.sourceBeginsAt(50n, gap)
    expect([bench.lane.state, bench.lane.error, bench.host.losses]).toEqual(['failed', gap, [gap]])
  })

  it('are a gap when the policy is to go on: what is in memory is copied, then what is left', async () => {
    const bench = underWay('continue')
    bench.lane.troubles.sourceBeginsAt(50n, gap)
    expect([bench.lane.active, bench.host.losses, bench.lane.position]).toEqual([true, [gap], 50n])
    expect(bench.lane.reached).toBe(6n)
    bench.begin({ next: 6n, targetEnd: 106n })
    bench.fetch(1)
    expect(bench.host.gaps).toEqual([{ epoch: EPOCH, gaps: [{ ordinal: 10n, from: 10n, length: 40n }] }])
    await Promise.resolve()
    bench.appended(bench.send()[0], 106n)
    expect(bench.send().map(send => [send.first, send.batch.from])).toEqual([
      [8n, 8n],
      [10n, 50n]
    ])
  })
})

describe('a source that lost its end', () => {
  const diverging = (bench: LaneBench, endOffset: bigint) =>
    bench.lane.read(bench.answer(0, { divergingEpoch: { epoch: 4, endOffset } }), bench.lane.position)

  it('stops the lane', () => {
    const bench = underWay('stop-partition')
    diverging(bench, 5n)
    expect(bench.lane.error).toMatchObject({ code: 'TWINLOG_TRUNCATED', offset: 5n })
    expect([bench.lane.state, bench.host.losses.length]).toEqual(['failed', 1])
  })

  it('goes on with its new history under a new identity when that is the policy', async () => {
    const bench = underWay('continue')
    diverging(bench, 5n)
    expect([bench.lane.state, bench.lane.troubles.broken, bench.host.recoveries.length]).toEqual(['starting', true, 1])
    expect(bench.host.recoveries[0]?.retriable).toBe(true)
    bench.begin({ next: 6n, targetEnd: 107n, epoch: LATER })
    expect([bench.lane.position, bench.lane.leaderEpoch]).toEqual([5n, -1])
    bench.fetch(2)
    expect(bench.host.gaps).toEqual([{ epoch: LATER, gaps: [{ ordinal: 6n, from: 6n, length: -1n, era: 5n }] }])
    await Promise.resolve()
    expect(bench.send().map(send => [send.first, send.batch.from])).toEqual([[6n, 5n]])
  })

  it('behind what was copied loses nothing that is still there', () => {
    // Symptom: records between the last copied one and the cut were skipped.
    const bench = underWay('continue')
    diverging(bench, 9n)
    bench.begin({ next: 6n, targetEnd: 107n, epoch: LATER })
    expect(bench.lane.position).toBe(6n)
    bench.fetch(2)
    expect(bench.host.gaps).toEqual([])
  })

  it('is no other history twice', () => {
    const bench = underWay('continue')
    bench.lane.troubles.sourceTruncated(5n, truncated)
    bench.begin({ next: 6n, targetEnd: 107n, epoch: LATER })
    bench.fetch(1)
    bench.lane.unreachable(cut())
    bench.lane.replan()
    bench.begin({ next: 6n, targetEnd: 108n, epoch: { ...LATER, epoch: 2 } })
    expect(bench.lane.position).toBe(6n)
  })
})

describe('a target that lost what it had acknowledged', () => {
  it('stops the lane', () => {
    const bench = underWay('stop-partition')
    bench.appended(bench.send()[0], 50n)
    expect([bench.lane.state, bench.lane.error?.code]).toEqual(['failed', 'TWINLOG_TRUNCATED'])
    expect(bench.host.losses).toHaveLength(1)
  })

  it('gets it again when that is the policy, under a new identity', () => {
    const bench = underWay('continue')
    const [first, second] = bench.send()
    bench.appended(first, 50n)
    expect([bench.lane.troubles.targetWasLost, bench.lane.troubles.broken]).toEqual([true, true])
    expect(bench.host.recoveries).toEqual([])
    bench.lane.unanswered(second as NonNullable<typeof second>, cut())
    expect(bench.host.recoveries).toHaveLength(1)
    bench.begin({ next: 2n, targetEnd: 50n, epoch: { ...LATER, base: 2n } })
    expect([bench.lane.state, bench.lane.position, bench.lane.targetEnd]).toEqual(['copying', 2n, 50n])
    expect(bench.lane.troubles.targetWasLost).toBe(false)
  })

  it('and says so only when asked where to go on: the lane asks once more', () => {
    // Symptom: the lane was taken for recovering, and nobody brought it back.
    const bench = underWay('continue')
    bench.lane.unreachable(cut())
    bench.begin({ next: 4n, targetEnd: 104n })
    expect([bench.lane.needsRecovery, bench.host.losses.length]).toEqual([true, 1])
    expect(bench.host.recoveries).toHaveLength(2)
    expect(bench.lane.troubles.targetWasLost).toBe(true)
    bench.begin({ next: 4n, targetEnd: 104n, epoch: { ...LATER, base: 4n } })
    expect([bench.lane.state, bench.lane.position]).toEqual(['copying', 4n])
  })

  it.each(['stop-partition', 'continue'] as const)('is the policy’s case also in a recovery (%s)', onGap => {
    const bench = underWay(onGap)
    bench.lane.unreachable(cut())
    expect(bench.lane.troubles.acceptsTargetLoss(truncated)).toBe(onGap === 'continue')
    expect(bench.host.losses).toEqual([truncated])
    expect(bench.lane.canResumeAt(6n)).toBe(onGap !== 'continue')
  })
})

describe('a plan that changes', () => {
  it('makes the lane begin anew, and uncertain', () => {
    const bench = underWay('stop-partition')
    bench.lane.reconfigure({ work: workOf({ compacted: true }) })
    bench.lane.replan()
    expect([bench.host.recoveries.length, bench.lane.troubles.broken, bench.lane.canResumeAt(6n)]).toEqual([
      1,
      true,
      false
    ])
    bench.table = new GapTable(0n)
    bench.begin({ next: 6n, targetEnd: 106n, epoch: LATER })
    expect([bench.lane.position, bench.lane.guard.guard]).toEqual([6n, 'fenced'])
  })

  it('is waited for while holes are explained, and what was read is not planned under the old one', async () => {
    const bench = underWay('stop-partition')
    let explain: (may: boolean) => void = () => undefined
    bench.host.holes = () => new Promise(resolve => (explain = resolve))
    const reading = bench.fetchLater(1, { skip: 2n })
    expect(bench.lane.wantsFetch).toBe(false)
    explain(false)
    await reading
    expect([bench.lane.position, bench.host.gaps]).toEqual([10n, []])
    expect(bench.lane.wantsFetch).toBe(true)
  })
})
