import { count } from './plan.js'
import type { SchemaConflict, SubjectOutcome } from './plan-types.js'
import { table } from './table.js'

export interface SchemaSyncReportFields {
  at: Date
  ms: number
  ids: 'preserve' | 'translate'
  compared: number
  configsCompared: number
  registered: number
  conflicts: SchemaConflict[]
  subjects: SubjectOutcome[]
  extra: { subject: string; versions: number[] }[]
  repaired: number
  requests: { source: number; target: number }
}

/** What a sync did. */
export class SchemaSyncReport {
  /** When it ended. */
  readonly at: Date
  readonly ms: number
  readonly ids: 'preserve' | 'translate'
  /** Subjects of the source that were compared with the target. */
  readonly compared: number
  /** Of them, those whose own config was looked at (see `syncConfig`). */
  readonly configsCompared: number
  /** Changes on the target, of all kinds. */
  readonly changes: number
  /** Versions that were registered. */
  readonly registered: number
  /** Why subjects are not alike. All others are. */
  readonly conflicts: readonly SchemaConflict[]
  /** Subjects that were changed, or could not be. */
  readonly subjects: readonly SubjectOutcome[]
  /** What only the target has, and keeps (see `syncDeletes`). */
  readonly extra: readonly { subject: string; versions: number[] }[]
  /** Scopes that a run that did not end had left in IMPORT mode. */
  readonly repaired: number
  /** Retries included. */
  readonly requests: { readonly source: number; readonly target: number }

  constructor(fields: SchemaSyncReportFields) {
    this.at = fields.at
    this.ms = fields.ms
    this.ids = fields.ids
    this.compared = fields.compared
    this.configsCompared = fields.configsCompared
    this.registered = fields.registered
    this.conflicts = fields.conflicts
    this.subjects = fields.subjects
    this.changes = fields.subjects.reduce((sum, { done }) => sum + done, 0)
    this.extra = fields.extra
    this.repaired = fields.repaired
    this.requests = fields.requests
  }

  toJSON(): Record<string, unknown> {
    const { at, ...rest } = this as SchemaSyncReport
    return { at: at.toISOString(), ...rest }
  }

  /** For people. */
  toString(): string {
    const { source, target } = this.requests
    const head =
      `${count(this.changes, 'change')}, ${count(this.conflicts.length, 'conflict')}, ${count(this.compared, 'subject')} compared ` +
      `in ${this.ms} ms; ${count(source, 'request')} to the source, ${target.toLocaleString('en-US')} to the target`
    const rows = [
      ...this.subjects.filter(({ done }) => done > 0).map(({ subject, done }) => [subject, count(done, 'change')]),
      ...this.conflicts.map(({ subject, kind, message }) => [subject, `${kind}: ${message}`]),
      ...this.extra.map(({ subject, versions }) => [subject, `only on the target: version ${versions.join(', ')}`])
    ]
    return rows.length === 0 ? head : `${head}\n${table(['subject', 'what'], rows)}`
  }
}
