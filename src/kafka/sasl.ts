import SASLAuthenticator, { type SaslConnection, type SaslLogger } from 'kafkajs/src/broker/saslAuthenticator/index.js'
import { TwinlogError } from '../errors.js'
import type { Logger } from '../logger.js'
import { type Address, formatAddress } from './addresses.js'
import type { Reader } from './protocol/reader.js'
import type { VersionRange } from './requests/api-versions.js'
import type { ConnectionSettings } from './settings.js'
import type { ApiRequest } from './types.js'

type Sasl = NonNullable<ConnectionSettings['sasl']>

const SASL_HANDSHAKE = 17
const SASL_AUTHENTICATE = 36

/** Sends a request ahead of everything that waits for the authentication. */
export type SendNow = <T>(request: ApiRequest<T>) => Promise<T>

export interface SaslSession {
  /** Mechanism and user. */
  identity: string | undefined
  /** How long the broker keeps this session (KIP-368); undefined: for ever. */
  lifetimeMs: number | undefined
}

/**
 * Authenticates through kafkajs's authenticators, so that every mechanism and custom provider of kafkajs works here too. `before`: whose session it
 * is that is renewed; brokers let nobody else go on with a connection.
 */
export async function authenticate(
  address: Address,
  settings: ConnectionSettings,
  versions: ReadonlyMap<number, VersionRange>,
  sendNow: SendNow,
  logger: Logger,
  before?: string
): Promise<SaslSession> {
  const sasl = credentials(address, settings)
  const identity = sasl && [sasl.mechanism, 'username' in sasl ? sasl.username : ''].join(' ')
  if (before !== undefined && identity !== before) throw replaced(address, settings)
  if (sasl === undefined) return { identity, lifetimeMs: undefined }
  // A provider of kafkajs buries the cause of a failure; a broken connection must not look like a wrong password.
  let transportError: Error | undefined
  let refusal: unknown
  const connection: SaslConnection = {
    ...address,
    sasl,
    async send({ request, response }) {
      const body = (await request.encode()).buffer
      const reply = await sendNow(rawRequest(request, body)).catch((error: unknown) => {
        transportError = error instanceof Error ? error : new Error(String(error))
        throw transportError
      })
      const answer = await response.decode(reply)
      return response.parse(answer).catch((error: unknown) => {
        refusal = error
        throw error
      })
    },
    sendAuthRequest() {
      transportError = unsupported(address, settings)
      return Promise.reject(transportError)
    }
  }
  if (!versions.has(SASL_HANDSHAKE) || !versions.has(SASL_AUTHENTICATE)) throw unsupported(address, settings)
  try {
    const authenticator = new SASLAuthenticator(connection, saslLogger(logger), kafkajsVersions(versions), true)
    await authenticator.authenticate()
    const lifetimeMs = Number(authenticator.sessionLifetime)
    return { identity, lifetimeMs: lifetimeMs > 0 ? lifetimeMs : undefined }
  } catch (error) {
    throw transportError ?? (refusal === undefined ? providerFailed : refused)(address, settings, sasl, error)
  }
}

/**
 * The credentials of this moment, in an object of their own: kafkajs keeps its provider in it, and the user's config must not be
 * written to, nor providers be shared.
 */
function credentials(address: Address, settings: ConnectionSettings): Sasl | undefined {
  try {
    const { sasl } = settings
    return sasl && { ...sasl }
  } catch (error) {
    const message = `${settings.alias}: broker ${formatAddress(address)}: the sasl option cannot be read: ${textOf(error)}`
    throw new TwinlogError('TWINLOG_UNAUTHORIZED', message, { cluster: settings.alias, retriable: true, cause: error })
  }
}

/** Nothing was refused: no token could be had, or there is nothing in the option to authenticate with. */
function providerFailed(address: Address, settings: ConnectionSettings, sasl: Sasl, error: unknown): TwinlogError {
  const own = 'authenticationProvider' in sasl || 'oauthBearerProvider' in sasl
  const what = own ? "the sasl option's provider failed" : 'the sasl option cannot be used'
  const message = `${settings.alias}: broker ${formatAddress(address)}: SASL ${sasl.mechanism.toUpperCase()}: ${what}: ${textOf(error)}`
  return new TwinlogError('TWINLOG_UNAUTHORIZED', message, { cluster: settings.alias, retriable: own, cause: error })
}

function replaced(address: Address, settings: ConnectionSettings): TwinlogError {
  const message = `${settings.alias}: broker ${formatAddress(address)}: the sasl option names another user or mechanism now; the connection is replaced`
  return new TwinlogError('TWINLOG_UNREACHABLE', message, { cluster: settings.alias, retriable: true })
}

// The state of this connection is wrong, not the credentials: another connection will do.
const ILLEGAL_SASL_STATE = 34

function refused(address: Address, settings: ConnectionSettings, sasl: Sasl, error: unknown): TwinlogError {
  if (error instanceof Error && 'code' in error && error.code === ILLEGAL_SASL_STATE) {
    const message = `${settings.alias}: broker ${formatAddress(address)} did not expect SASL now: ${error.message}`
    return new TwinlogError('TWINLOG_UNREACHABLE', message, { cluster: settings.alias, retriable: true, cause: error })
  }
  const user = 'username' in sasl ? ` for user "${String(sasl.username)}"` : ''
  const mechanism = sasl.mechanism.toUpperCase()
  return new TwinlogError(
    'TWINLOG_UNAUTHORIZED',
    `${settings.alias}: broker ${formatAddress(address)} refused SASL ${mechanism}${user}: ${textOf(error)}; check the sasl option of this cluster`,
    { cluster: settings.alias, cause: error }
  )
}

const textOf = (error: unknown) => (error instanceof Error ? error.message : String(error))

function unsupported(address: Address, settings: ConnectionSettings): TwinlogError {
  return new TwinlogError(
    'TWINLOG_UNSUPPORTED_BROKER',
    `${settings.alias}: broker ${formatAddress(address)} offers no SaslAuthenticate; the listener has no SASL, or the broker is older than Kafka 1.0`,
    { cluster: settings.alias }
  )
}

function rawRequest(
  { apiKey, apiName, apiVersion }: { apiKey: number; apiName: string; apiVersion: number },
  body: Buffer
): ApiRequest<Buffer> {
  return {
    apiKey,
    apiName,
    minVersion: apiVersion,
    maxVersion: apiVersion,
    flexibleFrom: Number.POSITIVE_INFINITY,
    encode: writer => writer.reference(body),
    decode: (reader: Reader) => reader.rest()
  }
}

function kafkajsVersions(versions: ReadonlyMap<number, VersionRange>) {
  const entries = [...versions].map(([key, { min, max }]) => [key, { minVersion: min, maxVersion: max }] as const)
  return Object.fromEntries(entries)
}

/** kafkajs logs a refusal as an error before it throws; we throw, and the owner of the connection decides what to log. */
function saslLogger(logger: Logger): SaslLogger {
  const debug = (message: string, extra: object = {}) => logger.debug(extra, message)
  const adapter: SaslLogger = { namespace: () => adapter, debug, info: debug, warn: debug, error: debug }
  return adapter
}
