import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Command, Report } from './protocol.js'

/** A process of the demo, its newest progress, and its answers. */
export class DemoProcess {
  readonly name: string
  readonly #child: ChildProcess
  readonly #waiting = new Set<(report: Report) => void>()
  progress: Extract<Report, { type: 'progress' }> | undefined
  #exited: Promise<void>

  constructor(name: string, script: string, options: object) {
    this.name = name
    const path = fileURLToPath(new URL(script, import.meta.url))
    this.#child = fork(path, [JSON.stringify(options)], {
      execArgv: ['--import', 'tsx'],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc']
    })
    this.#exited = new Promise(resolve => this.#child.once('exit', () => resolve()))
    this.#child.on('message', message => {
      const report = message as Report
      if (report.type === 'progress') this.progress = report
      else for (const listener of [...this.#waiting]) listener(report)
    })
  }

  send(command: Command): void {
    if (this.#child.connected) this.#child.send(command)
  }

  /** The next report that is not progress. */
  next(timeoutMs: number): Promise<Report> {
    return new Promise((resolve, reject) => {
      const finish = (work: () => void) => {
        clearTimeout(timer)
        this.#waiting.delete(listener)
        work()
      }
      const listener = (report: Report) => finish(() => resolve(report))
      const timer = setTimeout(
        () => finish(() => reject(new Error(`${this.name} did not answer within ${timeoutMs} ms`))),
        timeoutMs
      )
      this.#waiting.add(listener)
      void this.#exited.then(() => finish(() => reject(new Error(`${this.name} ended too early`))))
    })
  }

  async stop(timeoutMs = 8_000): Promise<void> {
    this.send({ type: 'stop' })
    const timer = setTimeout(() => this.kill(), timeoutMs)
    await this.#exited
    clearTimeout(timer)
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }
}
