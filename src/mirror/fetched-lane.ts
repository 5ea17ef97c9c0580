import type { TwinlogError } from '../errors.js'
import type { FrameLease } from '../kafka/frame-pool.js'
import type { FetchedPartition } from '../kafka/requests/fetch.js'
import type { ProducedPartition } from '../kafka/requests/produce.js'
import type { Segment } from '../records/types.js'
import type { Send } from './lane-buffer.js'
import type { LaneTopic } from './lane-types.js'

/** What fetching needs of a lane. */
export interface FetchedLane {
  readonly key: string
  readonly source: LaneTopic
  /** Copies, or would: false while it is paused, failed or being brought back. */
  readonly active: boolean
  /** Has room, and nothing fetched that is still being planned. Whoever makes it true says so with `kick`. */
  readonly wantsFetch: boolean
  readonly position: bigint
  readonly leaderEpoch: number
  /** Held, not acknowledged. */
  readonly bytes: number
  read(result: FetchedPartition, asked: bigint): Segment[] | undefined
  /** Never rejects. */
  ingest(segments: Segment[], frame?: FrameLease): Promise<void>
  fail(error: TwinlogError): void
}

/** What appending needs of a lane. */
export interface AppendedLane {
  readonly key: string
  readonly target: LaneTopic
  readonly settled: boolean
  peek(): Send | undefined
  take(): Send
  answered(send: Send, result: ProducedPartition): void
  unanswered(send: Send, error: TwinlogError): void
  unreachable(error: TwinlogError): void
  connectionChanged(): void
}

export type EngineLane = FetchedLane & AppendedLane
