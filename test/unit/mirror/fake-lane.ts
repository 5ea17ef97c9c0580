import type { FrameLease } from '../../../src/kafka/frame-pool.js'
import type { FetchedPartition } from '../../../src/kafka/requests/fetch.js'
import type { ByteBudget, HeldMemory } from '../../../src/mirror/byte-budget.js'
import type { FetchedLane } from '../../../src/mirror/fetched-lane.js'
import { readSegments } from '../../../src/records/segments.js'
import type { Segment } from '../../../src/records/types.js'

/** A lane that keeps what it is given until `acknowledge`, and counts it as real ones do. */
export class FakeLane implements FetchedLane {
  readonly key: string
  readonly source: { topic: string; topicId: string; partition: number }
  readonly leaderEpoch = -1
  readonly errors: unknown[] = []
  readonly answers: FetchedPartition[] = []
  active = true
  paused = false
  position = 0n
  bytes = 0
  room = 4 << 20
  /** When this resolves a lane has planned what it was given. */
  planning: () => Promise<void> = () => Promise.resolve()
  /** Each data segment is acknowledged at once. */
  quick = true
  kick: () => void = () => undefined
  readonly batches: { offset: bigint; atMs: number }[] = []
  readonly #budget: ByteBudget
  #held: { memory: HeldMemory; bytes: number; copy: Buffer; view: Buffer }[] = []
  #busy = false

  constructor(topic: string, topicId: string, partition: number, budget: ByteBudget) {
    this.key = `${topic}-${partition}`
    this.source = { topic, topicId, partition }
    this.#budget = budget
  }

  get wantsFetch(): boolean {
    return this.active && !this.paused && !this.#busy && this.bytes < this.room
  }

  read(result: FetchedPartition, asked: bigint): Segment[] | undefined {
    if (!this.active || this.paused || asked !== this.position) return undefined
    this.answers.push(result)
    if (result.errorCode !== 0 || result.records.length === 0) return undefined
    const { abortedTransactions } = result
    const o = { position: asked, isolation: 'read_committed' as const, abortedTransactions }
    return readSegments(result.records, o).segments
  }

  async ingest(segments: Segment[], frame?: FrameLease): Promise<void> {
    this.#busy = true
    await this.planning()
    this.#busy = false
    for (const segment of segments) {
      if (segment.from !== this.position) continue
      this.position = segment.to
      if (segment.kind !== 'data') continue
      const view = segment.batch.bytes
      this.batches.push({ offset: segment.from, atMs: performance.now() })
      const memory = this.#budget.hold(view, frame)
      this.#held.push({ memory, bytes: view.length, copy: Buffer.from(view), view })
      this.bytes += view.length
    }
    if (this.quick) this.acknowledge()
  }

  /** Everything is on the target. Throws when memory was written to while the lane still needed it. */
  acknowledge(): void {
    const held = this.#held
    this.#held = []
    this.bytes = 0
    for (const { memory, copy, view } of held) {
      if (!copy.equals(view)) throw new Error(`memory of ${this.key} was used again too early`)
      memory.release()
    }
    this.kick()
  }

  fail(error: unknown): void {
    this.errors.push(error)
    this.active = false
  }
}
