import { toTwinlogError } from '../errors.js'
import type { FrameLease, FramePool } from '../kafka/frame-pool.js'
import type { FetchedPartition } from '../kafka/requests/fetch.js'
import type { ByteBudget } from './byte-budget.js'
import type { FetchedLane } from './fetched-lane.js'
import { cutFetched } from './fetched-pieces.js'
import type { Seat } from './source-seats.js'
import type { WorkSlices } from './work-slices.js'

/** A lane keeps at most so many times the memory of its records alive. */
const LARGEST_FRAME_FACTOR = 3
/** A piece that takes longer is made smaller. */
const LONG_PIECE_MS = 6
const SHORT_PIECE_MS = 2
const SMALLEST_PIECE_BYTES = 16 << 10
const LARGEST_PIECE_BYTES = 1 << 20

/** Gives lanes what was fetched for them, beside the fetching and in pieces that leave the event loop its turns. */
export class LaneDigester {
  readonly #budget: ByteBudget
  readonly #frames: FramePool
  readonly #slices: WorkSlices
  readonly #done: (lane: FetchedLane) => void

  constructor(o: {
    budget: ByteBudget
    frames: FramePool
    slices: WorkSlices
    /** The lane may want more. */
    done: (lane: FetchedLane) => void
  }) {
    this.#budget = o.budget
    this.#frames = o.frames
    this.#slices = o.slices
    this.#done = o.done
  }

  /** A small part of a large frame gets memory of its own: a lane that stands still must not keep what others have long copied. */
  #apart(result: FetchedPartition, frame: FrameLease | undefined): [FetchedPartition, FrameLease | undefined] {
    if (!frame || result.records.length * LARGEST_FRAME_FACTOR >= frame.capacity) {
      frame?.hold()
      return [result, frame]
    }
    const records = this.#frames.copyOf(result.records)
    const own = this.#frames.leaseOf(records)
    if (own) this.#budget.charge(own)
    return [{ ...result, records }, own]
  }

  /** Reads and plans piece by piece. What one partition holds is its own trouble: the others of this answer go on. */
  async digest(seat: Seat, fetched: FetchedPartition, shared: FrameLease | undefined, asked: bigint): Promise<void> {
    const { lane } = seat
    const [result, frame] = this.#apart(fetched, shared)
    seat.digesting = true
    try {
      let next = asked
      for (const piece of cutFetched(result, () => seat.pieceBytes)) {
        if (next !== asked) await this.#slices.turn()
        const startedAt = performance.now()
        const segments = lane.read(piece, next)
        if (!segments) break
        next = segments.at(-1)?.to ?? next
        adapt(seat, await measured(startedAt, lane.ingest(segments, frame)))
      }
    } catch (error) {
      this.#failed(lane, error)
    } finally {
      frame?.release()
      seat.digesting = false
      this.#done(lane)
    }
  }

  /** An answer without records. */
  note({ lane }: Seat, result: FetchedPartition, asked: bigint): void {
    try {
      lane.read(result, asked)
    } catch (error) {
      this.#failed(lane, error)
    }
  }

  #failed(lane: FetchedLane, error: unknown): void {
    lane.fail(toTwinlogError(error, 'TWINLOG_INTERNAL', `reading lane ${lane.key} failed`, lane.source))
  }
}

/** How long the process was busy with it: until it is done, or until it waits for something else. */
async function measured(startedAt: number, work: Promise<void>): Promise<number> {
  let busyUntil: number | undefined
  const immediate = setImmediate(() => {
    busyUntil = performance.now()
  })
  await work
  clearImmediate(immediate)
  return (busyUntil ?? performance.now()) - startedAt
}

function adapt(seat: Seat, ms: number): void {
  const factor = ms > LONG_PIECE_MS ? 0.5 : ms < SHORT_PIECE_MS ? 2 : 1
  seat.pieceBytes = Math.min(LARGEST_PIECE_BYTES, Math.max(SMALLEST_PIECE_BYTES, seat.pieceBytes * factor))
}
