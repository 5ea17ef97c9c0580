import type { TwinlogError } from '../errors.js'
import { OUT_OF_ORDER_SEQUENCE } from './lane-errors.js'
import { LANE_TRANSITIONS, type LaneStateName } from './lane-status.js'

/** What a lane's life needs of the lane. */
interface LaneLifeHost {
  changed(from: LaneStateName, to: LaneStateName): void
  /** Lets go of what is in memory. */
  drop(): void
  /** Nothing of ours is on its way to the target. */
  settled(): boolean
  recover(reason: TwinlogError): void
}

const FIRST_RETRY_MS = 1_000
const LONGEST_RETRY_MS = 30_000

/** In which state a lane is and why, and when it asks the target where to go on. */
export class LaneLife {
  readonly #host: LaneLifeHost
  #state: LaneStateName = 'starting'
  #error: TwinlogError | undefined
  #why: string | undefined
  #needsRecovery = true
  #recovering = false
  #wantsPause = false
  #standsBy = false
  /** Since the last progress. */
  #failures = 0
  /** By the monotonic clock. */
  #retryAtMs = Number.POSITIVE_INFINITY

  constructor(host: LaneLifeHost) {
    this.#host = host
  }

  get state(): LaneStateName {
    return this.#state
  }

  get error(): TwinlogError | undefined {
    return this.#error
  }

  get why(): string | undefined {
    return this.#why
  }

  get active(): boolean {
    return this.#state === 'copying' || this.#state === 'caught-up' || this.#state === 'waiting'
  }

  get needsRecovery(): boolean {
    return this.#needsRecovery
  }

  /** Only a new start leads out of it. */
  get over(): boolean {
    return this.#state === 'failed' || this.#state === 'stopped'
  }

  /** May be fetched for and planned. */
  get copies(): boolean {
    return this.active && !this.#needsRecovery
  }

  /** A paused lane fetches nothing more, but what was fetched goes out. */
  get sends(): boolean {
    return (this.active || this.#state === 'paused') && !this.#needsRecovery
  }

  /** The target has told where the lane goes on. */
  begin(): void {
    this.#needsRecovery = false
    this.#recovering = false
    this.#standsBy = false
    this.#error = undefined
    this.moveTo(this.#wantsPause ? 'paused' : this.#state === 'caught-up' ? 'caught-up' : 'copying')
  }

  pause(): void {
    this.#wantsPause = true
    if (this.active) this.moveTo('paused')
  }

  /** True when it was paused. */
  resume(): boolean {
    this.#wantsPause = false
    if (this.#state !== 'paused') return false
    this.moveTo(this.#needsRecovery ? 'starting' : 'copying')
    return true
  }

  reopen(): void {
    this.#error = undefined
    this.moveTo('starting')
  }

  fail(error: TwinlogError): void {
    // Why it was stopped decides whether it is opened again.
    if (this.#state === 'stopped') return
    this.#standsBy = false
    this.#error = error
    this.#needsRecovery = true
    this.#recovering = false
    this.#failures += 1
    this.#retryAtMs = performance.now() + retryPauseMs(this.#failures)
    this.#host.drop()
    this.moveTo('failed', error.message)
  }

  /** Something was copied: the next failure is a first one. */
  progressed(): void {
    this.#failures = 0
  }

  /** Failed, and long enough ago to see whether the cause is gone. */
  mayRetry(now: number): boolean {
    return this.#state === 'failed' && now >= this.#retryAtMs && this.#host.settled()
  }

  /** Out of `failed` for another attempt. */
  retry(): void {
    this.#retryAtMs = Number.POSITIVE_INFINITY
    this.#error = undefined
    this.moveTo('starting')
  }

  /** Another process copies the lane, and only one may. */
  standBy(why: string): void {
    if (this.over) return
    this.#recovering = false
    this.#error = undefined
    this.#host.drop()
    this.moveTo('waiting', why)
    this.#standsBy = true
  }

  /** Another process copies the lane, as far as is known. */
  get standsBy(): boolean {
    return this.#standsBy
  }

  stop(why?: string, error?: TwinlogError): void {
    this.#standsBy = false
    this.#error = error
    this.#needsRecovery = true
    this.#host.drop()
    if (this.#state !== 'stopped') this.moveTo('stopped', why)
  }

  blocked(error: TwinlogError): void {
    if (!this.#needsRecovery || this.over) return
    this.#error = error
    this.#host.drop()
    this.moveTo('waiting', error.message)
  }

  /** Stop, let everything in flight settle, then ask the target. */
  failSoft(error: TwinlogError): void {
    if (this.#needsRecovery) return this.settled()
    this.#needsRecovery = true
    this.#error = error
    // Losing a race to another owner is everyday life of a lane that two processes copy; it shows only when it takes long.
    if (error.kafkaCode !== OUT_OF_ORDER_SEQUENCE) this.moveTo('starting')
    this.settled()
  }

  /** What the target has told does not do. */
  askAgain(reason: TwinlogError): void {
    this.#error = reason
    this.#recovering = false
    this.settled()
  }

  /** Something in flight has settled: a recovery that waits for the last of it can begin. */
  settled(): void {
    if (!this.#needsRecovery || !this.#error || this.#recovering || !this.#host.settled()) return
    if (this.over) return
    this.#recovering = true
    this.#host.recover(this.#error)
  }

  moveTo(to: LaneStateName, why?: string): void {
    const from = this.#state
    this.#why = why
    if (from === to) return
    if (!LANE_TRANSITIONS[from].includes(to)) return
    this.#state = to
    this.#host.changed(from, to)
  }
}

/** Doubles from try to try, spread at random so that lanes that failed together do not come back together. */
function retryPauseMs(failures: number): number {
  return Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** (failures - 1)) * (0.75 + Math.random() * 0.5)
}
