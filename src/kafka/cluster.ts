import { TwinlogError } from '../errors.js'
import { childLogger, type Logger } from '../logger.js'
import { abortable } from '../util/abortable.js'
import { retry } from '../util/retry.js'
import { type Address, bootstrapAddresses, formatAddress } from './addresses.js'
import type { BrokerConnection } from './connection.js'
import { ConnectionPool } from './connection-pool.js'
import { Coordinators } from './coordinators.js'
import type { FramePool } from './frame-pool.js'
import { HedgeError, hedge } from './hedge.js'
import { findCoordinatorRequest } from './requests/find-coordinator.js'
import { metadataRequest } from './requests/metadata.js'
import { type ConnectionSettings, connectionSettings } from './settings.js'
import { type Leader, Topology } from './topology.js'
import type { ApiRequest, ClusterConfig, ClusterMetadata, Route } from './types.js'
import { unreachable } from './unreachable.js'

export interface SendOptions {
  timeoutMs?: number | undefined
  signal?: AbortSignal | undefined
}

/** A broker that could answer a question which any broker can answer. */
interface Candidate extends Address {
  nodeId: number
}

// Longer than a healthy answer over an ocean takes, short against any time-out.
const HEDGE_DELAY_MS = 400
const DEFAULT_CONNECT_RETRIES = 2

/** The door to one Kafka cluster: finds brokers, leaders and coordinators and sends requests to them. */
export class ClusterClient {
  readonly alias: string
  readonly #config: ClusterConfig
  readonly #settings: ConnectionSettings
  readonly #logger: Logger
  readonly #pool: ConnectionPool
  readonly #topology = new Topology()
  readonly #coordinators: Coordinators
  #bootstrap: Address[] = []
  #clusterId: string | undefined
  #closed = false

