import { InvalidOptionError } from '../../errors.js'
import { assertKnownKeys, assertObject, assertPositiveInteger } from '../../util/options.js'
import type { RegistryConfig } from '../../util/registry-config.js'
import { type Redact, redactor, type Secrets } from './secrets.js'

const KNOWN = ['url', 'auth', 'headers', 'context', 'timeoutMs', 'retries', 'dispatcher', 'fetch'] as const

const DEFAULTS = { timeoutMs: 10_000, retries: 4 } as const

/** What a timer can hold. */
const LONGEST_TIMEOUT_MS = 2_147_483_647

/** fetch refuses them in every request, or frames the message by them itself. */
const FRAMING_HEADERS = ['connection', 'content-length', 'expect', 'keep-alive', 'transfer-encoding', 'upgrade']

/** One base URL. */
export interface Address {
  /** Without credentials and without a slash at its end. */
  readonly base: string
  readonly origin: string
  /** Value of the header; belongs to this origin alone. */
  readonly authorization: string | undefined
}

export interface ResolvedRegistry {
  readonly addresses: readonly [Address, ...Address[]]
  /** By lower case names. */
  readonly headers: Readonly<Record<string, string>>
  readonly timeoutMs: number
  readonly retries: number
  readonly dispatcher: unknown
  readonly fetch: typeof fetch
  readonly redact: Redact
}

/** Throws {@link InvalidOptionError} with the path of what is wrong. No message holds a value that may be secret. */
export function assertRegistryConfig(path: string, value: unknown): asserts value is RegistryConfig {
  assertObject(path, value)
  assertKnownKeys(path, value, KNOWN)
  const hasAuth = value['auth'] !== undefined
  if (hasAuth) assertAuth(`${path}.auth`, value['auth'])
  assertUrls(path, value['url'], hasAuth)
  if (value['headers'] !== undefined) assertHeaders(`${path}.headers`, value['headers'])
  if (holdsAuthorization(value['headers']) && (hasAuth || urlsOf(value['url']).some(hasUserinfo))) {
    throw new InvalidOptionError(
      `${path}.headers`,
      'has an authorization besides auth or the credentials in the URL; keep one'
    )
  }
  if (value['context'] !== undefined) assertContext(`${path}.context`, value['context'])
  if (value['timeoutMs'] !== undefined) assertTimeout(`${path}.timeoutMs`, value['timeoutMs'])
  if (value['retries'] !== undefined) assertRetries(`${path}.retries`, value['retries'])
  const dispatcher = value['dispatcher']
  if (dispatcher !== undefined && (typeof dispatcher !== 'object' || dispatcher === null)) {
    throw new InvalidOptionError(`${path}.dispatcher`, "must be a dispatcher of undici's, for example an Agent")
  }
  if (value['fetch'] !== undefined && typeof value['fetch'] !== 'function')
    throw new InvalidOptionError(`${path}.fetch`, 'must be a function like the global fetch')
}

/** For a config that was checked. */
export function resolveRegistry(config: RegistryConfig): ResolvedRegistry {
  const secrets: Secrets = { hard: [], soft: [] }
  const addresses = urlsOf(config.url).map(url => addressOf(url, config.auth, secrets))
  const headers: Record<string, string> = {}
  for (const [name, header] of Object.entries(config.headers ?? {})) {
    headers[name.toLowerCase()] = header
    secrets.soft.push(header)
  }
  return {
    addresses: addresses as [Address, ...Address[]],
    headers,
    timeoutMs: config.timeoutMs ?? DEFAULTS.timeoutMs,
    retries: config.retries ?? DEFAULTS.retries,
    dispatcher: config.dispatcher,
    fetch: config.fetch ?? ((input, init) => fetch(input, init)),
    redact: redactor(secrets)
  }
}

function addressOf(text: string, auth: RegistryConfig['auth'], secrets: Secrets): Address {
  const url = new URL(text)
  const basic = hasUserinfo(text)
    ? { username: decodeURIComponent(url.username), password: decodeURIComponent(url.password) }
    : undefined
  return {
    base: `${url.origin}${url.pathname.replace(/\/+$/, '')}`,
    origin: url.origin,
    authorization: authorizationOf(basic ?? auth, secrets)
  }
}

