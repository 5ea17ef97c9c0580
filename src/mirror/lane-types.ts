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
  coalesceBelowBytes: number
  /** A lane with this much in memory is not fetched for. */
  bufferBytes: number
  /** The target forgets a producer this long after the time stamp of its last batch. */
  producerIdExpirationMs: number
}
