import type { TwinlogError } from '../errors.js'
import type { Evidence } from './evidence.js'
import type { StateChange } from './state-machine.js'

export interface FailoverEvents {
  state: (change: StateChange) => void
  'cluster:unhealthy': (event: { cluster: string; error: TwinlogError }) => void
  'cluster:healthy': (event: { cluster: string }) => void
  /** The service works on another cluster now. Only the instance that drove the move has its evidence. */
  moved: (event: { from: string; to: string; epoch: number; evidence?: Evidence }) => void
  error: (error: TwinlogError) => void
}

export interface SwitchoverOptions {
  /** Only look and plan: nothing is written. */
  dryRun?: boolean | undefined
  /** Bounds the whole wait. @defaultValue 60000 */
  timeoutMs?: number | undefined
  /** Wait with the stop until the copy is this close. @defaultValue stop at once */
  maxLagRecords?: bigint | undefined
  signal?: AbortSignal | undefined
}

export interface ForcedMoveOptions {
  /** Only look and plan: nothing is written. */
  dryRun?: boolean | undefined
  /** Goes into the evidence. */
  reason?: string | undefined
  signal?: AbortSignal | undefined
}
