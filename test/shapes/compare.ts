import { createHash } from 'node:crypto'
import type { Comparison, OracleRecord } from '../support/oracle.js'
import type { ShapesBed } from './bed.js'
import type { Mode, Stage } from './shape.js'

export interface Outcome {
  records: number
  differences: number
  /** The first differences. */
  details: string[]
}

/** The whole target against what readers of the source see, or saw. */
export async function compareStage(bed: ShapesBed, stage: Stage, mode: Mode): Promise<Outcome> {
  return stage.shape.compares === 'seen' && mode === 'resumed' ? compareSeen(bed, stage) : compareNow(bed, stage)
}

async function compareNow(bed: ShapesBed, stage: Stage): Promise<Outcome> {
  const { topic, shape } = stage
  const comparison = await bed.oracle.compare({
    source: bed.source.bootstrap,
    target: bed.target.bootstrap,
    sourceTopic: topic,
    isolation: shape.isolation,
    timestamps: shape.timestamps
  })
  const { missing, extra, repeated, outOfOrder, altered, sourceCount, targetCount, equal } = comparison
  const differences = missing + extra + repeated + outOfOrder + altered
  const wrong = equal === (differences === 0) && (!equal || sourceCount === targetCount) ? 0 : 1
  return { records: targetCount, differences: differences + wrong, details: detailsOf(comparison) }
}

function detailsOf({ partitions }: Comparison): string[] {
  return partitions
    .flatMap(({ partition, differences }) =>
      differences.map(d => `p${partition} ${d.kind} ${d.sourceOffset ?? '-'} → ${d.targetOffset ?? '-'} ${d.detail}`)
    )
    .slice(0, 3)
}

/** What readers see at the end of phase 1; the lanes have copied exactly that. */
export async function rememberSeen(stage: Stage): Promise<void> {
  if (stage.shape.compares !== 'seen') return
  for (const { partition, end } of await stage.oracle.endOffsets(stage.where))
    stage.seen.set(partition, { records: await stage.oracle.read({ ...stage.where, partition }), end })
}

async function compareSeen(bed: ShapesBed, stage: Stage): Promise<Outcome> {
  const outcome: Outcome = { records: 0, differences: 0, details: [] }
  for (const [partition, { records, end }] of stage.seen) {
    const now = await stage.oracle.read({ ...stage.where, partition })
    const still = now.filter(({ offset }) => offset < end).length
    if (still === records.length) throw new Error('setup: nothing that was seen is gone')
    const wanted = [...records, ...now.filter(({ offset }) => offset >= end)].map(digest)
    const copied = await bed.oracle.read({ cluster: bed.target.bootstrap, topic: stage.topic, partition })
    const found = copied.map(digest)
    outcome.records += found.length
    const first = wanted.findIndex((each, index) => each !== found[index])
    if (first < 0 && wanted.length === found.length) continue
    outcome.differences += Math.max(1, Math.abs(wanted.length - found.length))
    outcome.details.push(
      `p${partition}: ${wanted.length} seen, ${found.length} copied, the first difference at record ${first}`
    )
  }
  return outcome
}

function digest({ key, value, timestamp, headers }: OracleRecord): string {
  const parts = [key, value, ...headers.flatMap(header => [Buffer.from(header.key), header.value])]
  const hash = createHash('sha256').update(timestamp.toString())
  for (const part of parts) hash.update(`|${part === null ? -1 : part.length}|`).update(part ?? '')
  return hash.digest('base64')
}
