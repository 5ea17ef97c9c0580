import type { Gap } from '../lineage/gap-table.js'
import type { LinkState } from '../lineage/link-state.js'
import type { LaneEpoch } from '../lineage/sequence.js'

/** So many small chunks are then written as one: a transactional source makes one gap a commit. */
const MERGE_CHUNKS = 256
const MERGED_GAPS = 16_384

interface Chunk {
  ordinal: bigint
  count: number
}

/**
 * Writes a lane's gaps ahead of its data and keeps the state topic small: many little chunks are replaced by one. Writes of one
 * lane go one after the other, so that a merged chunk never overtakes the small ones it stands for.
 */
export class GapWriter {
  readonly #state: LinkState
  readonly #lane: string
  #epoch: LaneEpoch | undefined
  #chunks: Chunk[] = []
  #gaps: Gap[] = []
  #last: Promise<void> = Promise.resolve()

  constructor(state: LinkState, lane: string) {
    this.#state = state
    this.#lane = lane
  }

  write(epoch: LaneEpoch, gaps: Gap[]): Promise<void> {
    // What waits behind a write that failed fails with it: a later gap without the earlier one is a plan that nobody can read.
    const run = this.#last.then(() => this.#write(epoch, gaps))
    this.#last = run
    run.catch(() => {
      if (this.#last === run) this.#last = Promise.resolve()
    })
    return run
  }

  /** Nothing is on its way, whatever became of it. */
  async settled(): Promise<void> {
    await this.#last.catch(() => undefined)
  }

  async #write(epoch: LaneEpoch, gaps: Gap[]): Promise<void> {
    const first = gaps[0]
    if (!first) return
    // Chunks of another identity, or gaps that do not follow, begin a new collection.
    const follows =
      this.#epoch?.epoch === epoch.epoch &&
      this.#epoch.producerId === epoch.producerId &&
      continues(this.#gaps.at(-1), first)
    if (!follows) this.#forget(epoch)
    await this.#state.writeGaps(this.#lane, { producerId: epoch.producerId, epoch: epoch.epoch, gaps })
    // A new history of the source is an entry of its own: what stands before it and behind it never becomes one chunk.
    if (gaps.some(gap => gap.era !== undefined)) return this.#forget(epoch)
    this.#chunks.push({ ordinal: first.ordinal, count: gaps.length })
    this.#gaps.push(...gaps)
    if (this.#chunks.length < MERGE_CHUNKS) return
    await this.#state.mergeGaps(
      this.#lane,
      { producerId: epoch.producerId, epoch: epoch.epoch, gaps: this.#gaps },
      this.#chunks
    )
    if (this.#gaps.length >= MERGED_GAPS) this.#forget(epoch)
    else this.#chunks = [{ ordinal: this.#gaps[0]?.ordinal ?? first.ordinal, count: this.#gaps.length }]
  }

  #forget(epoch: LaneEpoch): void {
    this.#epoch = epoch
    this.#chunks = []
    this.#gaps = []
  }
}

/** False when another owner has written gaps between these two: a chunk tells only of gaps that follow each other. */
function continues(last: Gap | undefined, next: Gap): boolean {
  return (
    last === undefined ||
    (next.ordinal > last.ordinal && next.from - next.ordinal === last.from + last.length - last.ordinal)
  )
}
