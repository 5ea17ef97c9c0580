import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** Orders to the Mirror's process, as its only argument. */
export interface LanesJob {
  source: string[]
  target: string[]
  topics: string[]
  link: string
  /** Starts the Mirror with the first `begin`, so that all of its work is measured. */
  waitForBegin?: boolean
}

export interface ProcessFigures {
  seconds: number
  /** Of one core. */
  cpuPercent: number
  rssBytes: number
  /** Since the process began. */
  peakRssBytes: number
  loopDelayMs: { p50: number; p99: number; max: number }
}

export type LanesMessage =
  | { what: 'started'; lanes: number }
  | { what: 'begun' }
  | { what: 'caughtUp' }
  | ({ what: 'figures' } & ProcessFigures)

const TIMEOUT_MS = 300_000
const children = new Set<ChildProcess>()

/** A Mirror in a process of its own: CPU, memory and event loop are nobody else's. */
export class MirrorChild {
  readonly #child: ChildProcess
  readonly #messages: LanesMessage[] = []
  #wake: (() => void) | undefined
  #ended: string | undefined

  constructor(job: LanesJob) {
    this.#child = fork(fileURLToPath(new URL('./mirror-child.ts', import.meta.url)), [JSON.stringify(job)], {
      execArgv: ['--import', 'tsx']
    })
    children.add(this.#child)
    this.#child.on('message', message => {
      this.#messages.push(message as LanesMessage)
      this.#wake?.()
    })
    this.#child.once('exit', (code, signal) => {
      children.delete(this.#child)
      this.#ended = `the Mirror's process ended with ${signal ?? code}`
      this.#wake?.()
    })
  }

  tell(command: 'begin' | 'figures' | 'caughtUp' | 'stop'): void {
    this.#child.send(command)
  }

  async next<W extends LanesMessage['what']>(what: W): Promise<Extract<LanesMessage, { what: W }>> {
    for (const deadline = Date.now() + TIMEOUT_MS; ; ) {
      const index = this.#messages.findIndex(message => message.what === what)
      if (index >= 0) return this.#messages.splice(index, 1)[0] as Extract<LanesMessage, { what: W }>
      if (this.#ended !== undefined) throw new Error(this.#ended)
      if (Date.now() > deadline) throw new Error(`the Mirror's process did not say "${what}" in ${TIMEOUT_MS} ms`)
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, 1_000)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }

  async figures(): Promise<ProcessFigures> {
    this.tell('figures')
    return this.next('figures')
  }

  async stop(): Promise<void> {
    if (this.#ended !== undefined) return
    this.tell('stop')
    await new Promise(resolve => this.#child.once('exit', resolve))
  }
}

export function killAllMirrors(): void {
  for (const child of children) child.kill('SIGKILL')
}
