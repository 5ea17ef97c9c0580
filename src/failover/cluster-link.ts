import { setTimeout as sleep } from 'node:timers/promises'
import { TwinlogError, toTwinlogError } from '../errors.js'
import { ClusterClient } from '../kafka/cluster.js'
import type { ClusterConfig } from '../kafka/types.js'
import { LinkRegistry } from '../lineage/link-registry.js'
import type { Logger } from '../logger.js'
import type { ControlRecord } from '../control/control-records.js'
import { ControlTopic } from '../control/control-topic.js'
import { type Heartbeat, PresenceTopic, type TimedHeartbeat } from './presence.js'

const POLL_MS = 150
const BEAT_MS = 1_000
/** A frozen broker accepts connections and says nothing: give up on it in time, it must not hold up anything else. */
const ANSWER_MS = 4_000
/** The first connection to a cluster creates topics there. */
const PREPARE_MS = 20_000
const RECONNECT_MS = 1_000

export interface ClusterLinkEvents {
  /** Something new of this service stands in the control topic. */
  changed(): void
  healthy(): void
  unhealthy(error: TwinlogError): void
  heartbeat(): Heartbeat | undefined
  /** Throws when the cluster may not be used, before anything is written to it. */
  admit(clusterId: string): void
}

interface Connection {
  client: ClusterClient
  control: ControlTopic
  presence: PresenceTopic
  registry: LinkRegistry
}

/** One of the service's clusters as the failover client sees it: connected again and again, watched, told that we live. */
export class ClusterLink {
  readonly alias: string
  readonly config: ClusterConfig
  readonly #service: string
  readonly #logger: Logger
  readonly #events: ClusterLinkEvents
  readonly #stop = new AbortController()
  #connection: Connection | undefined
  #control: ControlTopic | undefined
  #registry: LinkRegistry | undefined
  #healthy: boolean | undefined
  #lastError: TwinlogError | undefined
  #loop: Promise<void> | undefined
  #lastBeat = Number.NEGATIVE_INFINITY

  constructor(config: ClusterConfig, o: { service: string; logger: Logger; events: ClusterLinkEvents }) {
    this.alias = config.alias
    this.config = config
    this.#service = o.service
    this.#logger = o.logger
    this.#events = o.events
  }

  get healthy(): boolean {
    return this.#healthy === true
  }

  get lastError(): TwinlogError | undefined {
    return this.#lastError
  }

  /** What was read last; stays when the cluster dies. */
  get view(): ControlTopic['view'] | undefined {
    return this.#control?.view
  }

  /** Throws TWINLOG_UNREACHABLE when there is no connection. */
  get client(): ClusterClient {
    return this.#connected().client
  }

  originOf(producerId: string): string | undefined {
    return this.#registry?.origin(producerId)?.sourceAlias
  }

  /** First connection and first reading. Rejects when the cluster does not answer in time. */
  async open(): Promise<void> {
    try {
      await this.#connect()
      this.#report(undefined)
    } catch (error) {
      this.#drop()
      const failure = this.#named(error)
      this.#report(failure)
      throw failure
    }
  }

  /** Watches until `close()`. */
  watch(): void {
    this.#loop ??= this.#run()
  }

  async append(...records: ControlRecord[]): Promise<void> {
    await this.#within(this.#connected().control.append(records))
  }

  async refresh(): Promise<void> {
    const changed = await this.#within(this.#connected().control.refresh())
    if (changed) this.#events.changed()
  }

  async present(own: Heartbeat): Promise<Map<string, TimedHeartbeat>> {
    return this.#within(this.#connected().presence.present(own))
  }

  /** Back to before `open()`, which can be called again. */
  release(): void {
    this.#drop()
    this.#healthy = undefined
  }

  async close(farewell?: Heartbeat): Promise<void> {
    this.#stop.abort()
    const connection = this.#connection
    if (connection && farewell && this.healthy) {
      await this.#within(connection.presence.beat(farewell)).catch((error: unknown) =>
        this.#logger.debug({ cluster: this.alias, error: String(error) }, 'could not say goodbye')
      )
    }
    this.#drop()
    await this.#loop
    this.#healthy = undefined
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      let pauseMs = POLL_MS
      try {
        if (!this.#connection) await this.#connect()
        await this.refresh()
        await this.#beat()
        this.#report(undefined)
      } catch (error) {
        if (signal.aborted) return
        this.#drop()
        this.#report(this.#named(error))
        pauseMs = RECONNECT_MS
      }
      await sleep(pauseMs, undefined, { signal, ref: false }).catch(() => undefined)
    }
  }

  async #connect(): Promise<void> {
    const client = new ClusterClient(this.config, { logger: this.#logger })
    const connection: Connection = {
      client,
      // The view outlives the connection; its log does not.
      control: new ControlTopic(client, this.#service),
      presence: new PresenceTopic(client),
      registry: new LinkRegistry(client)
    }
    try {
      await this.#within(client.connect({ signal: this.#stop.signal }))
      this.#events.admit(client.clusterId)
      await this.#within(this.#prepare(connection), PREPARE_MS)
    } catch (error) {
      client.destroy()
      throw error
    }
    if (this.#stop.signal.aborted) return client.destroy()
    this.#connection = connection
    this.#control = connection.control
    this.#registry = connection.registry
    this.#events.changed()
  }

  async #prepare({ control, presence, registry }: Connection): Promise<void> {
    await control.ensure()
    await presence.ensure()
    await registry.refresh()
    await control.refresh()
  }

  async #beat(): Promise<void> {
    const now = performance.now()
    const heartbeat = this.#events.heartbeat()
    if (!heartbeat || now - this.#lastBeat < BEAT_MS) return
    this.#lastBeat = now
    const { presence, registry } = this.#connected()
    await this.#within(presence.beat(heartbeat))
    await this.#within(registry.refresh())
  }

  #report(error: TwinlogError | undefined): void {
    const healthy = error === undefined
    this.#lastError = error
    if (healthy === this.#healthy) return
    this.#healthy = healthy
    if (error) this.#events.unhealthy(error)
    else this.#events.healthy()
  }

  #drop(): void {
    this.#connection?.client.destroy()
    this.#connection = undefined
  }

  #connected(): Connection {
    if (this.#connection) return this.#connection
    throw (
      this.#lastError ??
      new TwinlogError('TWINLOG_UNREACHABLE', `cluster ${this.alias} is not connected`, {
        cluster: this.alias,
        retriable: true
      })
    )
  }

  #named(error: unknown): TwinlogError {
    return toTwinlogError(error, 'TWINLOG_UNREACHABLE', `cluster ${this.alias} failed`, {
      cluster: this.alias,
      retriable: true
    })
  }

  async #within<T>(work: Promise<T>, limitMs = ANSWER_MS): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        const message = `cluster ${this.alias} did not answer within ${limitMs} ms; check that its brokers run and can be reached`
        reject(new TwinlogError('TWINLOG_UNREACHABLE', message, { cluster: this.alias, retriable: true }))
      }, limitMs)
    })
    try {
      return await Promise.race([work, late])
    } finally {
      clearTimeout(timer)
    }
  }
}
