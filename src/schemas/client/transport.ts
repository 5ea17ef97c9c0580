import { setTimeout as sleep } from 'node:timers/promises'
import { TwinlogError } from '../../errors.js'
import type { Logger } from '../../logger.js'
import { retry } from '../../util/retry.js'
import { type Answer, type Call, interpret, mayPass, notNow } from './answers.js'
import type { Address, ResolvedRegistry } from './config.js'
import { aborted, exchange, type RawAnswer } from './exchange.js'
import { reasonOf, safeCause } from './secrets.js'

/** What a registry may ask us to wait; a request that waits longer had better fail. */
const LONGEST_RETRY_AFTER_MS = 30_000

const MAX_RESPONSE_BYTES = 64 * 1024 * 1024

/** One address, and what is remembered of it. */
interface Seat {
  address: Address
  /** By `performance.now()`: it asked to be left alone until then. */
  restUntil: number
}

/** Why a call goes on to the next address. */
interface Setback {
  error: TwinlogError
  /** Without an answer, what happened. */
  unreachable?: string | undefined
}

/**
 * Calls of one registry over all its addresses: the one that answered last is asked first, the others when it fails, all of them again
 * after a pause. Every request of the client may be repeated, writes too: what they do a second time is nothing.
 */
export class RegistryTransport {
  readonly name: string
  readonly #config: ResolvedRegistry
  readonly #logger: Logger
  readonly #seats: Seat[]
  readonly #maxResponseBytes: number
  #first = 0
  #requests = 0

  constructor(config: ResolvedRegistry, o: { logger: Logger; maxResponseBytes?: number | undefined }) {
    this.#config = config
    this.#logger = o.logger
    this.#maxResponseBytes = o.maxResponseBytes ?? MAX_RESPONSE_BYTES
    this.#seats = config.addresses.map(address => ({ address, restUntil: 0 }))
    this.name = config.addresses.map(address => address.base).join(', ')
  }

  get requests(): number {
    return this.#requests
  }

  /** The first answer that settles the call, whatever its status below 500. */
  async send(call: Call): Promise<Answer> {
    if (call.signal?.aborted === true) throw aborted(call, call.signal)
    return retry(() => this.#askAll(call), { retries: this.#config.retries, signal: call.signal })
  }

  async #askAll(call: Call): Promise<Answer> {
    const setbacks: Setback[] = []
    for (const index of await this.#order(call)) {
      const outcome = await this.#ask(index, call)
      if ('error' in outcome) {
        setbacks.push(outcome)
        continue
      }
      this.#prefer(index)
      return outcome
    }
    throw this.#worst(call, setbacks)
  }

  /** Addresses that may be asked now, the best first; waits where all of them asked for a pause. */
  async #order(call: Call): Promise<number[]> {
    const order = this.#seats.map((_seat, index) => (this.#first + index) % this.#seats.length)
    const soonest = Math.min(...this.#seats.map(seat => seat.restUntil))
    const pause = soonest - performance.now()
    if (pause > 0) await this.#rest(pause, call)
    const now = Math.max(performance.now(), soonest)
    return order.filter(index => (this.#seats[index]?.restUntil ?? 0) <= now)
  }

  async #rest(ms: number, call: Call): Promise<void> {
    const { signal } = call
    try {
      await sleep(ms, undefined, signal === undefined ? {} : { signal })
    } catch (error) {
      if (signal?.aborted === true) throw aborted(call, signal)
      throw error
    }
  }

  async #ask(index: number, call: Call): Promise<Answer | Setback> {
    const seat = this.#seats[index] as Seat
    const { base } = seat.address
    const begun = performance.now()
    let raw: RawAnswer
    try {
      raw = await exchange(seat.address, wireOf(call), {
        ...this.#config,
        maxResponseBytes: this.#maxResponseBytes,
        onRequest: () => this.#requests++
      })
    } catch (error) {
      const setback = error instanceof TwinlogError ? undefined : this.#unreachable(base, call, error)
      this.#log(call, base, begun, undefined, setback?.unreachable)
      if (setback === undefined) throw error
      return setback
    }
    this.#log(call, base, begun, raw.status)
    const answer = interpret(call, raw, base, this.#config.redact)
    if (!mayPass(answer.status)) return answer
    seat.restUntil = performance.now() + retryAfterMs(raw.retryAfter, Date.now())
    return { error: notNow(call, answer) }
  }

  #unreachable(base: string, call: Call, error: unknown): Setback {
    const reason = this.#config.redact(reasonOf(error))
    const cause = safeCause(error, this.#config.redact)
    return { unreachable: `${base}: ${reason}`, error: unreachable(call, `${base}: ${reason}`, cause) }
  }

  /** An answer says more than silence. */
  #worst(call: Call, setbacks: Setback[]): TwinlogError {
    const answered = setbacks.find(setback => setback.unreachable === undefined)
    const last = setbacks.at(-1)
    if (answered !== undefined || last === undefined || setbacks.length === 1) {
      return (answered ?? last)?.error ?? unreachable(call, this.name, undefined)
    }
    return unreachable(call, setbacks.map(setback => setback.unreachable).join('; '), last.error.cause)
  }

  #prefer(index: number): void {
    if (index === this.#first) return
    const from = this.#seats[this.#first]?.address.base
    this.#first = index
    this.#logger.warn(
      { from, to: this.#seats[index]?.address.base },
      'schema registry: another address answers, it is asked first from now on'
    )
  }

  #log(call: Call, registry: string, begun: number, status: number | undefined, problem?: string): void {
    const ms = Math.round(performance.now() - begun)
    const fields = { registry, method: call.method, path: call.path, status, ms }
    this.#logger.debug(problem === undefined ? fields : { ...fields, problem }, 'schema registry request')
  }
}

/** `Retry-After`, in seconds or as a date, bounded; 0 where there is none that can be read. */
export function retryAfterMs(value: string | null, now: number): number {
  const text = value?.trim() ?? ''
  const ms = /^\d+$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - now
  return Number.isNaN(ms) ? 0 : Math.min(Math.max(ms, 0), LONGEST_RETRY_AFTER_MS)
}

function wireOf(call: Call) {
  const body = call.body === undefined ? undefined : JSON.stringify(call.body)
  return { method: call.method, path: call.path, body, signal: call.signal }
}

function unreachable(call: Call, why: string, cause: unknown): TwinlogError {
  const message = `no schema registry answers ${call.method} ${call.path}: ${why}; check the URL, the network and that the registry runs`
  const { subject, schemaId } = call
  return new TwinlogError('TWINLOG_UNREACHABLE', message, { retriable: true, cause, subject, schemaId })
}
