import { TwinlogError } from '../../errors.js'
import type { RawAnswer } from './exchange.js'
import type { Redact } from './secrets.js'

/** A request to the registry, whichever address takes it. */
export interface Call {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** Percent-encoded, with its query, beginning with a slash. */
  path: string
  body?: unknown
  signal?: AbortSignal | undefined
  /** For errors. */
  subject?: string | undefined
  schemaId?: number | undefined
}

/** An answer that settles a call: not one to try again for. */
export interface Answer {
  /** Who answered, without credentials. */
  from: string
  status: number
  ok: boolean
  /** Parsed JSON; undefined when the body was empty. */
  body: unknown
  /** The registry's `error_code`; 0 and what is no number count as none. */
  code: number | undefined
  /** What the answer says of itself, for messages: never longer than a paragraph, nothing secret. */
  says: string
  strangeOrigin: string | undefined
}

const MOST_CHARACTERS = 1_000
const FIRST_CHARACTERS = 200

/** What to do about it, where the registry's own text does not say so. */
const ADVICE: Readonly<Record<number, string>> = {
  409: 'the schema does not fit the versions before it; change the schema, or the compatibility level of the subject',
  40405: 'delete the subject softly first',
  40407: 'delete the version softly first',
  40901: 'the schema does not fit the versions before it; change the schema, or the compatibility level of the subject',
  42201: 'the registry cannot take this schema, or something it refers to is not there',
  42205: 'the mode of the subject, its context or the registry does not allow it; GET /mode tells which it is',
  42206: 'delete what refers to it first'
}

/** Throws where a body that should be JSON is not: a proxy's page is no answer of a registry, whatever its status. */
export function interpret(call: Call, raw: RawAnswer, from: string, redact: Redact): Answer {
  const ok = raw.status >= 200 && raw.status < 300
  const head = firstCharacters(raw.text, FIRST_CHARACTERS, redact)
  const base = { from, status: raw.status, ok, strangeOrigin: raw.strangeOrigin }
  if (raw.cut && ok) {
    throw problem(
      call,
      { ...base, code: undefined },
      'with more than may be read at once (64 MiB); it was not read to its end'
    )
  }
  const body = raw.cut ? NOT_JSON : parse(raw.text)
  if (body === NOT_JSON && ok) {
    throw problem(
      call,
      { ...base, code: undefined },
      `with something that is not JSON: ${head}. Is this a schema registry, or a proxy before it?`
    )
  }
  const { error_code: code, message } = fieldsOf(body)
  return {
    ...base,
    body: body === NOT_JSON ? undefined : body,
    code: typeof code === 'number' && Number.isInteger(code) && code > 0 ? code : undefined,
    // An error's own words are worth more room than the first characters of whatever it is.
    says: !ok && typeof message === 'string' ? firstCharacters(message, MOST_CHARACTERS, redact) : head
  }
}

/** Whether the answer is about the address rather than about what was asked for: no such path, or not with this method. */
export function isUnknownPath(answer: Answer): boolean {
  const { status, code } = answer
  // Registries number what is not there (40401 …); a bare 404 comes from a proxy, a wrong prefix, or a server that lacks the request.
  return (status === 404 || status === 405 || status === 501) && (code === undefined || code < 1_000)
}

/** Registries differ in the status of the same code (Apicurio sends some of 404xx with 409): the code counts. */
export function hasCode(answer: Answer, codes: readonly number[]): boolean {
  return !answer.ok && answer.code !== undefined && codes.includes(answer.code)
}

/** The error of a call that was answered with something else than success. */
export function failure(call: Call, answer: Answer): TwinlogError {
  const { status, code } = answer
  if (status === 401 || status === 403) return unauthorized(call, answer)
  const said = answer.says === '' ? '' : `: ${answer.says}`
  if (isUnknownPath(answer)) {
    return problem(
      call,
      answer,
      `${withStatus(answer)}${said}. There is no schema registry at this path, or it has no such request; check the path of the URL`
    )
  }
  const advice = code === undefined ? undefined : ADVICE[code]
  return problem(call, answer, `${withStatus(answer)}${said}${advice === undefined ? '' : ` (${advice})`}`)
}

/** The registry has no such request. */
export function unsupported(call: Call, answer: Answer, what: string): TwinlogError {
  const message = `${about(call, answer)} ${withStatus(answer)}: this registry cannot ${what}, or the path of its URL is wrong`
  return new TwinlogError('TWINLOG_UNSUPPORTED', message, contextOf(call, answer))
}

/** Success, but with a body of another shape. */
export function unexpected(call: Call, answer: Answer, wanted: string): TwinlogError {
  const found = answer.says === '' ? 'an empty body' : answer.says
  return problem(call, answer, `${withStatus(answer)}, but without ${wanted}: ${found}`)
}

/** A status after which the same request may go well: elsewhere, or later. */
export function mayPass(status: number): boolean {
  return status === 429 || (status >= 500 && status !== 501)
}

/** After the last attempt at a request that may go well another time. */
export function notNow(call: Call, answer: Answer): TwinlogError {
  const said = answer.says === '' ? '' : `: ${answer.says}`
  return problem(call, answer, `${withStatus(answer)}${said}`, true)
}

function unauthorized(call: Call, answer: Answer): TwinlogError {
  const said = answer.says === '' ? '' : `: ${answer.says}`
  const elsewhere =
    answer.strangeOrigin === undefined
      ? 'check auth and headers of the registry, and what the user may do there'
      : `it was redirected to ${answer.strangeOrigin}, where credentials are not sent; configure that address itself`
  const message = `${about(call, answer)} ${withStatus(answer)}${said}; ${elsewhere}`
  return new TwinlogError('TWINLOG_UNAUTHORIZED', message, contextOf(call, answer))
}

type Answered = Pick<Answer, 'from' | 'status' | 'code'>

function problem(call: Call, answer: Answered, text: string, retriable = false): TwinlogError {
  const options = { ...contextOf(call, answer), retriable }
  return new TwinlogError('TWINLOG_SCHEMA_REGISTRY', `${about(call, answer)} ${text}`, options)
}

function about(call: Call, answer: Answered): string {
  return `schema registry ${answer.from} answered ${call.method} ${call.path}`
}

function withStatus({ status, code }: Answered): string {
  return code === undefined ? `with ${status}` : `with ${status} (error_code ${code})`
}

function contextOf(call: Call, { status, code }: Answered) {
  return { httpStatus: status, registryCode: code, subject: call.subject, schemaId: call.schemaId }
}

const NOT_JSON = Symbol('not JSON')

function parse(text: string): unknown {
  if (text.trim() === '') return undefined
  try {
    return JSON.parse(text) as unknown
  } catch {
    return NOT_JSON
  }
}

function fieldsOf(body: unknown): Record<string, unknown> {
  return typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {}
}

function firstCharacters(text: string, most: number, redact: Redact): string {
  // A body may have megabytes; what is secret goes before anything is cut in the middle.
  const line = redact(text.slice(0, most * 4))
    .replace(/\s+/g, ' ')
    .trim()
  return line.length <= most ? line : `${line.slice(0, most)}…`
}
