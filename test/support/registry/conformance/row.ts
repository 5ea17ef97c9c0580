import assert from 'node:assert/strict'

/** One statement about a registry. `run` throws an AssertionError where it does not hold. */
export interface ConformanceRow {
  area: string
  name: string
  /**
   * `registry`: changes the config or mode of the whole registry for a moment. `alone`: nothing else may happen meanwhile. `auth`: only where
   * there are credentials.
   */
  needs?: 'registry' | 'alone' | 'auth' | undefined
  run(api: RowApi): Promise<void>
}

export type RowBody = Omit<ConformanceRow, 'area' | 'name' | 'needs'>['run']

/** `rows('deletes', { 'what holds': async api => ... })` */
export function rows(area: string, bodies: Record<string, RowBody>, needs?: ConformanceRow['needs']): ConformanceRow[] {
  return Object.entries(bodies).map(([name, run]) => ({ area, name, run, needs }))
}

export function keyOf(row: ConformanceRow): string {
  return `${row.area}: ${row.name}`
}

export interface RegistryUnderTest {
  url: string
  auth?: { username: string; password: string } | undefined
}

export interface Answer {
  status: number
  /** The parsed body; the text where it is no JSON. */
  body: Json
  text: string
  headers: Headers
}

// Answers are looked at by path, and a wrong shape shall fail as an assertion, not as a TypeError.
export type Json = string | number | boolean | null | undefined | Json[] | { [key: string]: Json }

const contentType = 'application/vnd.schemaregistry.v1+json'

/** A registry as one row sees it: names of its own, a few words for the usual calls. It shares no code with src/. */
export class RowApi {
  readonly #registry: RegistryUnderTest
  readonly #prefix: string
  readonly #subjects: string[] = []
  readonly #afterwards: (() => Promise<unknown>)[] = []

  constructor(registry: RegistryUnderTest, prefix: string) {
    this.#registry = { ...registry, url: registry.url.replace(/\/+$/, '') }
    this.#prefix = prefix
  }

  /** Of this row alone: what all its subjects begin with. */
  get prefix(): string {
    return this.#prefix
  }

