import type { TwinlogError } from '../errors.js'
import type { PlannedBatch, Segment } from '../records/types.js'
import type { LanePlan } from './lane-guard.js'
import type { Isolation, RecordErrorPolicy } from './options.js'
import type { LaneSchemas } from './schemas/lane-schemas.js'
import type { SchemaHold } from './schemas/schema-hold.js'

/** Whose records a producer id of the source marks. */
export type Provenance = 'local' | 'skip' | 'copy'

export interface TransformedPlan {
  batches: PlannedBatch[]
  /** Source offset behind everything that was planned. */
  next: bigint
  /** A record could not be transformed and must not be left out: nothing from it on was planned. */
  stopped?: { offset: bigint; error: TwinlogError } | undefined
  /** A record waits for its schema: nothing from it on was planned. */
  held?: SchemaHold | undefined
}

/** What this process does with a lane's records on their way. */
export interface LaneWork {
  plan: LanePlan
  isolation: Isolation
  onRecordError: RecordErrorPolicy
  onGap: 'continue' | 'stop-partition'
  /** Which batches are left out because a link wrote them; a promise while the source is asked. */
  classify: (producerId: bigint) => Provenance | Promise<Provenance>
  /** Absent: records are copied as they are. `seenAt`: when they were read, by `performance.now()`. */
  transform?: ((segments: Segment[], seenAt: number) => Promise<TransformedPlan>) | undefined
  /** The topic's schemas are looked after: records wait for them, ids become the target's. */
  schemas?: LaneSchemas | undefined
}
