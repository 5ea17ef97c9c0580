import type { GroupTranslation } from '../offsets/translation.js'
import type { LaneEnd, MoveKind } from '../control/control-records.js'
import type { LedgerRange } from './ledger.js'
import type { RedactedCluster } from './redact.js'
import type { PreflightReport } from '../util/preflight-report.js'

export interface EvidenceStep {
  name: string
  ms: number
  detail: string
}

/** What a move did, how long it took and what it cost. `toJSON()` gives offsets as decimal strings and dates as ISO 8601. */
export interface Evidence {
  kind: MoveKind
  from: string
  to: string
  epoch: number
  /** `planned`: a dry run, nothing was written. */
  outcome: 'moved' | 'aborted' | 'planned'
  service: string
  instanceId: string
  startedAt: Date
  finishedAt: Date
  steps: EvidenceStep[]
  /** From the call until the consumers and producers of this instance worked on the new cluster. */
  rtoMs: number
  ledger: { lost: LedgerRange[]; inDoubt: LedgerRange[]; note: string }
  groups: GroupTranslation[]
  /** Where every lane was closed. */
  lanes: LaneEnd[]
  instances: { expected: string[]; answered: string[]; missing: string[] }
  preflight: PreflightReport
  /** Decisions and remarks in the order they were made. */
  decisions: string[]
  /** Why the operator moved (failover), or why the move was aborted. */
  reason?: string
  configuration: { digest: string; clusters: RedactedCluster[] }
  /** Paths of the written files. */
  files: string[]
  toJSON(): Record<string, unknown>
}

export type EvidenceFields = Omit<Evidence, 'toJSON'>

/** Removes secrets from any text; see `createScrubber`. */
export type Scrub = (text: string) => string

/** Only words are scrubbed: topics, keys and instance names are data, and a ledger with blanks in it would be wrong. */
export function createEvidence(fields: EvidenceFields, scrub: Scrub): Evidence {
  const { steps, preflight, decisions, reason, ...data } = fields
  const words = scrubDeep({ steps, preflight, decisions, ...(reason === undefined ? {} : { reason }) }, scrub)
  const clean: EvidenceFields = {
    ...data,
    ...(words as Pick<EvidenceFields, 'steps' | 'preflight' | 'decisions' | 'reason'>)
  }
  return Object.defineProperty({ ...clean } as Evidence, 'toJSON', {
    enumerable: false,
    value: () => plain(clean) as Record<string, unknown>
  })
}

/** bigint → decimal string, Date → ISO 8601; everything else as it is. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString()
  if (value instanceof Date) return value.toISOString()
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]))
}

function scrubDeep(value: unknown, scrub: Scrub): unknown {
  if (typeof value === 'string') return scrub(value)
  if (Array.isArray(value)) return value.map(item => scrubDeep(item, scrub))
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, scrubDeep(item, scrub)]))
}