  /** A subject of this row, in the default context or in one of its own. */
  subject(name = 's', context?: string): string {
    const subject = (context === undefined ? '' : `:${context}:`) + `${this.#prefix}.${name}`
    if (!this.#subjects.includes(subject)) this.#subjects.push(subject)
    return subject
  }

  context(name = 'c'): string {
    return `.${this.#prefix}-${name}`
  }

  /** Done after the row, whatever became of it. */
  afterwards(undo: () => Promise<unknown>): void {
    this.#afterwards.push(undo)
  }

  async call(
    method: string,
    path: string,
    body?: unknown,
    o: { headers?: Record<string, string>; anonymous?: boolean; raw?: string } = {}
  ): Promise<Answer> {
    const { auth, url } = this.#registry
    const text = o.raw ?? (body === undefined ? undefined : JSON.stringify(body))
    const response = await fetch(url + path, {
      method,
      headers: {
        ...(text === undefined ? {} : { 'content-type': contentType }),
        ...(auth === undefined || o.anonymous === true ? {} : { authorization: basic(auth) }),
        ...o.headers
      },
      ...(text === undefined ? {} : { body: text })
    })
    const answer = await response.text()
    return { status: response.status, body: parsed(answer), text: answer, headers: response.headers }
  }

  /** The body of a 200. */
  async ok(method: string, path: string, body?: unknown): Promise<Json> {
    const answer = await this.call(method, path, body)
    assert.equal(answer.status, 200, `${method} ${path}: ${answer.text}`)
    return answer.body
  }

  get(path: string): Promise<Json> {
    return this.ok('GET', path)
  }

  /** Refused with this HTTP status and registry code. */
  async refused(status: number, code: number, method: string, path: string, body?: unknown): Promise<string> {
    const answer = await this.call(method, path, body)
    const seen = { status: answer.status, code: at(answer.body, 'error_code') }
    assert.deepEqual(seen, { status, code }, `${method} ${path}: ${answer.text}`)
    return textAt(answer.body, 'message')
  }

  /** Registers and tells the id. */
  async register(subject: string, schema: string, extra: object = {}, query = ''): Promise<number> {
    const body = await this.ok('POST', `${versionsOf(subject)}${query}`, { schema, ...extra })
    return integerAt(body, 'id')
  }

  registerRefused(
    status: number,
    code: number,
    subject: string,
    schema: string | undefined,
    extra: object = {}
  ): Promise<string> {
    return this.refused(status, code, 'POST', versionsOf(subject), { schema, ...extra })
  }

  versions(subject: string, query = ''): Promise<Json> {
    return this.get(versionsOf(subject) + query)
  }

  version(subject: string, version: number | string, query = ''): Promise<Json> {
    return this.get(`${versionsOf(subject)}/${version}${query}`)
  }

  setMode(scope: string, mode: string, query = ''): Promise<Json> {
    this.afterwards(() => this.call('DELETE', `/mode/${encodeURIComponent(scope)}`))
    return this.ok('PUT', `/mode/${encodeURIComponent(scope)}${query}`, { mode })
  }

  setConfig(scope: string, config: object): Promise<Json> {
    this.afterwards(() => this.call('DELETE', `/config/${encodeURIComponent(scope)}`))
    return this.ok('PUT', `/config/${encodeURIComponent(scope)}`, config)
  }

  config(scope: string, query = ''): Promise<Json> {
    return this.get(`/config/${encodeURIComponent(scope)}${query}`)
  }

  mode(scope: string, query = ''): Promise<Json> {
    return this.get(`/mode/${encodeURIComponent(scope)}${query}`)
  }

  deleteSubject(subject: string, query = ''): Promise<Json> {
    return this.ok('DELETE', `/subjects/${encodeURIComponent(subject)}${query}`)
  }

  deleteVersion(subject: string, version: number | string, query = ''): Promise<Json> {
    return this.ok('DELETE', `${versionsOf(subject)}/${version}${query}`)
  }

  /** Takes away what the row made. Errors do not matter: much of it is gone already, or was never there. */
  async tidy(): Promise<void> {
    for (const undo of this.#afterwards.toReversed()) await undo().catch(() => undefined)
    // Those that refer to others came later.
    for (const subject of this.#subjects.toReversed()) {
      for (const query of ['', '?permanent=true']) {
        await this.call('DELETE', `/subjects/${encodeURIComponent(subject)}${query}`).catch(() => undefined)
      }
    }
  }
}

export function versionsOf(subject: string): string {
  return `/subjects/${encodeURIComponent(subject)}/versions`
}

export function at(value: Json, ...path: (string | number)[]): Json {
  let here = value
  for (const key of path) {
    if (typeof here !== 'object' || here === null) return undefined
    here = Array.isArray(here) ? here[Number(key)] : here[key]
  }
  return here
}

/** Text or a number, as text. */
export function textAt(value: Json, ...path: (string | number)[]): string {
  const found = at(value, ...path)
  assert.ok(typeof found === 'string' || typeof found === 'number', `no text at ${path.join('.')}`)
  return String(found)
}

export function integerAt(value: Json, ...path: (string | number)[]): number {
  const found = at(value, ...path)
  assert.ok(Number.isInteger(found), `no integer at ${path.join('.')} of ${JSON.stringify(value)}`)
  return found as number
}

/** Lists whose order the registry leaves open. */
export function sorted(value: Json): Json {
  assert.ok(Array.isArray(value), `not a list: ${JSON.stringify(value)}`)
  return value.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
}

function parsed(text: string): Json {
  try {
    return JSON.parse(text) as Json
  } catch {
    return text
  }
}

function basic({ username, password }: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

/** Runs one row under names of its own, and tidies up whatever became of it. Throws what the row throws. */
export async function runRow(row: ConformanceRow, registry: RegistryUnderTest, prefix: string): Promise<void> {
  const api = new RowApi(registry, prefix)
  try {
    await row.run(api)
  } finally {
    await api.tidy()
  }
}
