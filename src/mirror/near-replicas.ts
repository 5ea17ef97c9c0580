/** How long the leader's advice counts: as in the Java client. */
const ADVICE_MS = 300_000
/** How long the leader is not asked after a replica has failed; longer each time, up to ADVICE_MS. By then it may name another one, or none. */
const FIRST_REFUSAL_MS = 5_000
/** A replica that was read from for so long was a good one: its end is no reason to be careful with the next. */
const GOOD_MS = 60_000

interface Advice {
  /** Undefined: the replica that was named has failed; the leader is read, and not asked for advice. */
  nodeId: number | undefined
  since: number
  timer: NodeJS.Timeout
}

/**
 * Which lanes are read from a replica nearby instead of from their leader. A leader that is asked with a rack names one instead of sending records, so a
 * lane whose replica has failed has to ask without.
 */
export class NearReplicas {
  readonly #advice = new Map<object, Advice>()
  /** How often in a row replicas have failed. */
  readonly #failures = new WeakMap<object, number>()

  /** The replica to read from; undefined: the leader. */
  of(lane: object, leader: number): number | undefined {
    const nodeId = this.#advice.get(lane)?.nodeId
    return nodeId === leader ? undefined : nodeId
  }

  follows(lane: object): boolean {
    return this.#advice.get(lane)?.nodeId !== undefined
  }

  /** Whether the leader may be asked for advice. */
  mayAsk(lane: object): boolean {
    return !this.#advice.has(lane)
  }

  follow(lane: object, nodeId: number, now: number, onEnd: () => void): void {
    this.#set(lane, nodeId, { now, ms: ADVICE_MS, onEnd })
  }

  refuse(lane: object, now: number, onEnd: () => void): void {
    const followed = this.#advice.get(lane)
    const wasGood = followed?.nodeId !== undefined && now - followed.since >= GOOD_MS
    const failures = wasGood ? 0 : (this.#failures.get(lane) ?? 0)
    this.#failures.set(lane, failures + 1)
    this.#set(lane, undefined, { now, ms: Math.min(ADVICE_MS, FIRST_REFUSAL_MS * 2 ** failures), onEnd })
  }

  forget(lane: object): void {
    this.#end(lane)
    this.#failures.delete(lane)
  }

  #set(lane: object, nodeId: number | undefined, o: { now: number; ms: number; onEnd: () => void }): void {
    this.#end(lane)
    const timer = setTimeout(() => {
      this.#advice.delete(lane)
      o.onEnd()
    }, o.ms)
    timer.unref()
    this.#advice.set(lane, { nodeId, since: o.now, timer })
  }

  #end(lane: object): void {
    clearTimeout(this.#advice.get(lane)?.timer)
    this.#advice.delete(lane)
  }
}
