import type { TwinlogError } from '../errors.js'
import type { SchemaConflict } from './plan-types.js'
import type { SchemaSyncReport } from './report.js'

export interface SchemaSyncStatusFields {
  running: boolean
  report: SchemaSyncReport | undefined
  error: TwinlogError | undefined
  conflicts: readonly SchemaConflict[]
  translated: number
  requests: { source: number; target: number }
}

/** How a SchemaSync stands, by its last run. */
export class SchemaSyncStatus {
  readonly at = new Date()
  /** It looks for changes by itself. */
  readonly running: boolean
  /** When the last run ended that compared everything. */
  readonly lastSyncAt: Date | undefined
  /** Why the run after that failed. */
  readonly lastError: TwinlogError | undefined
  /** Subjects of the source that it compared. */
  readonly subjects: number
  /** Why some of them are not alike. */
  readonly conflicts: readonly SchemaConflict[]
  /** Ids whose counterpart on the target is known. */
  readonly translated: number
  /** Since the beginning. */
  readonly requests: { readonly source: number; readonly target: number }

  constructor(fields: SchemaSyncStatusFields) {
    this.running = fields.running
    this.lastSyncAt = fields.report?.at
    this.lastError = fields.error
    this.subjects = fields.report?.compared ?? 0
    this.conflicts = [...fields.conflicts]
    this.translated = fields.translated
    this.requests = fields.requests
    Object.freeze(this)
  }

  toJSON(): Record<string, unknown> {
    return {
      at: this.at.toISOString(),
      running: this.running,
      lastSyncAt: this.lastSyncAt?.toISOString(),
      lastError: this.lastError?.toJSON(),
      subjects: this.subjects,
      conflicts: this.conflicts,
      translated: this.translated,
      requests: this.requests
    }
  }
}
