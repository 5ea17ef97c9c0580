import SASLAuthenticator, { type SaslConnection, type SaslLogger } from 'kafkajs/src/broker/saslAuthenticator/index.js'
import { TwinlogError } from '../errors.js'
import type { Logger } from '../logger.js'
import { type Address, formatAddress } from './addresses.js'
import type { Reader } from './protocol/reader.js'
import type { VersionRange } from './requests/api-versions.js'
import type { ConnectionSettings } from './settings.js'
import type { ApiRequest } from './types.js'

const SASL_HANDSHAKE = 17
const SASL_AUTHENTICATE = 36

/** Sends a request ahead of everything that waits for the authentication. */
export type SendNow = <T>(request: ApiRequest<T>) => Promise<T>

export interface SaslSession {
  /** How long the broker keeps this session (KIP-368); undefined: for ever. */
  lifetimeMs: number | undefined
}

/** Authenticates through kafkajs's authenticators, so that every mechanism and custom provider of kafkajs works here too. */
export async function authenticate(
  address: Address,
  settings: ConnectionSettings,
  versions: ReadonlyMap<number, VersionRange>,
  sendNow: SendNow,
  logger: Logger
): Promise<SaslSession> {
  const sasl = settings.sasl
  if (sasl === undefined) return { lifetimeMs: undefined }
  // A provider of kafkajs buries the cause of a failure; a broken connection must not look like a wrong password.
  let transportError: Error | undefined
  const connection: SaslConnection = {
    ...address,
    // kafkajs keeps its provider in this object: the user's own config must not be written to, nor providers be shared.
    sasl: { ...sasl },
    async send({ request, response }) {
      const body = (await request.encode()).buffer
      const reply = await sendNow(rawRequest(request, body)).catch((error: unknown) => {
        transportError = error instanceof Error ? error : new Error(String(error))
        throw transportError
      })
      return response.parse(await response.decode(reply))
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
    return { lifetimeMs: lifetimeMs > 0 ? lifetimeMs : undefined }
  } catch (error) {
    throw transportError ?? refused(address, settings, error)
  }
}

// The state of this connection is wrong, not the credentials: another connection will do.
const ILLEGAL_SASL_STATE = 34

function refused(address: Address, settings: ConnectionSettings, error: unknown): TwinlogError {
  if (error instanceof Error && 'code' in error && error.code === ILLEGAL_SASL_STATE) {
    const message = `${settings.alias}: broker ${formatAddress(address)} did not expect SASL now: ${error.message}`
    return new TwinlogError('TWINLOG_UNREACHABLE', message, { cluster: settings.alias, retriable: true, cause: error })
  }
  const sasl = settings.sasl
  const user = sasl !== undefined && 'username' in sasl ? ` for user "${String(sasl.username)}"` : ''
  const mechanism = sasl?.mechanism.toUpperCase() ?? ''
  const reason = error instanceof Error ? error.message : String(error)
  return new TwinlogError(
    'TWINLOG_UNAUTHORIZED',
    `${settings.alias}: broker ${formatAddress(address)} refused SASL ${mechanism}${user}: ${reason}; check the sasl option of this cluster`,
    { cluster: settings.alias, cause: error }
  )
}

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
