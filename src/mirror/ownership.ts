import { performance } from 'node:perf_hooks'
import type { Lane } from './lane.js'
import type { BeatLog } from '../lineage/beat-log.js'

const BEAT_MS = 1_000
/** An owner whose beat has not changed for so long is taken for dead; if it is not, its next write is refused. */
const DEAD_MS = 4_000
/** A beat that was this old when it was first seen is not worth waiting for. */
const STALE_MS = 8_000

/** Who may take over a lane that only one process may copy. Wrong answers cost time, never records: the fence decides. */
export interface Ownership {
  /** Why the lane is left to somebody else for now; undefined: take it. */
  refusal(lane: Lane, owner: string | undefined): Promise<string | undefined>
}

/**
 * Without sharing every process copies every lane, and those with one owner stay with it for as long as it shows in the state topic
 * that it lives.
 */
export class BeatOwnership implements Ownership {
  readonly #process: string
  readonly #link: string
  readonly #log: BeatLog
  readonly #ownsLanes: () => boolean
  readonly #seen = new Map<string, { atMs: number; changedAt: number }>()
  readonly #timer: NodeJS.Timeout
  #beating = false
  #announced: Promise<void> | undefined
  #refreshed: { at: number; done: Promise<void> } | undefined

  constructor(o: { process: string; link: string; log: BeatLog; ownsLanes: () => boolean }) {
    this.#process = o.process
    this.#link = o.link
    this.#log = o.log
    this.#ownsLanes = o.ownsLanes
    this.#timer = setInterval(() => void this.#beat(), BEAT_MS)
    this.#timer.unref()
  }

  async refusal(_lane: unknown, owner: string | undefined): Promise<string | undefined> {
    if (owner === undefined || owner === this.#process) return undefined
    await this.#refresh()
    // Its first one may be younger than the last look.
    if (!this.#log.beat(owner)) await this.#log.refresh()
    const beat = this.#log.beat(owner)
    if (!beat || beat.stopped === true) return undefined
    const now = performance.now()
    const seen = this.#seen.get(owner)
    if (!seen && Date.now() - beat.atMs > STALE_MS) return undefined
    if (!seen || seen.atMs !== beat.atMs) this.#seen.set(owner, { atMs: beat.atMs, changedAt: now })
    else if (now - seen.changedAt > DEAD_MS) return undefined
    return `process ${owner} copies it; this one takes over when that one is gone`
  }

  /** An orderly end: the next owner need not wait. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    if (!this.#beating) return
    await this.#write({ stopped: true }).catch(() => undefined)
  }

  /** Ahead of the first word about a lane of ours: whoever reads that word finds its owner alive. */
  announce(): Promise<void> {
    this.#announced ??= this.#write().catch((error: unknown) => {
      this.#announced = undefined
      throw error
    })
    return this.#announced
  }

  async #beat(): Promise<void> {
    if (!this.#ownsLanes()) {
      this.#announced = undefined
      return
    }
    await this.#write().catch(() => undefined)
  }

  async #write(o: { stopped?: true } = {}): Promise<void> {
    this.#beating = true
    await this.#log.write({ link: this.#link, owner: this.#process, atMs: Date.now(), ...o })
  }

  /** Many lanes ask at the same moment. */
  #refresh(): Promise<void> {
    if (!this.#refreshed || performance.now() - this.#refreshed.at > BEAT_MS / 2)
      this.#refreshed = { at: performance.now(), done: this.#log.refresh() }
    return this.#refreshed.done
  }
}
