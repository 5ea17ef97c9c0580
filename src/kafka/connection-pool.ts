import { setMaxListeners } from 'node:events'
import type { TwinlogError } from '../errors.js'
import type { Logger } from '../logger.js'
import { type Address, formatAddress } from './addresses.js'
import { BrokerConnection } from './connection.js'
import type { FramePool } from './frame-pool.js'
import type { ConnectionSettings } from './settings.js'

const FAILURE_MEMORY_MS = 10_000

/** All connections of one cluster client: one shared (control) connection an address, and any number of dedicated ones. */
export class ConnectionPool {
  readonly #settings: ConnectionSettings
  readonly #logger: Logger
  readonly #shared = new Map<string, Promise<BrokerConnection>>()
  readonly #open = new Set<BrokerConnection>()
  readonly #failedAt = new Map<string, number>()
  readonly #abort = new AbortController()

  constructor(settings: ConnectionSettings, logger: Logger) {
    this.#settings = settings
    this.#logger = logger
    // One listener for each connection that is being set up, however many there are.
    setMaxListeners(0, this.#abort.signal)
  }

  /** The control connection to this address; connects when there is none or when it has died. */
  async shared(address: Address, nodeId: number): Promise<BrokerConnection> {
    const key = formatAddress(address)
    const connecting = this.#shared.get(key) ?? this.#connectShared(key, address, nodeId)
    const connection = await connecting
    if (!connection.closed) {
      if (nodeId >= 0) connection.identify(nodeId)
      return connection
    }
    const successor = this.#shared.get(key)
    if (successor !== undefined && successor !== connecting) return successor
    return this.#connectShared(key, address, nodeId)
  }

  async dedicated(address: Address, nodeId: number, frames?: FramePool): Promise<BrokerConnection> {
    try {
      const connection = await BrokerConnection.connect({
        ...address,
        nodeId,
        settings: this.#settings,
        logger: this.#logger,
        signal: this.#abort.signal,
        frames
      })
      this.#open.add(connection)
      this.trust(address)
      connection.onClose(error => {
        this.#open.delete(connection)
        if (error.code === 'TWINLOG_TIMEOUT') this.suspect(address)
      })
      return connection
    } catch (error) {
      this.suspect(address)
      throw error
    }
  }

  hasOpen(address: Address): boolean {
    for (const connection of this.#open) {
      if (connection.host === address.host && connection.port === address.port && !connection.closed) return true
    }
    return false
  }

  /** Somebody waits for this address longer than it should take. */
  suspect(address: Address): void {
    this.#failedAt.set(formatAddress(address), performance.now())
  }

  trust(address: Address): void {
    this.#failedAt.delete(formatAddress(address))
  }

  /** Addresses that failed a moment ago are tried last. */
  failedRecently(address: Address): boolean {
    const failedAt = this.#failedAt.get(formatAddress(address))
    return failedAt !== undefined && performance.now() - failedAt < FAILURE_MEMORY_MS
  }

  async close(): Promise<void> {
    this.#abort.abort()
    await Promise.all([...this.#open].map(connection => connection.close()))
  }

  destroy(error?: TwinlogError): void {
    this.#abort.abort()
    for (const connection of [...this.#open]) connection.destroy(error)
  }

  #connectShared(key: string, address: Address, nodeId: number): Promise<BrokerConnection> {
    const connecting = this.dedicated(address, nodeId)
    this.#shared.set(key, connecting)
    const forget = () => {
      if (this.#shared.get(key) === connecting) this.#shared.delete(key)
    }
    connecting.then(connection => connection.onClose(forget), forget)
    return connecting
  }
}
