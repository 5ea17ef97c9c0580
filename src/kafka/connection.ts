import type { Socket } from 'node:net'
import { TwinlogError } from '../errors.js'
import type { Logger } from '../logger.js'
import { type Address, formatAddress } from './addresses.js'
import { DeadlineTimer, unrefTimer } from './deadline-timer.js'
import type { FramePool } from './frame-pool.js'
import { encodeFrame, FrameAssembler } from './framing.js'
import { Reader } from './protocol/reader.js'
import { API_VERSIONS_KEY, apiVersionsRequest, type VersionRange } from './requests/api-versions.js'
import { authenticate } from './sasl.js'
import type { ConnectionSettings } from './settings.js'
import { openSocket } from './socket.js'
import type { ApiRequest } from './types.js'

export interface BrokerConnectionOptions extends Address {
  /** −1 on a bootstrap connection, whose node is not known yet. */
  nodeId: number
  settings: ConnectionSettings
  logger: Logger
  signal?: AbortSignal | undefined
  /** Memory for large answers. Without one each is an allocation of its own. */
  frames?: FramePool | undefined
}

interface Entry {
  readonly request: ApiRequest<unknown>
  readonly timeoutMs: number
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
  correlationId: number
  version: number
  deadline: number
}

/**
 * One socket to one broker as a strict first-in-first-out pipe: the order of the calls of `send` is the order on the wire
 * and the order of the answers. Nothing overtakes: neither after a throttle nor around a re-authentication. A time-out
 * destroys the connection, because only then is it certain that the request will not be answered later.
 */
export class BrokerConnection {
  readonly host: string
  readonly port: number
  readonly #settings: ConnectionSettings
  readonly #logger: Logger
  readonly #socket: Socket
  readonly #inFlight: Entry[] = []
  readonly #deadlines = new DeadlineTimer(() => this.#checkDeadlines())
  #queue: Entry[] = []
  #nodeId: number
  #versions: ReadonlyMap<number, VersionRange> = new Map()
  #correlationId = 0
  #throttledUntil = 0
  #authenticating = false
  #authenticationDue = false
  /** Whose session this is. */
  #identity: string | undefined
  #closing = false
  #error: TwinlogError | undefined
  #throttleTimer: NodeJS.Timeout | undefined
  #sessionTimer: NodeJS.Timeout | undefined
  readonly #closeListeners: ((error: TwinlogError) => void)[] = []
  readonly #drainListeners: (() => void)[] = []

