import { expect } from 'vitest'
import type { Compression, Mode } from './shape.js'

export interface Row {
  shape: string
  compression: Compression | 'mixed'
  mode: Mode
  /** On the target. */
  records: number
  differences: number
  /** The first differences. */
  details?: string[]
  /** Setups that did not come about, lanes that failed, waits that ended in vain. */
  failures: string[]
}

/** No row may differ or fail, and each must have copied something. */
export function expectSame(rows: readonly Row[]): void {
  const bad = rows.filter(row => row.failures.length > 0 || row.differences > 0 || row.records === 0).map(describeRow)
  expect(bad.join('\n')).toBe('')
  expect(rows.length).toBeGreaterThan(0)
}

/** shape × (compression, mode) → records on the target, with `!` and the number of differences, or `FAILED`. */
export function reportTable(rows: readonly Row[]): string {
  const columns = [...new Set(rows.map(columnOf))]
  const shapes = [...new Set(rows.map(({ shape }) => shape))]
  const width = 2 + Math.max(...shapes.map(name => name.length))
  const cell = (text: string) => text.padStart(16)
  const lines = [`${'shape'.padEnd(width)}${columns.map(cell).join('')}`]
  for (const shape of shapes) {
    const cells = columns.map(column => rows.find(row => row.shape === shape && columnOf(row) === column)).map(cellOf)
    lines.push(`${shape.padEnd(width)}${cells.map(cell).join('')}`)
  }
  const sum = (field: 'records' | 'differences') => rows.reduce((total, row) => total + row[field], 0)
  const failed = rows.filter(({ failures }) => failures.length > 0)
  lines.push(
    '',
    `${rows.length} logs, ${sum('records')} records on the target, ${sum('differences')} differences, ${failed.length} failed`,
    ...rows.filter(row => row.failures.length > 0 || row.differences > 0).map(describeRow)
  )
  return lines.join('\n')
}

function columnOf({ compression, mode }: Row): string {
  return `${compression} ${mode}`
}

function cellOf(row: Row | undefined): string {
  if (row === undefined) return ''
  if (row.failures.length > 0) return 'FAILED'
  return row.differences > 0 ? `${row.records} !${row.differences}` : String(row.records)
}

function describeRow({ shape, compression, mode, records, differences, details = [], failures }: Row): string {
  const what = [...failures, ...(differences > 0 ? [`${differences} differences`, ...details] : [])]
  return `${shape} ${compression} ${mode}: ${what.length === 0 ? `${records} records` : what.join('; ')}`
}
