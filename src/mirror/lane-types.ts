import type { TwinlogError } from '../errors.js'
import type { LaneBuffer } from './lane-buffer.js'

export interface LaneTopic {
  topic: string
  topicId: string
  partition: number
}

/** What a lane begins with when it has nothing in memory, or nothing that counts. */
export interface LaneMemory {
  buffer: LaneBuffer
  /** Leader epoch of the source up to where the buffer continues; -1: not known, so a truncation until the next record isn't seen. */
  leaderEpoch: number
}

export interface LaneLimits {
  maxBatchBytes: number
  preferredBatchBytes?: number | undefined
  coalesceBelowBytes: number
  /** A lane with this much in memory is not fetched for. */
  bufferBytes: number
  /** The target forgets a producer this long after the time stamp of its last batch. */
  producerIdExpirationMs: number
  /** The target replaces time stamps by its own: producers are remembered by the time of the append, and repetitions can't be told apart. */
  logAppendTime: boolean
}

/** A lane as discovery names it: two partitions and what of their topics' configs decides how it is copied. */
export interface LaneSpec {
  source: LaneTopic
  /** Without an id: there is no target, see `refused`. */
  target: LaneTopic
  /** The target takes no larger batch. */
  maxBatchBytes: number
  /** The source compacts the topic. */
  compacted: boolean
  /** The target writes its own time stamps. */
  logAppendTime: boolean
  /** Why this lane is not copied. */
  refused?: TwinlogError
  /** A transform sends records of the source partition here, which is not its own target. */
  routed?: boolean
  /** Source offset at which it begins; absent: by the start option. */
  first?: bigint
}

/** Lanes of one source partition belong to one process. */
export const shareIdOf = (source: LaneTopic): string => `${source.topicId}/${source.partition}`
