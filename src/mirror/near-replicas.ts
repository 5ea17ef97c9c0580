/** How long the leader's advice counts, and how long it is not asked for after a replica failed: as in the Java client. */
const ADVICE_MS = 300_000

interface Advice {
  /** Undefined: the replica that was named has failed; the leader is read, and not asked for advice. */
  nodeId: number | undefined
  until: number
  timer: NodeJS.Timeout
}

/**
 * Which lanes are read from a replica nearby instead of from their leader. A leader that is asked with a rack names one instead of sending records, so a
 * lane whose replica has failed has to ask without.
 */
export class NearReplicas {
  readonly #advice = new Map<object, Advice>()

  /** The replica to read from; undefined: the leader. */
  of(lane: object, leader: number, now: number): number | undefined {
    const advice = this.#current(lane, now)
    return advice?.nodeId === leader ? undefined : advice?.nodeId
  }

  follows(lane: object): boolean {
    return this.#advice.get(lane)?.nodeId !== undefined
  }

  /** Whether the leader may be asked for advice. */
  mayAsk(lane: object, now: number): boolean {
    return this.#current(lane, now) === undefined
  }

  follow(lane: object, nodeId: number, now: number, onEnd: () => void): void {
    this.#set(lane, nodeId, now, onEnd)
  }

  refuse(lane: object, now: number, onEnd: () => void): void {
    this.#set(lane, undefined, now, onEnd)
  }

  forget(lane: object): void {
    clearTimeout(this.#advice.get(lane)?.timer)
    this.#advice.delete(lane)
  }

  #set(lane: object, nodeId: number | undefined, now: number, onEnd: () => void): void {
    this.forget(lane)
    const timer = setTimeout(() => {
      this.#advice.delete(lane)
      onEnd()
    }, ADVICE_MS)
    timer.unref()
    this.#advice.set(lane, { nodeId, until: now + ADVICE_MS, timer })
  }

  #current(lane: object, now: number): Advice | undefined {
    const advice = this.#advice.get(lane)
    return advice && advice.until > now ? advice : undefined
  }
}
