import type { Socket } from 'node:net'
import kafkajs, { type ISocketFactory, type Kafka, type KafkaConfig, type logCreator } from 'kafkajs'
import createDefaultSocketFactory from 'kafkajs/src/network/socketFactory.js'
import { TwinlogError } from '../errors.js'
import type { Logger } from '../logger.js'
import { bootstrapAddresses } from './addresses.js'
import {
  cureIdleTimers,
  interceptClusters,
  interceptPools,
  type KafkajsCluster,
  type KafkajsConnectionPool,
  renewCredentials
} from './internals.js'
import { tlsOptions } from './settings.js'
import type { ClusterConfig } from './types.js'

export interface CreateKafkaOptions {
  /** Takes kafkajs's warnings and errors, unless the config brings a `logCreator` or a `logLevel`. */
  logger?: Logger | undefined
  /** Sees each Cluster (one a producer, consumer or admin) as it is created. */
  onCluster?: ((cluster: KafkajsCluster) => void) | undefined
}

export interface KafkaHandle {
  kafka: Kafka
  /** Destroys every socket of this instance at once; with `refuseNew` it can never connect again. */
  destroySockets: (o?: { refuseNew?: boolean | undefined }) => void
}

/**
 * A kafkajs client of the user's config whose connections do not burn CPU while idle, can be cut all at once, and read `ssl` and `sasl` anew:
 * kafkajs itself keeps what it was made with.
 */
export function createKafka(config: ClusterConfig, o: CreateKafkaOptions = {}): KafkaHandle {
  const { alias, schemaRegistry: _schemaRegistry, ...kafkaConfig } = config
  const create = config.socketFactory ?? createDefaultSocketFactory()
  const sockets = new TrackedSockets(alias, args => {
    // kafkajs types it as always there; undefined is plaintext.
    const ssl = tlsOptions(config) as typeof args.ssl
    return create({ ...args, ssl })
  })
  const credentials = () => config.sasl && { ...config.sasl }
  const everGood = { good: false }
  const prepare = (pool: KafkajsConnectionPool) => {
    cureIdleTimers(pool)
    renewCredentials(pool, credentials, everGood)
  }
  const kafka = new kafkajs.Kafka({
    ...loggingOf(kafkaConfig, o.logger),
    ...kafkaConfig,
    // kafkajs keeps its authentication provider in the object that it is given.
    ...(kafkaConfig.sasl && { sasl: { ...kafkaConfig.sasl } }),
    socketFactory: sockets.factory
  })
  interceptClusters(kafka, cluster => {
    let turn = 0
    const chooseSeed = async () => {
      const addresses = await bootstrapAddresses(config)
      return addresses[turn++ % addresses.length] as { host: string; port: number }
    }
    interceptPools(cluster, chooseSeed, prepare)
    o.onCluster?.(cluster)
  })
  return { kafka, destroySockets: options => sockets.destroy(options?.refuseNew ?? false) }
}

class TrackedSockets {
  readonly factory: ISocketFactory
  readonly #alias: string
  readonly #sockets = new Set<Socket>()
  #refusing = false

  constructor(alias: string, create: ISocketFactory) {
    this.#alias = alias
    this.factory = args => {
      if (this.#refusing) throw this.#cut()
      const socket = create(args)
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
      return socket
    }
  }

  destroy(refuseNew: boolean): void {
    this.#refusing ||= refuseNew
    // With an error, because kafkajs does not listen to 'close': its requests would otherwise wait for their time-outs.
    for (const socket of [...this.#sockets]) socket.destroy(this.#cut())
  }

  #cut(): TwinlogError {
    const message = `${this.#alias}: twinlog has cut this client off from the cluster`
    return new TwinlogError('TWINLOG_UNREACHABLE', message, { cluster: this.#alias })
  }
}

function loggingOf(config: KafkaConfig, logger: Logger | undefined): Partial<KafkaConfig> {
  if (logger === undefined || config.logCreator !== undefined || config.logLevel !== undefined) return {}
  const { ERROR, WARN, INFO } = kafkajs.logLevel
  const create: logCreator = () => entry => {
    const { message, timestamp: _timestamp, logger: _logger, ...fields } = entry.log
    const method =
      entry.level <= ERROR ? 'error' : entry.level <= WARN ? 'warn' : entry.level <= INFO ? 'info' : 'debug'
    logger[method]({ ...fields, component: entry.namespace }, `kafkajs: ${message}`)
  }
  return { logLevel: WARN, logCreator: create }
}
