import { TwinlogError } from '../errors.js'
import { type Address, formatAddress } from './addresses.js'
import type { HedgeError } from './hedge.js'

/** One error for "no broker answered", naming each broker's own failure. */
export function unreachable(alias: string, ...rounds: HedgeError[]): TwinlogError {
  const failures = rounds.flatMap(round => round.failures)
  const errors = failures.map(({ error }) => error)
  // The same password is sent to every broker: one refusal explains more than any number of dead brokers.
  const decisive = errors.find(
    error =>
      error instanceof TwinlogError && /^TWINLOG_(UNAUTHORIZED|UNSUPPORTED_BROKER|INVALID_OPTION)$/.test(error.code)
  )
  if (decisive !== undefined) return decisive as TwinlogError
  const details = failures.map(({ candidate, error }) => describe(alias, candidate as Address, error))
  const retriable = errors.length === 0 || errors.some(error => !(error instanceof TwinlogError) || error.retriable)
  return new TwinlogError(
    'TWINLOG_UNREACHABLE',
    `${alias}: no broker answered; check the brokers, ssl and sasl options and the network. ${details.join('; ')}`,
    { cluster: alias, retriable, cause: errors.length === 1 ? errors[0] : new AggregateError(errors) }
  )
}

function describe(alias: string, candidate: Address, error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  const short = message.startsWith(`${alias}: `) ? message.slice(alias.length + 2) : message
  return short.includes(formatAddress(candidate)) ? short : `${formatAddress(candidate)}: ${short}`
}
