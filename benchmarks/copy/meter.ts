import { monitorEventLoopDelay } from 'node:perf_hooks'

/** What a copying process says about itself, from its first record to its last. */
export interface Measured {
  seconds: number
  /** User and system time of all threads of the process. */
  cpuMicros: number
  /** Since the process began, its start included. */
  peakRssBytes: number
  p99EventLoopDelayMs: number
}

const RESOLUTION_MS = 5

export class Meter {
  readonly #delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  #startedAt = 0
  #cpu: NodeJS.CpuUsage | undefined

  get running(): boolean {
    return this.#cpu !== undefined
  }

  /** Only the first call counts. */
  start(): void {
    if (this.running) return
    this.#delay.enable()
    this.#cpu = process.cpuUsage()
    this.#startedAt = performance.now()
  }

  stop(): Measured {
    const seconds = (performance.now() - this.#startedAt) / 1000
    const { user, system } = process.cpuUsage(this.#cpu)
    this.#delay.disable()
    // The histogram holds the distance between two samples, which is the resolution when nothing delays.
    const p99 = this.#delay.percentile(99) / 1e6 - RESOLUTION_MS
    return {
      seconds,
      cpuMicros: user + system,
      peakRssBytes: process.resourceUsage().maxRSS * 1024,
      p99EventLoopDelayMs: Number.isFinite(p99) ? Math.max(0, p99) : 0
    }
  }
}
