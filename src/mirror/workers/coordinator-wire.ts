import { TwinlogError } from '../../errors.js'
import type { SendOptions } from '../../kafka/cluster.js'
import { kafkaError } from '../../kafka/protocol-errors.js'
import { findCoordinatorRequest } from '../../kafka/requests/find-coordinator.js'
import type { ApiRequest, Route } from '../../kafka/types.js'
import { abortable } from '../../util/abortable.js'

/** What membership needs of a connection; `BrokerConnection` is one. */
export interface CoordinatorConnection {
  readonly closed: boolean
  send<T>(request: ApiRequest<T>, o: { timeoutMs: number }): Promise<T>
  destroy(): void
}

/** What membership needs of a cluster; `ClusterClient` is one. */
export interface CoordinatorCluster {
  readonly alias: string
  send<T>(to: Route, request: ApiRequest<T>, o?: SendOptions): Promise<T>
  openConnection(nodeId: number): Promise<CoordinatorConnection>
  forgetCoordinator(route: Route): void
}

/**
 * The way to the coordinator of one group. Membership has a connection of its own: a JoinGroup is answered when the last
 * member has joined, and everything behind it on the same connection waits as long.
 */
export class CoordinatorWire {
  readonly #cluster: CoordinatorCluster
  readonly #group: string
  readonly #closing = new AbortController()
  #connection: Promise<CoordinatorConnection> | undefined

  constructor(cluster: CoordinatorCluster, group: string) {
    this.#cluster = cluster
    this.#group = group
  }

  get alias(): string {
    return this.#cluster.alias
  }

  /** Over membership's own connection. */
  async send<T>(request: ApiRequest<T>, timeoutMs: number): Promise<T> {
    const connection = await abortable(this.#open(), this.#closing.signal)
    return connection.send(request, { timeoutMs })
  }

  /** Over the connection that everybody shares: for what must not wait behind a JoinGroup. */
  ask<T>(request: ApiRequest<T>, timeoutMs: number): Promise<T> {
    // The time-out of a request begins on its connection; looking for the coordinator takes time before.
    const signal = AbortSignal.timeout(timeoutMs)
    return this.#cluster.send({ group: this.#group }, request, { timeoutMs, signal })
  }

  /** Ends the connection; the next request looks for the coordinator anew. */
  reset(): void {
    this.#cluster.forgetCoordinator({ group: this.#group })
    const connection = this.#connection
    this.#connection = undefined
    connection?.then(open => open.destroy()).catch(() => undefined)
  }

  /** What is pending rejects; `ask` still works. */
  close(): void {
    this.#closing.abort()
    this.reset()
  }

  async #open(): Promise<CoordinatorConnection> {
    const known = this.#connection
    if (known !== undefined && !(await known).closed) return known
    if (this.#closing.signal.aborted) {
      throw new TwinlogError('TWINLOG_ABORTED', `${this.alias}: membership of group "${this.#group}" has ended`)
    }
    // Somebody else who waited for the same connection may have replaced it already.
    if (this.#connection !== known && this.#connection !== undefined) return this.#connection
    const opening = this.#connect()
    this.#connection = opening
    opening.catch(() => {
      if (this.#connection === opening) this.#connection = undefined
    })
    return opening
  }

  async #connect(): Promise<CoordinatorConnection> {
    // Asked anew each time: what the cluster client remembers may be the broker that was just lost.
    const found = await this.#cluster.send('any', findCoordinatorRequest({ type: 'group', key: this.#group }))
    if (found.errorCode !== 0) {
      const message = `${this.alias}: no coordinator for group "${this.#group}"`
      throw kafkaError(found.errorCode, message, { cluster: this.alias })
    }
    return this.#cluster.openConnection(found.nodeId)
  }
}
