import type { AppendedLane } from './fetched-lane.js'
import type { Send } from './lane-buffer.js'

/** One request's worth. */
export interface Sending {
  lane: AppendedLane
  send: Send
}

/** When high priorities fill all requests, so many go by priority and one by turn. */
const TURNS = 4

/** Lanes that may have something to send, in the order in which they came; nobody looks at the others. */
export class ReadyLanes {
  /** By priority. A set keeps the order of its entries. */
  readonly #queues = new Map<number, Set<AppendedLane>>()
  #priorities: number[] = []
  #turn = 0

  add(lane: AppendedLane, priority: number): void {
    let queue = this.#queues.get(priority)
    if (!queue) {
      queue = new Set()
      this.#queues.set(priority, queue)
      this.#priorities = [...this.#queues.keys()].sort((a, b) => b - a)
    }
    queue.add(lane)
  }

  remove(lane: AppendedLane): void {
    for (const queue of this.#queues.values()) queue.delete(lane)
  }

  /** Forgets lanes that have nothing after all. */
  get any(): boolean {
    for (const queue of this.#queues.values()) {
      for (const lane of queue) {
        if (lane.peek()) return true
        queue.delete(lane)
      }
    }
    return false
  }

  /**
   * Takes what goes into the next request: at most one batch of a target partition, so that batches of a lane follow each other, and
   * because of two batches for one partition a broker appends one and answers for both. A batch of a transaction goes alone: a
   * request names one transactional id.
   */
  gather(maxBytes: number): Sending[] {
    const sends: Sending[] = []
    const taken = new Set<string>()
    let bytes = 0
    for (const priority of this.#order()) {
      const queue = this.#queues.get(priority) ?? new Set()
      // Who has been served goes to the end of the set that is being walked through.
      let left = queue.size
      for (const lane of queue) {
        if (left-- === 0) break
        if (bytes >= maxBytes) return sends
        const next = lane.peek()
        if (!next) {
          queue.delete(lane)
          continue
        }
        if (next.transactionalId !== undefined && sends.length > 0) continue
        const partition = `${lane.target.topicId}/${lane.target.partition}`
        if (taken.has(partition)) continue
        taken.add(partition)
        bytes += next.batch.bytes.length
        sends.push({ lane, send: lane.take() })
        // To the end: the others come first next time.
        queue.delete(lane)
        queue.add(lane)
        if (next.transactionalId !== undefined) return sends
      }
    }
    return sends
  }

  #order(): number[] {
    if (this.#priorities.length < 2) return this.#priorities
    this.#turn = (this.#turn + 1) % TURNS
    return this.#turn === 0 ? [...this.#priorities].reverse() : this.#priorities
  }
}
