import type { Kafka } from 'kafkajs'
import { TwinlogError } from '../errors.js'

/*
Everything of kafkajs 2.2.4 that is not public and that we touch. kafkajs is pinned; a test asserts each shape below, and
what is missing at run time fails loudly instead of being worked around.
*/

/** network/requestQueue/index.js */
export interface KafkajsRequestQueue {
  pending: unknown[]
  /** Epoch milliseconds, −1 while there has been no throttle. */
  throttledUntil: number
  scheduleCheckPendingRequests: () => void
  checkPendingRequests: () => void
  destroy(): void
}

/** network/connection.js */
interface KafkajsConnection {
  requestQueue: KafkajsRequestQueue
  /** kafkajs keeps its authentication provider in it. */
  sasl: object | null
  /** How long before its end a session is renewed. */
  reauthenticationThreshold: number
  /** A Long of milliseconds; 0: for ever. */
  sessionLifetime: { toString(): string }
}

/** network/connectionPool.js: two connections a broker. */
export interface KafkajsConnectionPool {
  pool: KafkajsConnection[]
  /** Only looked at for whether there is any. */
  sasl?: object | null
}

/** cluster/index.js */
export interface KafkajsCluster {
  connectionPoolBuilder: {
    build(destination?: { host?: string; port?: number; rack?: string }): Promise<KafkajsConnectionPool>
  }
  brokerPool: { connectionPoolBuilder: unknown }
}

export type CreateCluster = (options: Record<string, unknown>) => KafkajsCluster

const CREATE_CLUSTER = 'private:Kafka:createCluster'

/** Runs `onCluster` with each Cluster that this Kafka instance creates from now on: one a producer, consumer or admin. */
export function interceptClusters(kafka: Kafka, onCluster: (cluster: KafkajsCluster) => void): void {
  const symbol = Object.getOwnPropertySymbols(kafka).find(candidate => candidate.description === CREATE_CLUSTER)
  const holder = kafka as unknown as Record<symbol, unknown>
  const create = symbol === undefined ? undefined : holder[symbol]
  if (symbol === undefined || typeof create !== 'function') throw changed(`Kafka[${CREATE_CLUSTER}]`)
  holder[symbol] = (options: Record<string, unknown>) => {
    const cluster = (create as CreateCluster)(options)
    onCluster(cluster)
    return cluster
  }
}

/** Runs `onPool` with each pair of sockets that this cluster creates, before it is used. */
export function interceptPools(
  cluster: KafkajsCluster,
  chooseSeed: () => Promise<{ host: string; port: number }>,
  onPool: (pool: KafkajsConnectionPool) => void
): void {
  const builder: KafkajsCluster['connectionPoolBuilder'] | undefined = cluster.connectionPoolBuilder
  if (typeof builder?.build !== 'function' || cluster.brokerPool?.connectionPoolBuilder !== builder) {
    throw changed('Cluster.connectionPoolBuilder.build')
  }
  const build = builder.build.bind(builder)
  builder.build = async destination => {
    // kafkajs splits bootstrap addresses at the first colon, which breaks IPv6 literals; so we choose the seed ourselves.
    const pool = await build(destination?.host === undefined ? await chooseSeed() : destination)
    onPool(pool)
    return pool
  }
}

/**
 * kafkajs re-arms a timer of 1 ms on every connection for ever (scheduleCheckPendingRequests with a throttle in the past),
 * which costs some 7 % of a core per idle connection. This instance only looks when there is something to look for.
 */
export function cureIdleTimer(queue: KafkajsRequestQueue): void {
  const original: unknown = queue.scheduleCheckPendingRequests
  if (typeof original !== 'function' || !Array.isArray(queue.pending) || typeof queue.throttledUntil !== 'number') {
    throw changed('RequestQueue.scheduleCheckPendingRequests')
  }
  queue.scheduleCheckPendingRequests = () => {
    if (queue.pending.length === 0 && queue.throttledUntil <= Date.now()) return
    original.call(queue)
  }
}

export function cureIdleTimers(pool: KafkajsConnectionPool): void {
  if (!Array.isArray(pool.pool)) throw changed('ConnectionPool.pool')
  for (const connection of pool.pool) cureIdleTimer(connection.requestQueue)
}

const AUTHENTICATE = 'private:Connection:authenticate'

/**
 * kafkajs uses the credentials that it was made with for ever; these connections take those of the moment, each time they authenticate.
 * `sasl` answers a new object each time.
 */
export function renewCredentials(pool: KafkajsConnectionPool, sasl: () => object | undefined, ever: GoodOnce): void {
  if (!Array.isArray(pool.pool)) throw changed('ConnectionPool.pool')
  for (const connection of pool.pool) {
    const symbol = Object.getOwnPropertySymbols(connection).find(({ description }) => description === AUTHENTICATE)
    const holder = connection as unknown as Record<symbol, unknown>
    const authenticate = symbol === undefined ? undefined : holder[symbol]
    const { reauthenticationThreshold } = connection
    if (symbol === undefined || typeof authenticate !== 'function') throw changed(`Connection[${AUTHENTICATE}]`)
    if (typeof reauthenticationThreshold !== 'number') throw changed('Connection.reauthenticationThreshold')
    holder[symbol] = async () => {
      try {
        connection.sasl = pool.sasl = sasl() ?? null
        await (authenticate as () => Promise<void>)()
        ever.good = true
        // A session shorter than the threshold would be renewed with every request, and brokers refuse that within a second.
        const lifetimeMs = Number(connection.sessionLifetime)
        if (lifetimeMs > 0) connection.reauthenticationThreshold = Math.min(reauthenticationThreshold, lifetimeMs * 0.2)
      } catch (error) {
        // A consumer of kafkajs ends for good when it is refused. Credentials that were good before are being replaced: it tries again.
        if (ever.good && error instanceof Error && error.name === 'KafkaJSSASLAuthenticationError')
          (error as { retriable?: boolean }).retriable = true
        throw error
      }
    }
  }
}

/** Whether the cluster has let us in before. */
interface GoodOnce {
  good: boolean
}

function changed(what: string): TwinlogError {
  return new TwinlogError('TWINLOG_INTERNAL', `kafkajs has no ${what}; twinlog needs kafkajs 2.2.4 exactly`)
}
