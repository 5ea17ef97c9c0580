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
  /** Records that the source no longer has, or a log that lost its end: the lane stops rather than skip. */
  'lane:gap': (event: { topic: string; partition: number; error: TwinlogError }) => void
  'lane:failed': (event: { topic: string; partition: number; error: TwinlogError }) => void
  'topic:created': (event: { topic: string; partitions: number }) => void
  'topic:grown': (event: { topic: string; partitions: number }) => void
  'group:synced': (event: { groupId: string; partitions: number }) => void
  /** Somebody else has committed on the target: group sync keeps its hands off. */
  'group:diverged': (event: { groupId: string; topic: string; partition: number; offset: bigint }) => void
  /** No topic matches (yet), or something that is not fatal went wrong. */
  warning: (event: { message: string; error?: TwinlogError }) => void
  error: (error: TwinlogError) => void
}