function authorizationOf(auth: RegistryConfig['auth'], secrets: Secrets): string | undefined {
  if (auth === undefined) return undefined
  if ('token' in auth) {
    secrets.hard.push(auth.token)
    return `Bearer ${auth.token}`
  }
  const encoded = Buffer.from(`${auth.username}:${auth.password}`, 'utf8').toString('base64')
  secrets.hard.push(auth.password, encoded)
  secrets.soft.push(auth.username)
  return `Basic ${encoded}`
}

function assertUrls(path: string, value: unknown, hasAuth: boolean): void {
  if (value === undefined) throw new InvalidOptionError(`${path}.url`, 'is missing: where the schema registry is')
  if (!Array.isArray(value)) {
    assertUrl(`${path}.url`, value, hasAuth)
    return
  }
  if (value.length === 0) throw new InvalidOptionError(`${path}.url`, 'must name at least one URL')
  value.forEach((each: unknown, index) => {
    assertUrl(`${path}.url[${index}]`, each, hasAuth)
  })
}

function assertUrl(path: string, value: unknown, hasAuth: boolean): void {
  if (typeof value !== 'string') throw new InvalidOptionError(path, 'must be a URL, as a string')
  if (/,\s*https?:/i.test(value))
    throw new InvalidOptionError(path, 'holds several URLs: give them as an array of strings')
  // The text itself is never quoted: it may hold a password.
  if (!URL.canParse(value)) throw new InvalidOptionError(path, 'is not a URL')
  const url = new URL(value)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new InvalidOptionError(path, 'must begin with http:// or https://')
  }
  if (url.search !== '' || url.hash !== '') {
    throw new InvalidOptionError(path, 'must not have a query or a fragment; credentials go into auth or headers')
  }
  if (!hasUserinfo(value)) return
  if (hasAuth) throw new InvalidOptionError(path, 'has credentials, and so has auth; keep one of them')
  try {
    const username = decodeURIComponent(url.username)
    decodeURIComponent(url.password)
    if (username.includes(':')) throw new Error('colon')
  } catch {
    throw new InvalidOptionError(path, 'has credentials that cannot be decoded; give them as auth instead')
  }
}

function assertAuth(path: string, value: unknown): void {
  assertObject(path, value)
  if ('token' in value && value['token'] !== undefined) {
    assertKnownKeys(path, value, ['token'])
    const token = value['token']
    if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token))
      throw new InvalidOptionError(`${path}.token`, 'must be text of visible ASCII characters, without spaces')
    return
  }
  assertKnownKeys(path, value, ['username', 'password'])
  const { username, password } = value
  if (typeof username !== 'string' || username === '' || username.includes(':'))
    throw new InvalidOptionError(`${path}.username`, 'must be text without a colon, and not empty')
  if (typeof password !== 'string') throw new InvalidOptionError(`${path}.password`, 'must be text')
}

function assertHeaders(path: string, value: unknown): void {
  assertObject(path, value)
  for (const [name, header] of Object.entries(value)) {
    if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name)) {
      throw new InvalidOptionError(path, `${JSON.stringify(name)} is not a legal name of a header`)
    }
    if (FRAMING_HEADERS.includes(name.toLowerCase()))
      throw new InvalidOptionError(`${path}.${name}`, 'cannot be set: it belongs to the connection')
    if (typeof header !== 'string' || !/^[\t\x20-\x7e\x80-\xff]*$/.test(header))
      throw new InvalidOptionError(`${path}.${name}`, 'must be text without line breaks or other control characters')
  }
}

function assertContext(path: string, value: unknown): void {
  if (typeof value !== 'string' || !/^\.[^:\p{Cc}]*$/u.test(value))
    throw new InvalidOptionError(
      path,
      'must be the name of a context: it begins with a dot and has no colon, like ".dr"'
    )
}

function assertTimeout(path: string, value: unknown): void {
  assertPositiveInteger(path, value)
  if (value > LONGEST_TIMEOUT_MS)
    throw new InvalidOptionError(path, `must be at most ${LONGEST_TIMEOUT_MS} milliseconds`)
}

function assertRetries(path: string, value: unknown): void {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    throw new InvalidOptionError(path, 'must be a whole number, 0 or more')
}

function holdsAuthorization(headers: unknown): boolean {
  if (typeof headers !== 'object' || headers === null) return false
  return Object.keys(headers).some(name => name.toLowerCase() === 'authorization')
}

function hasUserinfo(text: string): boolean {
  const url = new URL(text)
  return url.username !== '' || url.password !== ''
}

function urlsOf(url: unknown): string[] {
  return (Array.isArray(url) ? url : [url]) as string[]
}
