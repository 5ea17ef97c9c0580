import type { TwinlogError } from '../errors.js'
import type { LaneStateName } from './lane-status.js'

/** One payload object an event. */
export interface MirrorEvents {
  'lane:state': (event: {
    topic: string
    partition: number
    from: LaneStateName
    to: LaneStateName
    why?: string
    error?: TwinlogError
  }) => void
  /** Records are gone: the source no longer has them, or is another log than it was, or the target lost them. `onGap` decides what follows. */
  'lane:gap': (event: { topic: string; partition: number; error: TwinlogError }) => void
  'lane:failed': (event: { topic: string; partition: number; error: TwinlogError }) => void
  /** A record (or all those of a damaged batch, from `offset` on) could not be copied and is in the dead-letter topic. */
  'record:dead-letter': (event: {
    topic: string
    partition: number
    offset: bigint
    error: TwinlogError
    deadLetterTopic: string
  }) => void
  /** The same under `onRecordError: 'skip'`: it is nowhere. */
  'record:skipped': (event: { topic: string; partition: number; offset: bigint; error: TwinlogError }) => void
  /**
   * A record has waited for its schema for longer than `schemas.timeoutMs`: `onTimeout` decides what follows. Told once, however many
   * lanes wait for it, and again when it was there and is missing once more. `schemaGuid`: the record names it by a GUID, in a header.
   */
  'schema:missing': (event: {
    topic: string
    partition: number
    offset: bigint
    part: 'key' | 'value'
    schemaId?: number
    schemaGuid?: string
    error: TwinlogError
  }) => void
  /** A broker's quota holds answers back. */
  throttled: (event: { role: 'source' | 'target'; nodeId: number; throttleMs: number }) => void
  'topic:created': (event: { topic: string; partitions: number }) => void
  'topic:grown': (event: { topic: string; partitions: number }) => void
  'group:synced': (event: { groupId: string; partitions: number }) => void
  /** Somebody else has committed on the target: group sync keeps its hands off. */
  'group:diverged': (event: { groupId: string; topic: string; partition: number; offset: bigint }) => void
  /** No topic matches (yet), or something that is not fatal went wrong. */
  warning: (event: { message: string; error?: TwinlogError }) => void
  error: (error: TwinlogError) => void
}
