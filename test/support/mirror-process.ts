import type { ChildProcess } from 'node:child_process'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { ClusterConfig, LaneStateName, MirrorOptions } from '../../src/index.js'
import { spawnWatched } from './children.js'
import type { TransformName } from './named-transforms.js'

/** Everything must survive JSON: no functions in the cluster configs. */
export interface ChildOptions
  extends Pick<
    MirrorOptions,
    | 'createTopics'
    | 'workers'
    | 'onGap'
    | 'onRecordError'
    | 'isolation'
    | 'limits'
    | 'forward'
    | 'rackId'
    | 'discoveryIntervalMs'
    | 'transformTimeoutMs'
  > {
  source: ClusterConfig
  target: ClusterConfig
  topics: string | string[]
  link: string
  /** One of named-transforms.ts, for every topic. */
  transform?: TransformName | undefined
  /** Delay of each byte to and from the target: it keeps the pipeline full. */
  targetLatencyMs?: number | undefined
  /** Default 50. */
  sampleMs?: number | undefined
}

export interface LaneSample {
  topic: string
  partition: number
  state: LaneStateName
  /** Source offset up to which everything is on the target. */
  reached: number
  targetEnd: number
  lag: number
}

/** An event of the Mirror (not `lane:state`, of which there are many); bigints as text, errors as `TWINLOG_CODE: message`. */
export interface ChildEvent {
  event: string
  at: number
  payload: Record<string, unknown>
}

/** What one process has seen since it began. */
export interface ChildFigures {
  /** Most batches of one lane on their way to the target at once. */
  deepest: number
  /** How often a lane stopped and asked the target where to go on. */
  recoveries: number
}

export type ChildReport =
  | { what: 'started' }
  | ({ what: 'status'; at: number; lanes: LaneSample[] } & ChildFigures)
  | ({ what: 'event' } & ChildEvent)
  | { what: 'failed'; topic: string; partition: number; error: string }
  | { what: 'fatal'; error: string }
  | { what: 'done'; command: string; error?: string }

export interface MirrorProcessEvents {
  status?: ((at: number, lanes: LaneSample[], figures: ChildFigures, pid: number) => void) | undefined
  /** A lane failed, the Mirror could not start, or the process ended although nobody told it to. */
  failed?: ((error: string) => void) | undefined
  told?: ((event: ChildEvent) => void) | undefined
}

const script = fileURLToPath(new URL('./mirror-child.ts', import.meta.url))
const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href
const START_TIMEOUT_MS = 60_000

/** A Mirror in a process of its own, to be killed, frozen and thawed. It cannot outlive this process, frozen or not. */
export class MirrorProcess {
  readonly name: string
  readonly #options: ChildOptions
  readonly #logFile: string
  readonly #events: MirrorProcessEvents
  readonly #waiting = new Map<string, { resolve: () => void; reject: (error: Error) => void }>()
  #child: ChildProcess | undefined
  #exited: Promise<void> = Promise.resolve()
  #expectedEnd = false
  #lanes: LaneSample[] = []
  #sampledAt = 0
  #problem: string | undefined

  constructor(name: string, o: { options: ChildOptions; logFile: string; events?: MirrorProcessEvents | undefined }) {
    this.name = name
    this.#options = o.options
    this.#logFile = o.logFile
    this.#events = o.events ?? {}
  }

  get pid(): number {
    return this.#child?.pid ?? 0
  }

  get running(): boolean {
    return this.#child !== undefined
  }

