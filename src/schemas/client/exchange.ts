import { TwinlogError } from '../../errors.js'
import type { Address, ResolvedRegistry } from './config.js'

/** What of an answer is used. */
export interface RawAnswer {
  status: number
  retryAfter: string | null
  text: string
  /** The body was longer than allowed; `text` is its beginning. */
  cut: boolean
  /** Another origin that a redirect led to: no credentials were sent there. */
  strangeOrigin: string | undefined
}

export interface WireRequest {
  method: string
  /** Begins with a slash; with its query. */
  path: string
  body: string | undefined
  signal: AbortSignal | undefined
}

export interface ExchangeOptions extends ResolvedRegistry {
  maxResponseBytes: number
  /** Called for each request that goes out, those after a redirect included. */
  onRequest(): void
}

const ACCEPT = 'application/vnd.schemaregistry.v1+json, application/json'
const CONTENT_TYPE = 'application/vnd.schemaregistry.v1+json'
const REDIRECTS = [301, 302, 303, 307, 308]
const MOST_REDIRECTS = 5
/** Of a body that is only quoted. */
const QUOTED_BYTES = 4_096
/** Errors of a registry can hold whole schemas, but nobody reads more than that. */
const ERROR_BODY_BYTES = 1_048_576

/**
 * One request to one address, with its answer's body. What fails on the way (network, time) is thrown as it came; an abort by the caller
 * and what no other address would do better are TwinlogErrors.
 */
export async function exchange(address: Address, request: WireRequest, o: ExchangeOptions): Promise<RawAnswer> {
  const { signal } = request
  const controller = new AbortController()
  let late = false
  // Not AbortSignal.any(): on Node 20 a signal that lives as long as the process would keep every one derived from it.
  const onAbort = () => controller.abort(signal?.reason)
  const timer = setTimeout(() => {
    late = true
    controller.abort()
  }, o.timeoutMs)
  timer.unref()
  signal?.addEventListener('abort', onAbort, { once: true })
  try {
    if (signal?.aborted === true) onAbort()
    return await follow(address, request, controller.signal, o)
  } catch (error) {
    if (signal?.aborted === true) throw aborted(request, signal)
    if (late) throw new Error(`no answer within ${o.timeoutMs} ms`)
    throw error
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', onAbort)
  }
}

export function aborted(request: { method: string; path: string }, signal: AbortSignal): TwinlogError {
  const message = `aborted by the caller: ${request.method} ${request.path} of a schema registry`
  return new TwinlogError('TWINLOG_ABORTED', message, { cause: signal.reason })
}

async function follow(
  address: Address,
  request: WireRequest,
  signal: AbortSignal,
  o: ExchangeOptions
): Promise<RawAnswer> {
  const { fetch } = o
  let url = new URL(`${address.base}${request.path}`)
  for (let hop = 0; ; hop++) {
    const own = url.origin === address.origin
    o.onRequest()
    const response = await fetch(url.href, initOf(request, own ? address : undefined, signal, o))
    const location = REDIRECTS.includes(response.status) ? response.headers.get('location') : null
    if (location === null) return await read(response, own ? undefined : url.origin, o)
    discard(response)
    if (hop === MOST_REDIRECTS) throw redirectError(request, address, response.status, 'after too many others')
    url = redirected(location, url, address, request, response.status)
  }
}

/** Without an address, nothing that the caller configured goes along: header values may be secrets as well. */
function initOf(
  request: WireRequest,
  address: Address | undefined,
  signal: AbortSignal,
  o: ExchangeOptions
): RequestInit {
  const headers: Record<string, string> = { accept: ACCEPT }
  if (request.body !== undefined) headers['content-type'] = CONTENT_TYPE
  if (address !== undefined) Object.assign(headers, o.headers)
  if (address?.authorization !== undefined) headers['authorization'] = address.authorization
  const init = {
    method: request.method,
    headers,
    signal,
    // By hand: fetch takes `authorization` off on the way to another origin, but no header of the caller's.
    redirect: 'manual' as const,
    ...(request.body === undefined ? {} : { body: request.body }),
    ...(o.dispatcher === undefined ? {} : { dispatcher: o.dispatcher })
  }
  return init as RequestInit
}

function redirected(location: string, from: URL, address: Address, request: WireRequest, status: number): URL {
  if (!URL.canParse(location, from.href)) throw redirectError(request, address, status, 'to something that is no URL')
  const next = new URL(location, from.href)
  next.username = ''
  next.password = ''
  next.hash = ''
  const where = `to ${next.origin}`
  if (next.protocol !== 'https:' && (from.protocol === 'https:' || next.protocol !== 'http:')) {
    throw redirectError(request, address, status, `${where}, which is not encrypted`)
  }
  // 301, 302 and 303 may turn a write into a read: it would seem done.
  if (request.method !== 'GET' && status !== 307 && status !== 308) throw redirectError(request, address, status, where)
  return next
}

function redirectError(request: WireRequest, address: Address, status: number, where: string): TwinlogError {
  const message = `${request.method} ${request.path} was redirected (${status}) by ${address.base} ${where}; that is not followed. Configure the address that answers itself`
  return new TwinlogError('TWINLOG_SCHEMA_REGISTRY', message, { httpStatus: status })
}

async function read(response: Response, strangeOrigin: string | undefined, o: ExchangeOptions): Promise<RawAnswer> {
  const most = response.ok ? o.maxResponseBytes : Math.min(o.maxResponseBytes, ERROR_BODY_BYTES)
  const { text, cut } = await readText(response, most)
  return { status: response.status, retryAfter: response.headers.get('retry-after'), text, cut, strangeOrigin }
}

async function readText(response: Response, most: number): Promise<{ text: string; cut: boolean }> {
  const reader = (response.body as ReadableStream<Uint8Array> | null)?.getReader()
  if (reader === undefined) return { text: '', cut: false }
  const chunks: Uint8Array[] = []
  let size = 0
  for (;;) {
    const { done, value } = await reader.read()
    if (done) break
    chunks.push(value)
    size += value.byteLength
    if (size <= most) continue
    reader.cancel().catch(() => undefined)
    const beginning = Buffer.concat(chunks, Math.min(size, QUOTED_BYTES))
    return { text: decode(beginning), cut: true }
  }
  return { text: decode(Buffer.concat(chunks)), cut: false }
}

function decode(bytes: Buffer): string {
  const text = bytes.toString('utf8')
  return text.startsWith('\uFEFF') ? text.slice(1) : text
}

/** Frees the connection of an answer whose body nobody wants. */
function discard(response: Response): void {
  response.body?.cancel().catch(() => undefined)
}
