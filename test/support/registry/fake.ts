import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { dumpOf, type RegistryDump } from './fake/registry-dump.js'
import { RegistryFault } from './fake/registry-fault.js'
import { PlainText, RegistryRoutes } from './fake/registry-routes.js'

const contentType = 'application/vnd.schemaregistry.v1+json'

export interface FakeRegistryOptions {
  /** @defaultValue a free one */
  port?: number | undefined
  /** HTTP basic auth; anything else is answered with 401. */
  auth?: { username: string; password: string } | undefined
  /** Everything is below this path, for example `/apis/registry`. */
  pathPrefix?: string | undefined
  /** GET /schemas is there; false: 404, as with registries older than 5.5. @defaultValue true */
  bulk?: boolean | undefined
  /** Rule sets are kept (Enterprise, Cloud); false: dropped without a word, as the Community edition does. @defaultValue true */
  ruleSets?: boolean | undefined
}

export interface SeenRequest {
  method: string
  /** With the query, without the path prefix. */
  path: string
  body: string
  /** 0 for the first request since the start, or since `requests.reset()`. */
  index: number
}

/**
 * What happens to a request: nothing special, an answer without any work, a pause before the work, the connection cut before the work, or
 * after it (the registry did it, the client does not know).
 */
export type Injection =
  | undefined
  | { status: number; body?: unknown; headers?: Record<string, string> }
  | { delayMs: number }
  | 'drop-before'
  | 'drop-after'

export class RequestLog {
  #list: { method: string; path: string }[] = []

  get count(): number {
    return this.#list.length
  }

  get list(): readonly { method: string; path: string }[] {
    return this.#list
  }

  reset(): void {
    this.#list = []
  }

  /** The index of the new one. */
  add(request: { method: string; path: string }): number {
    return this.#list.push(request) - 1
  }
}

/**
 * A schema registry in this process that answers as Confluent's 7.9.0 does, written after its source and after recorded answers of a real
 * one (README.md says where it does less).
 */
export class FakeRegistry implements AsyncDisposable {
  readonly #server: Server
  readonly #routes: RegistryRoutes
  readonly #o: FakeRegistryOptions
  readonly #prefix: string
  readonly #requests = new RequestLog()
  #port = 0
  #inject: (request: SeenRequest) => Injection | Promise<Injection> = () => undefined

  constructor(o: FakeRegistryOptions) {
    this.#o = o
    this.#prefix = o.pathPrefix?.replace(/\/+$/, '') ?? ''
    this.#routes = new RegistryRoutes({ bulk: o.bulk !== false, ruleSets: o.ruleSets !== false })
    this.#server = createServer((request, response) => {
      this.#serve(request, response).catch((error: unknown) => {
        // A bug of the fake: the test shall see it in the answer.
        reply(response, 500, { error_code: 500, message: error instanceof Error ? error.stack : String(error) })
      })
    })
    this.#server.keepAliveTimeout = 60_000
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}${this.#prefix}`
  }

  /** Requests that came in, those that were refused or cut off included. */
  get requests(): RequestLog {
    return this.#requests
  }

  /** Asked for each request, before anything is done. The last one given counts; without an argument nothing is injected any more. */
  inject(fn: (request: SeenRequest) => Injection | Promise<Injection> = () => undefined): void {
    this.#inject = fn
  }

  /** All it holds, as a plain object with sorted keys. Counters (next id, names of emptied contexts) are not part of it. */
  dump(): RegistryDump {
    return dumpOf(this.#routes.state)
  }

  /** Begins to answer; after `close()` once more, at the same address and with all it held. */
  async listen(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(this.#port || (this.#o.port ?? 0), '127.0.0.1', resolve)
    })
    this.#port = (this.#server.address() as AddressInfo).port
  }

  /** Nobody answers any more; open connections are cut. */
  async close(): Promise<void> {
    if (!this.#server.listening) return
    await new Promise<void>(resolve => {
      this.#server.close(() => resolve())
      this.#server.closeAllConnections()
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await textOf(request)
    const { method = 'GET', url = '/' } = request
    const path = this.#prefix !== '' && url.startsWith(`${this.#prefix}/`) ? url.slice(this.#prefix.length) : url
    const index = this.#requests.add({ method, path })
    const injected = await this.#inject({ method, path, body, index })
    if (injected === 'drop-before') {
      request.socket.destroy()
      return
    }
    if (typeof injected === 'object' && 'status' in injected) {
      reply(response, injected.status, injected.body, injected.headers)
      return
    }
    if (typeof injected === 'object') await sleep(injected.delayMs, undefined, { ref: false })
    const answer = this.#answer(request, path, body)
    if (injected === 'drop-after') request.socket.destroy()
    else reply(response, answer.status, answer.body, answer.headers)
  }

  #answer(request: IncomingMessage, path: string, body: string): Answer {
    const fault = this.#refusal(request, path, body)
    if (fault !== undefined) return fault
    const at = path.indexOf('?')
    const query = new URLSearchParams(at < 0 ? '' : path.slice(at + 1))
    try {
      return {
        status: 200,
        body: this.#routes.answer(request.method ?? 'GET', at < 0 ? path : path.slice(0, at), query, body)
      }
    } catch (error) {
      if (!(error instanceof RegistryFault)) throw error
      return failure(error.status, error.errorCode, error.message)
    }
  }

  #refusal(request: IncomingMessage, path: string, body: string): Answer | undefined {
    const { auth } = this.#o
    if (auth !== undefined && request.headers.authorization !== basicAuth(auth)) {
      return {
        ...failure(401, 401, 'Unauthorized'),
        headers: { 'www-authenticate': 'Basic realm="SchemaRegistry"' }
      }
    }
    if (this.#prefix !== '' && path === request.url) return failure(404, 404, 'HTTP 404 Not Found')
    const type = request.headers['content-type']?.split(';')[0]?.trim()
    const known = [contentType, 'application/vnd.schemaregistry+json', 'application/json', 'application/octet-stream']
    if (body !== '' && type !== undefined && !known.includes(type)) {
      return failure(415, 415, 'HTTP 415 Unsupported Media Type')
    }
    return undefined
  }
}

interface Answer {
  status: number
  body?: unknown
  headers?: Record<string, string>
}

/** Starts a fake registry on a free loopback port. */
export async function startFakeRegistry(o: FakeRegistryOptions = {}): Promise<FakeRegistry> {
  const registry = new FakeRegistry(o)
  await registry.listen()
  return registry
}

function failure(status: number, errorCode: number, message: string): Answer {
  return { status, body: { error_code: errorCode, message } }
}

function basicAuth({ username, password }: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

function reply(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  const text = body instanceof PlainText ? body.text : body === undefined ? '' : JSON.stringify(body)
  response.writeHead(status, { 'content-type': contentType, 'content-length': Buffer.byteLength(text), ...headers })
  response.end(text)
}

function textOf(request: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.once('end', () => resolve(Buffer.concat(chunks).toString('utf8')))
    request.once('error', reject)
  })
}