  /** Connects, negotiates versions and authenticates. */
  static async connect(options: BrokerConnectionOptions): Promise<BrokerConnection> {
    const frames = new FrameAssembler(options.frames)
    const socket = await openSocket(options, options.settings, frames, options.signal)
    const connection = new BrokerConnection(options, socket, frames)
    const onAbort = () => connection.destroy(connection.#failure('TWINLOG_ABORTED', 'connecting was aborted', false))
    options.signal?.addEventListener('abort', onAbort, { once: true })
    try {
      await connection.#negotiate()
      await connection.#authenticate()
      return connection
    } catch (error) {
      connection.destroy()
      throw error
    } finally {
      options.signal?.removeEventListener('abort', onAbort)
    }
  }

  private constructor(options: BrokerConnectionOptions, socket: Socket, frames: FrameAssembler) {
    this.host = options.host
    this.port = options.port
    this.#nodeId = options.nodeId
    this.#settings = options.settings
    this.#logger = options.logger
    this.#socket = socket
    frames.deliver({
      frame: frame => this.#onFrame(frame),
      broken: error => this.destroy(this.#failure('TWINLOG_PROTOCOL', error.message, false, error))
    })
    socket.on('data', chunk => frames.push(chunk))
    const onGone = () => this.destroy(this.#failure('TWINLOG_UNREACHABLE', 'closed the connection'))
    socket.on('end', onGone)
    socket.on('close', onGone)
    socket.on('timeout', () => this.destroy(this.#failure('TWINLOG_TIMEOUT', 'the socket timed out')))
    socket.on('error', error => {
      this.destroy(this.#failure('TWINLOG_UNREACHABLE', `connection lost: ${error.message}`, true, error))
    })
    if (socket.destroyed) onGone()
  }

  get nodeId(): number {
    return this.#nodeId
  }

  get closed(): boolean {
    return this.#error !== undefined || this.#closing
  }

  /** Requests that wait for their turn or for an answer. */
  get pending(): number {
    return this.#inFlight.length + this.#queue.length
  }

  get versions(): ReadonlyMap<number, VersionRange> {
    return this.#versions
  }

  /** A bootstrap connection turned out to lead to this node. */
  identify(nodeId: number): void {
    this.#nodeId = nodeId
  }

  /** Takes its place in the queue synchronously: the order of the calls is the order on the wire. */
  send<T>(request: ApiRequest<T>, o: { timeoutMs?: number | undefined } = {}): Promise<T> {
    if (this.#error !== undefined) return Promise.reject(this.#error)
    if (this.#closing) return Promise.reject(this.#failure('TWINLOG_UNREACHABLE', 'the connection is being closed'))
    return this.#enqueue(request, o.timeoutMs ?? this.#settings.requestTimeoutMs, entry => {
      this.#queue.push(entry)
      this.#flush()
    })
  }

  /** Called once, also for a connection that was closed on purpose; at once if it is closed already. */
  onClose(listener: (error: TwinlogError) => void): void {
    if (this.#error !== undefined) listener(this.#error)
    else this.#closeListeners.push(listener)
  }

  /** Lets everything pending finish, then ends the connection. */
  async close(): Promise<void> {
    if (this.#error !== undefined) return
    this.#closing = true
    if (this.pending > 0 || this.#authenticating) await new Promise<void>(resolve => this.#drainListeners.push(resolve))
    this.destroy(this.#failure('TWINLOG_UNREACHABLE', 'the connection was closed'))
  }

  /** Ends the connection now; everything pending rejects. */
  destroy(error: TwinlogError = this.#failure('TWINLOG_UNREACHABLE', 'the connection was destroyed')): void {
    if (this.#error !== undefined) return
    this.#error = error
    this.#deadlines.stop()
    clearTimeout(this.#throttleTimer)
    clearTimeout(this.#sessionTimer)
    this.#socket.destroy()
    const entries = this.#inFlight.splice(0).concat(this.#queue.splice(0))
    for (const entry of entries) entry.reject(error)
    for (const listener of this.#drainListeners.splice(0)) listener()
    for (const listener of this.#closeListeners.splice(0)) listener(error)
  }

  #enqueue<T>(request: ApiRequest<T>, timeoutMs: number, place: (entry: Entry) => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      // The promise's own type ends here; `decode` of the same request produces what it resolves with.
      const settle = resolve as (value: unknown) => void
      place({ request, timeoutMs, resolve: settle, reject, correlationId: 0, version: 0, deadline: 0 })
    })
  }

  #flush(): void {
    while (this.#error === undefined && this.#queue.length > 0) {
      if (this.#authenticating || this.#authenticationDue) return
      const waitMs = this.#throttledUntil - performance.now()
      if (waitMs > 0) {
        this.#throttleTimer ??= setTimeout(() => {
          this.#throttleTimer = undefined
          this.#flush()
        }, Math.ceil(waitMs))
        return
      }
      const entry = this.#queue.shift()
      if (entry !== undefined) this.#write(entry)
    }
  }

  #write(entry: Entry): void {
    const { request } = entry
    let segments: Buffer[]
    try {
      entry.version = this.#negotiatedVersion(request)
      entry.correlationId = this.#correlationId
      segments = encodeFrame(request, entry.version, entry.correlationId, this.#settings.clientId)
    } catch (error) {
      entry.reject(error)
      this.#settled()
      return
    }
    this.#correlationId = (this.#correlationId + 1) & 0x7fffffff
    if (request.expectResponse !== false) {
      entry.deadline = performance.now() + entry.timeoutMs
      this.#inFlight.push(entry)
      this.#deadlines.watch(entry.deadline)
    }
    this.#socket.cork()
    for (const segment of segments) this.#socket.write(segment)
    this.#socket.uncork()
    if (request.expectResponse === false) {
      entry.resolve(undefined)
      this.#settled()
    }
  }

  #onFrame(frame: Buffer): void {
    if (this.#error !== undefined) return
    const reader = new Reader(frame)
    const correlationId = reader.int32()
    const entry = this.#inFlight[0]
    if (entry === undefined || entry.correlationId !== correlationId) {
      const expected = entry === undefined ? 'none' : String(entry.correlationId)
      const problem = `answered out of order (correlation id ${correlationId}, expected ${expected})`
      this.destroy(this.#failure('TWINLOG_PROTOCOL', problem, true))
      return
    }
    this.#inFlight.shift()
    const { request, version } = entry
    try {
      if (version >= request.flexibleFrom && request.apiKey !== API_VERSIONS_KEY) reader.tags()
      const value = request.decode(reader, version)
      if (reader.throttleMs > 0) {
        this.#throttledUntil = Math.max(this.#throttledUntil, performance.now() + reader.throttleMs)
      }
      entry.resolve(value)
    } catch (error) {
      const message = `answered ${request.apiName} v${version} with something unreadable`
      const detail = error instanceof Error ? error.message : String(error)
      entry.reject(this.#failure('TWINLOG_PROTOCOL', `${message}: ${detail}`, false, error))
    }
    this.#settled()
  }

  #settled(): void {
    if (this.#inFlight.length === 0 && this.#authenticationDue && !this.#authenticating) void this.#reauthenticate()
    if (this.#queue.length > 0) this.#flush()
    if (this.pending === 0 && !this.#authenticating) for (const listener of this.#drainListeners.splice(0)) listener()
  }

  #checkDeadlines(looked = false): void {
    const now = performance.now()
    const late = this.#inFlight.find(entry => entry.deadline <= now)
    if (late !== undefined && !looked) {
      // After a long pause of this process timers run before the socket is read: the answer may be there already.
      setImmediate(() => this.#checkDeadlines(true))
      return
    }
    if (late !== undefined) {
      const problem = `did not answer ${late.request.apiName} within ${late.timeoutMs} ms; the connection was destroyed`
      this.destroy(this.#failure('TWINLOG_TIMEOUT', problem))
      return
    }
    for (const entry of this.#inFlight) this.#deadlines.watch(entry.deadline)
  }

  #negotiatedVersion(request: ApiRequest<unknown>): number {
    if (request.apiKey === API_VERSIONS_KEY) return request.maxVersion
    const range = this.#versions.get(request.apiKey)
    const version = Math.min(request.maxVersion, range?.max ?? -1)
    if (range !== undefined && version >= Math.max(request.minVersion, range.min)) return version
    const offered = range === undefined ? 'does not offer it at all' : `offers versions ${range.min}–${range.max}`
    throw this.#failure(
      'TWINLOG_UNSUPPORTED_BROKER',
      `${request.apiName} is needed in version ${request.minVersion}–${request.maxVersion}, but the broker ${offered}`,
      false
    )
  }

  async #negotiate(): Promise<void> {
    const request = apiVersionsRequest()
    const answer = await this.#enqueue(request, this.#settings.handshakeTimeoutMs, entry => this.#write(entry))
    if (answer.errorCode !== 0) {
      const problem = `refused ApiVersions v3 (error ${answer.errorCode}); Kafka 3.1 or later is needed`
      throw this.#failure('TWINLOG_UNSUPPORTED_BROKER', problem, false)
    }
    this.#versions = answer.versions
  }

  async #authenticate(): Promise<void> {
    const timeoutMs = this.#settings.authenticationTimeoutMs
    const sendNow = <T>(request: ApiRequest<T>) => {
      if (this.#error !== undefined) return Promise.reject<T>(this.#error)
      return this.#enqueue(request, timeoutMs, entry => this.#write(entry))
    }
    const startedAt = performance.now()
    const timer = setTimeout(() => {
      this.destroy(this.#failure('TWINLOG_TIMEOUT', `authentication took longer than ${timeoutMs} ms`))
    }, timeoutMs)
    try {
      const session = await authenticate(this, this.#settings, this.#versions, sendNow, this.#logger, this.#identity)
      if (this.#error !== undefined) throw this.#error
      this.#identity = session.identity
      if (session.lifetimeMs !== undefined) this.#scheduleReauthentication(session.lifetimeMs, startedAt)
    } finally {
      clearTimeout(timer)
    }
  }

  #scheduleReauthentication(lifetimeMs: number, startedAt: number): void {
    // A session shorter than the threshold would otherwise be renewed without pause, and brokers refuse
    // re-authentication within a second of the last one (ILLEGAL_SASL_STATE).
    const afterMs = Math.max(lifetimeMs - this.#settings.reauthenticationThresholdMs, lifetimeMs * 0.8)
    this.#sessionTimer = unrefTimer(
      () => {
        this.#authenticationDue = true
        this.#settled()
      },
      afterMs - (performance.now() - startedAt)
    )
  }

  /** Runs on an idle wire only: the broker takes nothing but SASL requests until it is done. */
  async #reauthenticate(): Promise<void> {
    this.#authenticating = true
    this.#authenticationDue = false
    try {
      await this.#authenticate()
    } catch (error) {
      const problem = `re-authentication failed: ${error instanceof Error ? error.message : String(error)}`
      this.destroy(error instanceof TwinlogError ? error : this.#failure('TWINLOG_UNAUTHORIZED', problem, false, error))
    }
    this.#authenticating = false
    this.#settled()
  }

  #failure(code: TwinlogError['code'], problem: string, retriable = true, cause?: unknown): TwinlogError {
    const node = this.#nodeId >= 0 ? `broker ${this.#nodeId} (${formatAddress(this)})` : `broker ${formatAddress(this)}`
    const { alias } = this.#settings
    return new TwinlogError(code, `${alias}: ${node}: ${problem}`, { cluster: alias, retriable, cause })
  }
}
