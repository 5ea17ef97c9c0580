import { readFileSync } from 'node:fs'
import type { Oracle } from '../../test/support/oracle.js'

/** What the move of one service left behind, as JSON of its evidence. */
export interface MoveEvidence {
  rtoMs: number
  outcome: string
  ledger: {
    lost: { topic: string; partition: number; from: string; to: string; count: number }[]
    inDoubt: { topic: string; count: number; keys?: string[] }[]
    note: string
  }
  files: string[]
}

interface Witnesses {
  acknowledged: string[]
  handled: string[]
}

export interface ServiceVerdict {
  mirrored: number
  duplicates: number
  missing: number
  lostOnSource: number
  inDoubt: number
  ledgerMatches: boolean
  problems: string[]
}

/** Reads both clusters with a Java consumer and the witness files of all processes; nothing of this comes from twinlog itself. */
export async function judge(o: {
  oracle: Oracle
  east: string[]
  west: string[]
  topic: string
  producer: string
  consumers: string[]
  evidence: MoveEvidence
}): Promise<ServiceVerdict> {
  const witnesses: Witnesses = { acknowledged: lines(o.producer), handled: o.consumers.flatMap(lines) }
  const east = await idsOf(o.oracle, o.east, o.topic)
  const west = await idsOf(o.oracle, o.west, o.topic)
  const onEast = new Set([...east.values()].flat())
  const onWest = new Set([...west.values()].flat())
  const handled = new Set(witnesses.handled)
  const lost = witnesses.acknowledged.filter(id => !onWest.has(id))
  const lostByLedger = o.evidence.ledger.lost.flatMap(range =>
    (east.get(range.partition) ?? []).slice(Number(range.from), Number(range.to))
  )
  const inDoubtByLedger = new Set(o.evidence.ledger.inDoubt.flatMap(range => range.keys ?? []))
  const unexplained = [...onEast].filter(id => !onWest.has(id) && !lost.includes(id) && !inDoubtByLedger.has(id))
  const problems: string[] = []
  const missingInLedger = difference(lost, lostByLedger)
  const tooMuchInLedger = difference(lostByLedger, lost)
  if (missingInLedger.length > 0)
    problems.push(
      `${missingInLedger.length} lost records are not in the ledger: ${missingInLedger.slice(0, 5).join(', ')}`
    )
  if (tooMuchInLedger.length > 0)
    problems.push(
      `${tooMuchInLedger.length} records in the ledger are not lost: ${tooMuchInLedger.slice(0, 5).join(', ')}`
    )
  if (unexplained.length > 0)
    problems.push(
      `${unexplained.length} records are only on east and nobody named them: ${unexplained.slice(0, 5).join(', ')}`
    )
  const missing = [...onWest].filter(id => !handled.has(id))
  if (missing.length > 0)
    problems.push(`${missing.length} records were never handled: ${missing.slice(0, 5).join(', ')}`)
  const repeated = repeats(witnesses.handled)
  if (repeated.length > 0)
    problems.push(`${repeated.length} records were handled twice: ${repeated.slice(0, 5).join(', ')}`)
  return {
    mirrored: [...onEast].filter(id => onWest.has(id)).length,
    duplicates: repeated.length,
    missing: missing.length,
    lostOnSource: lost.length,
    inDoubt: o.evidence.ledger.inDoubt.reduce((sum, range) => sum + range.count, 0),
    ledgerMatches: missingInLedger.length + tooMuchInLedger.length + unexplained.length === 0,
    problems
  }
}

/** A planned move: whatever either cluster holds must have been handled once. */
export function missingOnEither(east: Set<string>, west: Set<string>, handled: Set<string>): string[] {
  return [...new Set([...east, ...west])].filter(id => !handled.has(id))
}

/** Record keys by partition, in offset order; offsets begin at 0 in the demo's fresh topics, so the index is the offset. */
export async function idsOf(oracle: Oracle, cluster: string[], topic: string): Promise<Map<number, string[]>> {
  const ends = await oracle.endOffsets({ cluster, topic })
  const ids = new Map<number, string[]>()
  for (const { partition } of ends) {
    const records = await oracle.read({ cluster, topic, partition, max: 10_000_000 })
    const list: string[] = []
    for (const record of records) list[Number(record.offset)] = record.key?.toString() ?? ''
    ids.set(partition, list)
  }
  return ids
}

export function lines(file: string): string[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter(line => line !== '')
}

function repeats(ids: string[]): string[] {
  const seen = new Set<string>()
  const again = new Set<string>()
  for (const id of ids) {
    if (seen.has(id)) again.add(id)
    seen.add(id)
  }
  return [...again]
}

function difference(from: string[], without: string[]): string[] {
  const known = new Set(without)
  return from.filter(id => !known.has(id))
}
