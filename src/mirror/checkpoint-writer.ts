import { setTimeout as sleep } from 'node:timers/promises'
import type { ClusterClient } from '../kafka/cluster.js'
import type { Lane } from './lane.js'
import type { LinkBinding } from './link-session.js'
import { QuietLanes } from './quiet-lanes.js'

const CHECKPOINT_INTERVAL_MS = 500
/** Retention takes minutes at least. */
const QUIET_INTERVAL_MS = 60_000
/** A stop does not wait longer for what may spare the next start a question. */
const LAST_LOOK_MS = 2_000

/** Keeps the state topic up with what lanes have copied: from time to time, and when somebody waits for it. */
export class CheckpointWriter {
  readonly #lanes: ReadonlyMap<string, Lane>
  readonly #link: LinkBinding
  readonly #quiet: QuietLanes
  readonly #timer: NodeJS.Timeout
  readonly #quietTimer: NodeJS.Timeout
  #running: Promise<void> = Promise.resolve()
  #waiting: Promise<void> | undefined

  constructor(o: { target: ClusterClient; lanes: ReadonlyMap<string, Lane>; link: LinkBinding }) {
    this.#lanes = o.lanes
    this.#link = o.link
    this.#quiet = new QuietLanes(o)
    this.#timer = setInterval(() => void this.write().catch(() => undefined), CHECKPOINT_INTERVAL_MS)
    this.#quietTimer = setInterval(() => void this.#quiet.look().catch(() => undefined), QUIET_INTERVAL_MS)
    this.#quietTimer.unref()
  }

  /** Ends the writing from time to time. */
  stop(): void {
    clearInterval(this.#timer)
    clearInterval(this.#quietTimer)
  }

  /** The last words of this process about its lanes, while they are still its own. */
  async writeLast(): Promise<void> {
    const enough = sleep(LAST_LOOK_MS, undefined, { ref: false })
    await Promise.race([this.#quiet.look({ all: true }), enough]).catch(() => undefined)
    return this.write()
  }

  /** Everything acknowledged so far is in the state topic when this resolves. One writer at a time. */
  write(): Promise<void> {
    // One run and one that waits for it: in an outage callers share the waiting one instead of queueing up.
    this.#waiting ??= this.#running
      .catch(() => undefined)
      .then(() => {
        this.#running = this.#waiting ?? Promise.resolve()
        this.#waiting = undefined
        return this.#writeDirty()
      })
    return this.#waiting
  }

  async #writeDirty(): Promise<void> {
    const dirty = [...this.#lanes.values()].filter(lane => lane.takeDirty())
    if (dirty.length === 0) return
    const entries = dirty.map(lane => ({
      lane: lane.key,
      checkpoint: {
        next: lane.acknowledgedNext,
        targetEnd: lane.targetEnd,
        ...(lane.seenTo > lane.targetEnd ? { seenTo: lane.seenTo } : {}),
        sourceLeaderEpoch: lane.leaderEpoch,
        reached: lane.reached,
        ...(lane.epoch && { producerId: lane.epoch.producerId, epoch: lane.epoch.epoch })
      }
    }))
    try {
      await this.#link.session.state.writeCheckpoints(entries)
    } catch (error) {
      for (const lane of dirty) lane.markDirty()
      throw error
    }
  }
}