  constructor(config: ClusterConfig, o: { logger: Logger }) {
    this.alias = config.alias
    this.#config = config
    this.#settings = connectionSettings(config)
    this.#logger = childLogger(o.logger, { cluster: config.alias })
    this.#pool = new ConnectionPool(this.#settings, this.#logger)
    this.#coordinators = new Coordinators(this.alias, this.#settings.controlTimeoutMs, (type, key) =>
      this.#ask(findCoordinatorRequest({ type, key }))
    )
  }

  /** Known after `connect()`. */
  get clusterId(): string {
    if (this.#clusterId === undefined) throw this.#invalidState('connect() has not succeeded yet')
    return this.#clusterId
  }

  /** Finds a living broker among the bootstrap addresses and learns the cluster from it. */
  async connect(o: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    if (this.#clusterId !== undefined && !this.#closed) return
    const { retries = DEFAULT_CONNECT_RETRIES, initialRetryTime = 300, maxRetryTime = 5_000 } = this.#config.retry ?? {}
    const attempt = async () => {
      this.#bootstrap = await bootstrapAddresses(this.#config)
      await this.metadata({ topics: [] })
    }
    const retryOptions = { retries, minTimeoutMs: initialRetryTime, maxTimeoutMs: maxRetryTime, signal: o.signal }
    await abortable(retry(attempt, retryOptions), o.signal)
    this.#logger.debug({ clusterId: this.#clusterId, brokers: this.#topology.brokers.size }, 'connected')
  }

  /** Lets pending requests finish and closes every connection, dedicated ones included. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#pool.close()
  }

  /** Destroys every connection now, dedicated ones included; what is pending rejects. */
  destroy(): void {
    this.#closed = true
    this.#pool.destroy(
      new TwinlogError('TWINLOG_UNREACHABLE', `${this.alias}: the client was destroyed`, { cluster: this.alias })
    )
  }

  /**
   * Sends over the node's control connection. There are no retries; but a connection that is found dead before anything
   * was sent is replaced, and a stale coordinator or controller is looked up once more if it cannot be reached.
   */
  send<T>(to: Route, request: ApiRequest<T>, o: SendOptions = {}): Promise<T> {
    return abortable(this.#send(to, request, o.timeoutMs ?? this.#settings.controlTimeoutMs), o.signal)
  }

  /** Drops a cached coordinator, after NOT_COORDINATOR or COORDINATOR_NOT_AVAILABLE in an answer. */
  forgetCoordinator(route: Route): void {
    this.#coordinators.forget(route)
  }

  /** A connection of its own; the caller closes it. With `frames` the caller says when the memory of a large answer is free again. */
  async openConnection(nodeId: number, o: { frames?: FramePool | undefined } = {}): Promise<BrokerConnection> {
    const address = await this.#addressOf(nodeId)
    this.#assertOpen()
    return this.#pool.dedicated(address, nodeId, o.frames)
  }

  /** Asks the cluster anew each time; remembers brokers and leaders. No topics given: all of them. Never creates a topic. */
  async metadata(o: { topics?: readonly string[] | undefined } = {}): Promise<ClusterMetadata> {
    const metadata = await this.#ask(metadataRequest({ topics: o.topics }))
    if (this.#clusterId !== undefined && metadata.clusterId !== this.#clusterId) {
      throw this.#invalidState(`the broker addresses now lead to cluster ${metadata.clusterId}, not ${this.#clusterId}`)
    }
    this.#clusterId = metadata.clusterId
    this.#topology.update(metadata, o.topics === undefined)
    return metadata
  }

  /** From the metadata seen so far. */
  leaderOf(topic: string, partition: number): Leader | undefined {
    return this.#topology.leaderOf(topic, partition)
  }

  /** Whether the broker at hand speaks this version of an API; in a rolling upgrade another one may not. */
  async supports(apiKey: number, version: number): Promise<boolean> {
    const range = (await this.#anyConnection()).versions.get(apiKey)
    return range !== undefined && version >= range.min && version <= range.max
  }

  async #send<T>(to: Route, request: ApiRequest<T>, timeoutMs: number): Promise<T> {
    const connection = await this.#connectionFor(to)
    try {
      return await connection.send(request, { timeoutMs })
    } catch (error) {
      if (connection.closed) this.#coordinators.forget(to)
      throw error
    }
  }

  async #connectionFor(to: Route): Promise<BrokerConnection> {
    this.#assertOpen()
    if (to === 'any') return this.#anyConnection()
    if (to === 'controller') return this.#controllerConnection()
    if ('node' in to) return this.#nodeConnection(to.node)
    const nodeId = await this.#coordinators.find(to)
    try {
      return await this.#nodeConnection(nodeId)
    } catch (error) {
      this.#coordinators.forget(to)
      const now = await this.#coordinators.find(to)
      if (now === nodeId) throw error
      return this.#nodeConnection(now)
    }
  }

  async #controllerConnection(): Promise<BrokerConnection> {
    const address = this.#topology.brokers.get(this.#topology.controllerId)
    if (address !== undefined && !this.#pool.failedRecently(address)) {
      const connection = await this.#pool.shared(address, address.nodeId).catch(() => undefined)
      if (connection !== undefined) return connection
    }
    // With KRaft the "controller" of the metadata is any living broker, and every broker forwards to the real one.
    return this.#anyConnection()
  }

  async #nodeConnection(nodeId: number): Promise<BrokerConnection> {
    return this.#pool.shared(await this.#addressOf(nodeId), nodeId)
  }

  async #addressOf(nodeId: number): Promise<Address> {
    this.#assertOpen()
    if (!this.#topology.brokers.has(nodeId)) await this.metadata({ topics: [] })
    const address = this.#topology.brokers.get(nodeId)
    if (address === undefined) {
      const known = [...this.#topology.brokers.keys()].join(', ')
      const message = `${this.alias}: broker ${nodeId} is not among the living brokers (${known})`
      throw new TwinlogError('TWINLOG_UNREACHABLE', message, { cluster: this.alias, retriable: true })
    }
    return { host: address.host, port: address.port }
  }

  #anyConnection(): Promise<BrokerConnection> {
    return this.#withAnyBroker(connection => Promise.resolve(connection))
  }

  #ask<T>(request: ApiRequest<T>): Promise<T> {
    return this.#withAnyBroker(connection => connection.send(request, { timeoutMs: this.#settings.controlTimeoutMs }))
  }

  /** Runs something repeatable with whichever broker is the first to do it. */
  async #withAnyBroker<T>(use: (connection: BrokerConnection) => Promise<T>): Promise<T> {
    this.#assertOpen()
    const tried = this.#candidates(this.#bootstrap)
    try {
      return await this.#race(tried, use)
    } catch (error) {
      if (!(error instanceof HedgeError)) throw error
      this.#assertOpen()
      const fresh = await this.#freshBootstrap(tried)
      if (fresh.length === 0) throw unreachable(this.alias, error)
      return this.#race(fresh, use).catch((second: unknown) => {
        throw second instanceof HedgeError ? unreachable(this.alias, error, second) : second
      })
    }
  }

  #race<T>(candidates: readonly Candidate[], use: (connection: BrokerConnection) => Promise<T>): Promise<T> {
    const attempt = async (candidate: Candidate) => {
      const value = await use(await this.#pool.shared(candidate, candidate.nodeId))
      this.#pool.trust(candidate)
      return value
    }
    return hedge(candidates, attempt, {
      delayMs: HEDGE_DELAY_MS,
      isFinal: () => this.#closed,
      onSlow: candidate => this.#pool.suspect(candidate)
    })
  }

  /** Addresses that a `brokers` function names now and did not name before. */
  async #freshBootstrap(tried: readonly Candidate[]): Promise<Candidate[]> {
    if (typeof this.#config.brokers !== 'function') return []
    const addresses = await bootstrapAddresses(this.#config).catch(() => [])
    if (addresses.length > 0) this.#bootstrap = addresses
    const known = new Set(tried.map(formatAddress))
    return this.#candidates(addresses).filter(candidate => !known.has(formatAddress(candidate)))
  }

  /** Known brokers and bootstrap addresses, the promising ones first, otherwise in random order. */
  #candidates(bootstrap: readonly Address[]): Candidate[] {
    const candidates = new Map<string, Candidate>()
    for (const { nodeId, host, port } of this.#topology.brokers.values()) {
      candidates.set(formatAddress({ host, port }), { nodeId, host, port })
    }
    for (const address of bootstrap) {
      const key = formatAddress(address)
      if (!candidates.has(key)) candidates.set(key, { ...address, nodeId: -1 })
    }
    const rank = (candidate: Candidate) =>
      this.#pool.failedRecently(candidate) ? 3 : this.#pool.hasOpen(candidate) ? 0 : candidate.nodeId >= 0 ? 1 : 2
    return [...candidates.values()]
      .map(candidate => ({ candidate, rank: rank(candidate) + Math.random() * 0.5 }))
      .sort((a, b) => a.rank - b.rank)
      .map(({ candidate }) => candidate)
  }

  #assertOpen(): void {
    if (this.#closed) throw this.#invalidState('the client is closed')
  }

  #invalidState(problem: string): TwinlogError {
    return new TwinlogError('TWINLOG_INVALID_STATE', `${this.alias}: ${problem}`, { cluster: this.alias })
  }
}
