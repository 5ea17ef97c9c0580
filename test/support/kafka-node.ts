import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { spawnWatched } from './children.js'
import { cacheRoot, javaBed } from './classpath.js'

export type JvmProfile = 'fast-start' | 'throughput'

export interface NodeSpec {
  label: string
  clusterId: string
  nodeId: number
  directory: string
  properties: Record<string, string>
  scram: string[]
  heapMb: number
  jvm: JvmProfile
}

/** One Kafka JVM, broker or controller. Its files stay where they are from start to start. */
export class KafkaNode {
  readonly spec: NodeSpec
  #child: ChildProcess | undefined
  #exited: Promise<void> = Promise.resolve()
  #frozen = false

  constructor(spec: NodeSpec) {
    this.spec = spec
    mkdirSync(spec.directory, { recursive: true })
  }

  /** Process id of the running JVM; 0 while there is none. */
  get pid(): number {
    return this.#child?.pid ?? 0
  }

  get dataDirectory(): string {
    return join(this.spec.directory, 'data')
  }

  get running(): boolean {
    return this.#child !== undefined
  }

  get frozen(): boolean {
    return this.#frozen
  }

  async spawn(): Promise<void> {
    if (this.#child !== undefined) throw new Error(`${this.spec.label} is already running (pid ${this.pid})`)
    const { classPath } = await javaBed()
    const file = join(this.spec.directory, 'server.properties')
    const lines = Object.entries({ ...this.spec.properties, 'log.dirs': this.dataDirectory })
    writeFileSync(file, lines.map(([key, value]) => `${key}=${value.replaceAll('\\', '\\\\')}`).join('\n'))
    const args = [...jvmFlags(this.spec), '-cp', classPath, 'Broker', this.spec.clusterId, file, ...this.spec.scram]
    const child = spawnWatched(javaCommand(), args, { logFile: this.#logFile })
    this.#child = child
    this.#frozen = false
    this.#exited = new Promise(resolve => {
      const gone = (): void => {
        if (this.#child === child) this.#child = undefined
        resolve()
      }
      child.once('exit', gone)
      child.once('error', gone)
    })
  }

  /** Polls until `ready` says yes; throws with the tail of the log when the JVM ends before, or the time is over. */
  async waitUntil(ready: () => Promise<boolean>, timeoutMs: number): Promise<void> {
    const deadline = Date.now() + timeoutMs
    while (!(await ready())) {
      if (this.#child === undefined) throw new Error(`${this.spec.label} ended while starting.\n${this.logTail()}`)
      if (Date.now() > deadline) {
        throw new Error(`${this.spec.label} was not ready within ${timeoutMs} ms.\n${this.logTail()}`)
      }
      await sleep(50)
    }
  }

  /** SIGTERM (an orderly shutdown); SIGKILL when that takes longer than `timeoutMs`. */
  async terminate(timeoutMs = 20_000): Promise<void> {
    if (this.#child === undefined) return
    this.thaw()
    this.#child.kill('SIGTERM')
    const timer = setTimeout(() => this.#child?.kill('SIGKILL'), timeoutMs)
    await this.#exit()
    clearTimeout(timer)
  }

  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL')
    await this.#exit()
  }

  freeze(): void {
    if (this.#child === undefined) throw new Error(`${this.spec.label} is not running: nothing to freeze`)
    this.#child.kill('SIGSTOP')
    this.#frozen = true
  }

  thaw(): void {
    this.#child?.kill('SIGCONT')
    this.#frozen = false
  }

  logTail(lines = 40): string {
    if (!existsSync(this.#logFile)) return '(no log)'
    return readFileSync(this.#logFile, 'utf8').split('\n').slice(-lines).join('\n')
  }

  get #logFile(): string {
    return join(this.spec.directory, 'node.log')
  }

  async #exit(): Promise<void> {
    // The child does not hold the event loop, but somebody who waits for its end does.
    const hold = setInterval(() => undefined, 1000)
    await this.#exited
    clearInterval(hold)
  }
}

export function javaCommand(): string {
  const home = process.env.JAVA_HOME
  return home !== undefined && existsSync(join(home, 'bin/java')) ? join(home, 'bin/java') : 'java'
}

/** `directory`: for what the JVM leaves behind when it is killed, native libraries among it. */
export function quietFlags(directory: string): string[] {
  // KAFKA_HOME brings log4j, Maven brings slf4j-simple; both shall write warnings to stderr and nothing else.
  const log4j = join(cacheRoot(), 'log4j2.properties')
  if (!existsSync(log4j)) {
    writeFileSync(
      log4j,
      'appender.err.type=Console\nappender.err.name=err\nappender.err.target=SYSTEM_ERR\nappender.err.layout.type=PatternLayout\n' +
        'appender.err.layout.pattern=%d %p %c - %m%n\nrootLogger.level=warn\nrootLogger.appenderRef.err.ref=err\n'
    )
  }
  return [
    '-Xshare:auto',
    '-Xlog:disable',
    '-Xlog:all=error:stderr',
    '-XX:-UsePerfData',
    `-Djava.io.tmpdir=${directory}`,
    '-XX:-UsePerfData',
    '-Djava.awt.headless=true',
    '-Djava.net.preferIPv4Stack=true',
    '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
    '-Dorg.slf4j.simpleLogger.showDateTime=true',
    '-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS',
    `-Dlog4j2.configurationFile=${log4j}`
  ]
}

function jvmFlags(spec: NodeSpec): string[] {
  const profile =
    spec.jvm === 'throughput'
      ? ['-XX:+UseParallelGC']
      : [
          '-XX:+UseSerialGC',
          '-XX:TieredStopAtLevel=1',
          '-XX:+UnlockDiagnosticVMOptions',
          '-XX:-BytecodeVerificationRemote'
        ]
  return [`-Xmx${spec.heapMb}m`, `-Xms${Math.min(spec.heapMb, 128)}m`, ...profile, ...quietFlags(spec.directory)]
}
