import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { forgetDirectory, spawnWatched, watchDirectory } from './children.js'
import { javaBed } from './classpath.js'
import { javaCommand, quietFlags } from './kafka-node.js'
import { oracleOperations } from './oracle-operations.js'
import type { Comparison, Oracle, OracleCluster, ProduceResult } from './oracle-types.js'

export type * from './oracle-operation-types.js'
export type * from './oracle-types.js'

interface Answer {
  ready?: boolean
  id?: number
  result?: unknown
  error?: string
}

/** One resident JVM that judges with Kafka's own Java clients. It shares no code with twinlog or kafkajs. */
export async function startOracle(o: { heapMb?: number | undefined } = {}): Promise<Oracle> {
  const { classPath } = await javaBed()
  const directory = mkdtempSync(join(tmpdir(), 'twinlog-oracle-'))
  watchDirectory(directory)
  const logFile = join(directory, 'oracle.log')
  const flags = [`-Xmx${o.heapMb ?? 768}m`, '-XX:+UseSerialGC', ...quietFlags(directory)]
  const child = spawnWatched(javaCommand(), [...flags, '-cp', classPath, 'Oracle'], { logFile, stdout: 'pipe' })
  const link = new OracleLink(child, logFile)
  await link.ready
  const close = async (): Promise<void> => {
    await link.close()
    rmSync(directory, { recursive: true, force: true })
    forgetDirectory(directory)
  }
  return {
    pid: child.pid ?? 0,
    compare: async options => {
      const answer = await link.call<Comparison>('compare', sides(options))
      for (const { differences } of answer.partitions) {
        for (const difference of differences) {
          if (difference.sourceOffset !== undefined) difference.sourceOffset = BigInt(difference.sourceOffset)
          if (difference.targetOffset !== undefined) difference.targetOffset = BigInt(difference.targetOffset)
        }
      }
      return answer
    },
    resumeOffsets: async options => {
      const answer = await link.call<{ start: number; end: number; records: number; targets: string }>(
        'resumeOffsets',
        sides(options)
      )
      const bytes = Buffer.from(answer.targets, 'base64')
      const targets = new BigInt64Array(bytes.length / 8)
      for (let i = 0; i < targets.length; i++) targets[i] = bytes.readBigInt64LE(i * 8)
      const start = BigInt(answer.start)
      const end = BigInt(answer.end)
      return {
        start,
        end,
        records: answer.records,
        targets,
        at: offset => {
          const target = targets[Number(offset - start)]
          if (target === undefined) throw new RangeError(`source offset ${offset} is outside ${start}..${end}`)
          return target
        }
      }
    },
    count: options => link.call('count', on(options)),
    endOffsets: async options => {
      const answer = await link.call<{ partition: number; start: number; end: number }[]>('offsets', on(options))
      return answer.map(({ partition, start, end }) => ({ partition, start: BigInt(start), end: BigInt(end) }))
    },
    read: async options => {
      const from = options.from === undefined ? undefined : Number(options.from)
      const records = await link.call<RawRecord[]>('read', { ...on(options), from })
      return records.map(record => ({
        offset: BigInt(record.offset),
        timestamp: BigInt(record.timestamp),
        key: bytesOf(record.key),
        value: bytesOf(record.value),
        headers: record.headers.map(([key, value]) => ({ key, value: bytesOf(value) }))
      }))
    },
    produce: options => {
      const { id, answer } = link.request<ProduceResult>('produce', on(options))
      // Whoever starts a background job looks at it later; until then its failure is not unhandled.
      answer.catch(() => undefined)
      return {
        done: answer,
        acknowledged: async () =>
          (await link.call<{ acknowledged: number } | null>('progress', { job: id }))?.acknowledged ??
          (await answer).acknowledged,
        stop: async () => {
          await link.call('stopProduce', { job: id })
          return answer
        }
      }
    },
    consumeGroup: async options => {
      const answer = await link.call<{ records: number; positions: { partition: number; offset: number }[] }>(
        'consumeGroup',
        on(options)
      )
      return { ...answer, positions: answer.positions.map(p => ({ ...p, offset: BigInt(p.offset) })) }
    },
    committed: async options => {
      const answer = await link.call<{ topic: string; partition: number; offset: number; metadata: string }[]>(
        'committed',
        on(options)
      )
      return answer.map(each => ({ ...each, offset: BigInt(each.offset) }))
    },
    createTopic: options => link.call('createTopic', on(options)),
    ...oracleOperations((method, params) => link.call(method, params), on),
    close,
    [Symbol.asyncDispose]: close
  }
}

