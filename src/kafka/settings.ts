import type { ConnectionOptions } from 'node:tls'
import type { ISocketFactory } from 'kafkajs'
import type { ClusterConfig } from './types.js'

/** What one connection needs of the user's kafkajs config, with kafkajs's defaults filled in. */
export interface ConnectionSettings {
  alias: string
  clientId: string
  /** Read from the config each time, as `sasl` is: certificates and passwords are replaced while we run. @throws what a getter of the user throws */
  readonly ssl: ConnectionOptions | undefined
  readonly sasl: NonNullable<ClusterConfig['sasl']> | undefined
  /** Undefined: kafkajs's own way to connect. */
  socketFactory: ISocketFactory | undefined
  connectionTimeoutMs: number
  /** For the first answer on a new socket. A frozen broker still accepts connections, so this must be short. */
  handshakeTimeoutMs: number
  authenticationTimeoutMs: number
  reauthenticationThresholdMs: number
  requestTimeoutMs: number
  /** For control-plane requests whose caller names no time-out. */
  controlTimeoutMs: number
}

const SHORTEST_HANDSHAKE_TIMEOUT_MS = 3_000
const LONGEST_CONTROL_TIMEOUT_MS = 10_000

export function connectionSettings(config: ClusterConfig): ConnectionSettings {
  const connectionTimeoutMs = config.connectionTimeout ?? 1_000
  const requestTimeoutMs = config.requestTimeout ?? 30_000
  return {
    alias: config.alias,
    clientId: config.clientId ?? 'twinlog',
    get ssl() {
      return tlsOptions(config)
    },
    get sasl() {
      return config.sasl ?? undefined
    },
    socketFactory: config.socketFactory,
    connectionTimeoutMs,
    handshakeTimeoutMs: Math.max(2 * connectionTimeoutMs, SHORTEST_HANDSHAKE_TIMEOUT_MS),
    authenticationTimeoutMs: config.authenticationTimeout ?? 10_000,
    reauthenticationThresholdMs: config.reauthenticationThreshold ?? 10_000,
    requestTimeoutMs,
    controlTimeoutMs: Math.min(requestTimeoutMs, LONGEST_CONTROL_TIMEOUT_MS)
  }
}

/** The config's `ssl` of this moment. */
export function tlsOptions({ ssl }: Pick<ClusterConfig, 'ssl'>): ConnectionOptions | undefined {
  if (typeof ssl === 'object') return ssl ?? undefined
  return ssl === true ? {} : undefined
}