  /** What the process said last, and when: a frozen one says nothing new. */
  get sample(): { at: number; lanes: readonly LaneSample[] } {
    return { at: this.#sampledAt, lanes: this.#lanes }
  }

  /** Resolves as soon as the process exists. */
  start(): void {
    if (this.#child !== undefined) throw new Error(`mirror ${this.name} is already running (pid ${this.pid})`)
    this.#expectedEnd = false
    this.#lanes = []
    const args = ['--import', tsx, script, JSON.stringify(this.#options)]
    const child = spawnWatched(process.execPath, args, { logFile: this.#logFile, stdout: 'pipe' })
    this.#child = child
    ;(child.stdout as unknown as { unref(): void }).unref()
    if (child.stdout) createInterface({ input: child.stdout }).on('line', line => this.#hear(line, child))
    this.#exited = new Promise(resolve => {
      const gone = (reason: string): void => {
        if (this.#child === child) this.#child = undefined
        for (const { reject } of this.#waiting.values()) reject(new Error(`mirror ${this.name} ended (${reason})`))
        this.#waiting.clear()
        if (!this.#expectedEnd) this.#fail(`mirror ${this.name} ended by itself (${reason}), see ${this.#logFile}`)
        resolve()
      }
      child.once('error', error => gone(error.message))
      child.once('exit', (code, signal) => gone(String(signal ?? code)))
    })
  }

  /** Resolves when every lane copies, at least for the moment. */
  async copying(lanes: number, timeoutMs = START_TIMEOUT_MS): Promise<void> {
    const deadline = Date.now() + timeoutMs
    const ready = () =>
      this.#lanes.length >= lanes && this.#lanes.every(lane => lane.state === 'copying' || lane.state === 'caught-up')
    while (!ready()) {
      if (!this.running) throw new Error(`mirror ${this.name} is not running: ${this.#problem ?? 'killed'}`)
      if (Date.now() > deadline) {
        throw new Error(`mirror ${this.name} does not copy after ${timeoutMs} ms: ${JSON.stringify(this.#lanes)}`)
      }
      await sleep(20)
    }
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    this.#expectedEnd = true
    this.#child?.kill('SIGKILL')
    await this.#gone()
  }

  freeze(): void {
    this.#child?.kill('SIGSTOP')
  }

  thaw(): void {
    this.#child?.kill('SIGCONT')
  }

  /** Throws when the source's end of now is not on the target in time. */
  caughtUp(timeoutMs: number): Promise<void> {
    return this.#command(`caughtUp ${timeoutMs}`)
  }

  /** Orderly. */
  async stop(): Promise<void> {
    if (!this.running) return
    this.#expectedEnd = true
    await this.#command('stop').catch(() => undefined)
    await this.#gone()
  }

  async #gone(): Promise<void> {
    // The child does not hold the event loop, but somebody who waits for its end does.
    const hold = setInterval(() => undefined, 1000)
    await this.#exited
    clearInterval(hold)
  }

  async #command(command: string): Promise<void> {
    const hold = setInterval(() => undefined, 1000)
    try {
      await new Promise<void>((resolve, reject) => {
        if (!this.running) return reject(new Error(`mirror ${this.name} is not running`))
        this.#waiting.set(command, { resolve, reject })
        this.#child?.stdin?.write(`${command}\n`)
      })
    } finally {
      clearInterval(hold)
    }
  }

  #hear(line: string, child: ChildProcess): void {
    // What a killed process had written before is of no interest any more.
    if (this.#child !== child) return
    const report = JSON.parse(line) as ChildReport
    switch (report.what) {
      case 'status':
        this.#lanes = report.lanes
        this.#sampledAt = report.at
        this.#events.status?.(report.at, report.lanes, report, this.pid)
        return
      case 'event':
        this.#events.told?.(report)
        return
      case 'failed':
        return this.#fail(`lane ${report.topic}-${report.partition} of mirror ${this.name} failed: ${report.error}`)
      case 'fatal':
        this.#expectedEnd = true
        return this.#fail(`mirror ${this.name} cannot start: ${report.error}`)
      case 'done': {
        const waiting = this.#waiting.get(report.command)
        this.#waiting.delete(report.command)
        if (report.error === undefined) waiting?.resolve()
        else waiting?.reject(new Error(`mirror ${this.name}, ${report.command}: ${report.error}`))
        return
      }
      case 'started':
    }
  }

  #fail(problem: string): void {
    this.#problem = problem
    this.#events.failed?.(problem)
  }
}