interface RawRecord {
  offset: number
  timestamp: number
  key: string | null
  value: string | null
  headers: [string, string | null][]
}

function bytesOf(base64: string | null): Buffer | null {
  return base64 === null ? null : Buffer.from(base64, 'base64')
}

function javaSide(cluster: OracleCluster): { bootstrap: string; properties?: Record<string, string> | undefined } {
  if (typeof cluster === 'string') return { bootstrap: cluster }
  if (!('bootstrap' in cluster)) return { bootstrap: cluster.join(',') }
  return { bootstrap: javaSide(cluster.bootstrap).bootstrap, properties: cluster.properties }
}

function on<T extends { cluster: OracleCluster }>(options: T): object {
  return { ...options, cluster: javaSide(options.cluster) }
}

function sides<T extends { source: OracleCluster; target: OracleCluster }>(options: T): object {
  return { ...options, source: javaSide(options.source), target: javaSide(options.target) }
}

/** Requests and answers by id over the JVM's stdin and stdout. */
class OracleLink {
  readonly ready: Promise<void>
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()
  readonly #exited: Promise<void>
  #nextId = 1
  // The JVM does not hold the event loop, an open question does.
  #hold: NodeJS.Timeout | undefined

  constructor(child: ChildProcess, logFile: string) {
    this.#child = child
    if (child.stdout === null) throw new Error('the oracle needs its stdout')
    ;(child.stdout as unknown as { unref(): void }).unref()
    this.ready = this.#expect(0)
    createInterface({ input: child.stdout }).on('line', line => this.#answer(JSON.parse(line) as Answer))
    this.#exited = new Promise(resolve => {
      const gone = (reason: string): void => {
        const log = readLog(logFile)
        for (const id of [...this.#waiting.keys()]) this.#settle(id, new Error(`The oracle ended (${reason}).\n${log}`))
        resolve()
      }
      child.once('error', error => gone(error.message))
      child.once('exit', (code, signal) => gone(String(signal ?? code)))
    })
  }

  call<T>(method: string, params: object): Promise<T> {
    return this.request<T>(method, params).answer
  }

  request<T>(method: string, params: object): { id: number; answer: Promise<T> } {
    const id = this.#nextId++
    const answer = this.#expect<T>(id)
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
      this.#settle(id, new Error('The oracle has ended.'))
    } else {
      this.#child.stdin?.write(`${JSON.stringify({ id, method, params })}\n`)
    }
    return { id, answer }
  }

  async close(): Promise<void> {
    const hold = setInterval(() => undefined, 1000)
    this.#child.kill('SIGKILL')
    await this.#exited
    clearInterval(hold)
  }

  #expect<T>(id: number): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { resolve: value => resolve(value as T), reject })
      this.#hold ??= setInterval(() => undefined, 1000)
    })
  }

  #answer(answer: Answer): void {
    if (answer.ready === true) this.#settle(0, undefined)
    else if (answer.id !== undefined) {
      this.#settle(answer.id, answer.error === undefined ? answer.result : new Error(`oracle: ${answer.error}`))
    }
  }

  #settle(id: number, outcome: unknown): void {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (outcome instanceof Error) waiting?.reject(outcome)
    else waiting?.resolve(outcome)
    if (this.#waiting.size > 0) return
    clearInterval(this.#hold)
    this.#hold = undefined
  }
}

function readLog(file: string): string {
  try {
    return readFileSync(file, 'utf8').slice(-4000)
  } catch {
    return '(no log)'
  }
}
