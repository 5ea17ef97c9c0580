import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Measured } from './meter.js'

/** Orders to a copying process, as its only argument. */
export interface MirrorJob {
  source: string[]
  target: string[]
  topic: string
  link: string
}

export interface KafkajsJob {
  source: string[]
  target: string[]
  sourceTopic: string
  targetTopic: string
  records: number
  recordsABatch: number
  codec: 'none' | 'lz4'
}

export interface RelayJob {
  sinkPort: number
}

export type CopierMessage = { kind: 'listening'; port: number } | { kind: 'done'; measured: Measured }

const copiers = new Set<ChildProcess>()

/** One copier in a process of its own: its CPU time and memory are nobody else's. */
export class CopierProcess {
  readonly #child: ChildProcess
  readonly #messages: CopierMessage[] = []
  #wake: (() => void) | undefined
  #ended: string | undefined

  constructor(
    file: string,
    job: MirrorJob | KafkajsJob | RelayJob,
    o: { timeoutMs: number; profileDirectory?: string | undefined }
  ) {
    const profile = o.profileDirectory === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${o.profileDirectory}`]
    this.#child = fork(fileURLToPath(new URL(file, import.meta.url)), [JSON.stringify(job)], {
      execArgv: ['--import', 'tsx', ...profile]
    })
    copiers.add(this.#child)
    const timer = setTimeout(() => {
      this.#ended ??= `${file} took longer than ${o.timeoutMs} ms`
      this.#child.kill('SIGKILL')
    }, o.timeoutMs)
    this.#child.on('message', message => {
      this.#messages.push(message as CopierMessage)
      this.#wake?.()
    })
    const onEnd = (why: string) => {
      clearTimeout(timer)
      copiers.delete(this.#child)
      this.#ended ??= `${file} ${why}`
      this.#wake?.()
    }
    this.#child.once('exit', (code, signal) => onEnd(`ended with ${signal ?? code}`))
    this.#child.once('error', error => onEnd(`could not be started: ${error.message}`))
  }

  async next<K extends CopierMessage['kind']>(kind: K): Promise<Extract<CopierMessage, { kind: K }>> {
    while (this.#messages.length === 0) {
      if (this.#ended !== undefined) throw new Error(this.#ended)
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
    const message = this.#messages.shift()!
    if (message.kind !== kind) throw new Error(`expected ${kind}, the copier said ${message.kind}`)
    return message as Extract<CopierMessage, { kind: K }>
  }

  /** Resolves when the process is gone; it ends by itself after `done`. */
  async ended(): Promise<void> {
    if (this.#ended === undefined) await new Promise(resolve => this.#child.once('exit', resolve))
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }
}

/** Called in a copying process. */
export function orders<J>(): J {
  process.once('disconnect', () => process.exit(1))
  return JSON.parse(process.argv[2]!) as J
}

export async function report(message: CopierMessage): Promise<void> {
  await new Promise<void>(resolve => process.send!(message, () => resolve()))
}

export function killAllCopiers(): void {
  for (const child of copiers) child.kill('SIGKILL')
}
