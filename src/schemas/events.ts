import type { TwinlogError } from '../errors.js'
import type { SchemaConflict } from './plan-types.js'
import type { SchemaSyncReport } from './report.js'

export interface SchemaSyncEvents {
  /** A run has ended, with or without changes. */
  synced: (event: { report: SchemaSyncReport }) => void
  /** A subject cannot be made alike. Once for each reason, not again with every run. */
  conflict: (conflict: SchemaConflict) => void
  /** Something that is not fatal went wrong. */
  warning: (event: { message: string }) => void
  /** A run of `start()` failed. The next one comes by itself. */
  error: (error: TwinlogError) => void
}
