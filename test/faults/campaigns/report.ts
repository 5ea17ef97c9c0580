import { expect } from 'vitest'
import type { Comparison } from '../../support/oracle.js'
import type { Injection } from './timeline.js'

export interface Report {
  name: string
  seed: number
  seconds: number
  comparison: Comparison
  injections: Injection[]
  /** Per lane: the longest time without an append while the load was on. */
  longestPauses: { partition: number; ms: number }[]
  /** Most batches of one lane that were on their way at once. */
  deepest: number
  /** How often a lane stopped and asked the target where to go on: each race for a sequence that was lost, each fault that hit. */
  recoveries: number
  /** Events of all mirrors, by name (not those about states). */
  told: ReadonlyMap<string, number>
  /** What else a judge has to say. */
  note: string | undefined
  /** Lanes that failed, processes that ended by themselves, lanes that never caught up. */
  failures: string[]
}

/** Of so many lanes the longest pauses are told. */
const MOST_LANES = 12

/** The whole point: nothing failed, and the independent oracle finds the target equal to the source. */
export function expectExact(report: Report): void {
  expectClean(report)
  expect(report.comparison.targetCount).toBe(report.comparison.sourceCount)
}

/** The same for copies that are not to be equal: their judge has counted what is wrong, by the same names. */
export function expectClean(report: Report): void {
  const { comparison } = report
  console.log(describeReport(report))
  expect(report.failures, `seed ${report.seed}`).toEqual([])
  expect(comparison, `seed ${report.seed}: ${differences(comparison)}`).toMatchObject({
    equal: true,
    missing: 0,
    extra: 0,
    repeated: 0,
    outOfOrder: 0,
    altered: 0
  })
  expect(comparison.sourceCount).toBeGreaterThan(0)
}

function describeReport(report: Report): string {
  const { comparison: c, injections } = report
  const lines = [
    `── ${report.name} (seed ${report.seed}, ${report.seconds.toFixed(0)} s) ──`,
    `source ${c.sourceCount} target ${c.targetCount} | missing ${c.missing} repeated ${c.repeated} out of order ${c.outOfOrder} ` +
      `altered ${c.altered} extra ${c.extra} | up to ${report.deepest} batches of a lane in flight, ${report.recoveries} recoveries`
  ]
  if (injections.length > 0)
    lines.push('    at s  injected                                     new leader ms  stood still ms')
  for (const { atMs, what, electedAfterMs, stoodStillMs } of injections) {
    const elected = electedAfterMs === undefined ? '' : String(electedAfterMs)
    lines.push(
      `${(atMs / 1000).toFixed(1).padStart(8)}  ${what.padEnd(44)} ${elected.padStart(13)}  ${String(stoodStillMs).padStart(14)}`
    )
  }
  const longest = [...report.longestPauses].sort((a, b) => b.ms - a.ms)
  const pauses = longest.slice(0, MOST_LANES).map(({ partition, ms }) => `${partition}: ${ms}`)
  lines.push(`longest pause of each lane in ms: ${pauses.join(', ')}${longest.length > MOST_LANES ? ' …' : ''}`)
  if (report.told.size > 0)
    lines.push(`told: ${[...report.told].map(([event, times]) => `${event} × ${times}`).join(', ')}`)
  if (report.note !== undefined) lines.push(report.note)
  for (const failure of report.failures) lines.push(`FAILURE: ${failure}`)
  return `${lines.join('\n')}\n`
}

function differences(comparison: Comparison): string {
  return comparison.partitions
    .flatMap(({ partition, differences: found }) =>
      found.map(
        d => `p${partition} ${d.kind} source ${d.sourceOffset ?? '-'} target ${d.targetOffset ?? '-'} ${d.detail}`
      )
    )
    .slice(0, 20)
    .join('; ')
}
