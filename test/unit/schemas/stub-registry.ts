import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Logger } from '../../../src/logger.js'

export interface SeenRequest {
  method: string
  /** As it was sent: percent-encoded, with its query. */
  url: string
  /** Decoded, without the query. */
  path: string
  query: Record<string, string>
  headers: IncomingMessage['headers']
  body: unknown
}

/** JSON, or what `raw` says; `hang` never answers, `drop` closes the connection. */
export interface StubAnswer {
  status?: number
  json?: unknown
  raw?: string
  headers?: Record<string, string>
  hang?: true
  drop?: true
}

export type StubHandler = (request: SeenRequest, index: number) => StubAnswer | Promise<StubAnswer>

/** A server that answers as a test says, and keeps what it was asked. */
export class StubRegistry {
  readonly seen: SeenRequest[] = []
  readonly #server: Server
  #handler: StubHandler

  private constructor(handler: StubHandler) {
    this.#handler = handler
    this.#server = createServer((request, response) => {
      this.#serve(request, response).catch((error: unknown) => response.destroy(error as Error))
    })
  }

  static async start(handler: StubHandler = () => ({ json: [] })): Promise<StubRegistry> {
    const stub = new StubRegistry(handler)
    await new Promise<void>(resolve => stub.#server.listen(0, '127.0.0.1', resolve))
    return stub
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Method and URL of every request, in order. */
  get lines(): string[] {
    return this.seen.map(request => `${request.method} ${request.url}`)
  }

  answer(handler: StubHandler | StubAnswer): void {
    this.#handler = typeof handler === 'function' ? handler : () => handler
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise(resolve => this.#server.close(resolve))
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const text = Buffer.concat(chunks).toString('utf8')
    const url = new URL(request.url ?? '/', 'http://stub')
    const seen: SeenRequest = {
      method: request.method ?? '',
      url: request.url ?? '',
      path: decodeURIComponent(url.pathname),
      query: Object.fromEntries(url.searchParams),
      headers: request.headers,
      body: text === '' ? undefined : (JSON.parse(text) as unknown)
    }
    const answer = await this.#handler(seen, this.seen.push(seen) - 1)
    if (answer.hang === true) return
    if (answer.drop === true) {
      response.destroy()
      return
    }
    const { status = 200, json, raw, headers } = answer
    const contentType = raw === undefined ? 'application/vnd.schemaregistry.v1+json' : 'text/html'
    response.writeHead(status, { 'content-type': contentType, ...headers })
    response.end(raw ?? (json === undefined ? '' : JSON.stringify(json)))
  }
}

/** A registry's error. */
export function refusal(status: number, code: number, message = `error ${code}`): StubAnswer {
  return { status, json: { error_code: code, message } }
}

/** A port that nothing listens on. */
export async function deadUrl(): Promise<string> {
  const stub = await StubRegistry.start()
  const { url } = stub
  await stub.stop()
  return url
}

export interface LogLine {
  level: string
  fields: Record<string, unknown>
  message: string
}

export function listeningLogger(): Logger & { lines: LogLine[] } {
  const lines: LogLine[] = []
  const at = (level: string) => (fields: object, message: string) => {
    lines.push({ level, fields: fields as Record<string, unknown>, message })
  }
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}
