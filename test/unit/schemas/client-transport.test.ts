import { afterEach, describe, expect, it } from 'vitest'
import { TwinlogError } from '../../../src/errors.js'
import { createRegistryClient } from '../../../src/schemas/client/client.js'
import { retryAfterMs } from '../../../src/schemas/client/transport.js'
import type { RegistryConfig } from '../../../src/util/registry-config.js'
import { deadUrl, listeningLogger, refusal, type StubHandler, StubRegistry } from './stub-registry.js'

const stubs: StubRegistry[] = []

async function stub(handler?: StubHandler): Promise<StubRegistry> {
  const started = await StubRegistry.start(handler)
  stubs.push(started)
  return started
}

function client(config: RegistryConfig, o: { maxResponseBytes?: number } = {}) {
  const logger = listeningLogger()
  return { logger, registry: createRegistryClient(config, { logger, ...o }) }
}

async function errorOf(promise: Promise<unknown>): Promise<TwinlogError> {
  const error: unknown = await promise.then(
    () => new Error('did not fail'),
    (e: unknown) => e
  )
  expect(error).toBeInstanceOf(TwinlogError)
  return error as TwinlogError
}

afterEach(async () => {
  await Promise.all(stubs.splice(0).map(each => each.stop()))
})

describe('addresses', () => {
  it('keeps a path prefix, with and without a slash at its end', async () => {
    const server = await stub()
    for (const end of ['', '/', '//']) {
      await client({ url: `${server.url}/apis/ccompat/v7${end}` }).registry.contexts()
    }
    expect(new Set(server.lines)).toEqual(new Set(['GET /apis/ccompat/v7/contexts']))
  })

  it.each([
    ['a/b', '/subjects/a%2Fb/versions'],
    ['with space', '/subjects/with%20space/versions'],
    ['größe-値', '/subjects/gr%C3%B6%C3%9Fe-%E5%80%A4/versions'],
    [':.ctx:x', '/subjects/%3A.ctx%3Ax/versions'],
    ['100%', '/subjects/100%25/versions'],
    ['a?b#c&d=e+f', '/subjects/a%3Fb%23c%26d%3De%2Bf/versions'],
    ['...', '/subjects/.../versions']
  ])('sends the subject %j percent-encoded', async (subject, path) => {
    const server = await stub(() => ({ json: { id: 1 } }))
    await client({ url: `${server.url}/pre` }).registry.register(subject, schema)
    expect(server.lines).toEqual([`POST /pre${path}`])
    expect(server.seen[0]?.path).toBe(`/pre/subjects/${subject}/versions`)
  })

  it.each(['', '.', '..', '\ud800'])(
    'refuses the subject %j, which a URL cannot hold, without a request',
    async subject => {
      const server = await stub()
      const { registry } = client({ url: server.url })
      const error = await errorOf(registry.versions(subject))
      expect(error).toMatchObject({ code: 'TWINLOG_UNSUPPORTED', subject })
      expect(server.seen).toHaveLength(0)
    }
  )

  it('is named by its addresses', () => {
    const { registry } = client({ url: ['http://alice:hunter2@a:1/x/', 'http://b:2'] })
    expect(registry.name).toBe('http://a:1/x, http://b:2')
  })

  it('asks the next address when one does not answer, and goes on with the one that did', async () => {
    const server = await stub()
    const { registry, logger } = client({ url: [await deadUrl(), server.url] })
    await registry.contexts()
    expect(registry.requests).toBe(2)
    await registry.contexts()
    expect(registry.requests).toBe(3)
    expect(logger.lines.filter(line => line.level === 'warn')).toHaveLength(1)
  })

  it.each([429, 500, 502, 503, 504])('asks the next address after a %d', async status => {
    const [bad, good] = [await stub(() => ({ status, raw: '<h1>no</h1>' })), await stub()]
    const { registry } = client({ url: [bad.url, good.url], retries: 0 })
    expect(await registry.contexts()).toEqual([])
    expect([bad.seen.length, good.seen.length]).toEqual([1, 1])
  })

  it('does not ask elsewhere what an address has refused', async () => {
    const [first, second] = [await stub(() => refusal(422, 42201)), await stub()]
    const { registry } = client({ url: [first.url, second.url] })
    const error = await errorOf(registry.register('s', schema))
    expect(error).toMatchObject({ code: 'TWINLOG_SCHEMA_REGISTRY', httpStatus: 422, registryCode: 42201, subject: 's' })
    expect(error.retriable).toBe(false)
    expect([first.seen.length, second.seen.length]).toEqual([1, 0])
  })

  it('names every address when none answers', async () => {
    const urls = [await deadUrl(), await deadUrl()]
    const { registry } = client({ url: urls, retries: 1 })
    const error = await errorOf(registry.subjects())
    expect(error).toMatchObject({ code: 'TWINLOG_UNREACHABLE', retriable: true })
    for (const url of urls) expect(error.message).toContain(url)
    expect(error.message).toContain('ECONNREFUSED')
    expect(registry.requests).toBe(4)
  })

  it('tells the answer rather than the silence when one address answers badly and another not at all', async () => {
    const bad = await stub(() => refusal(500, 50001))
    const { registry } = client({ url: [await deadUrl(), bad.url], retries: 0 })
    const error = await errorOf(registry.subjects())
    expect(error).toMatchObject({
      code: 'TWINLOG_SCHEMA_REGISTRY',
      httpStatus: 500,
      registryCode: 50001,
      retriable: true
    })
  })
})

describe('attempts', () => {
  it.each([
    ['50001', () => refusal(500, 50001)],
    ['50002', () => refusal(500, 50002)],
    ['50003', () => refusal(500, 50003)],
    ['50004', () => refusal(500, 50004)],
    ['429', () => ({ status: 429, raw: 'slow down' })],
    ['a closed connection', () => ({ drop: true as const })]
  ])('tries again after %s', async (_what, bad) => {
    const server = await stub((_request, index) => (index === 0 ? bad() : { json: ['s'] }))
    const { registry } = client({ url: server.url })
    expect(await registry.subjects()).toEqual(['s'])
    expect(registry.requests).toBe(2)
  })

  it.each([400, 401, 403, 404, 405, 408, 409, 413, 422, 501])('does not try again after a %d', async status => {
    const server = await stub(() => ({ status, json: { error_code: status, message: 'no' } }))
    const { registry } = client({ url: server.url })
    const error = await errorOf(registry.register('s', schema))
    expect(error.retriable).toBe(false)
    expect(error.httpStatus).toBe(status)
    expect(server.seen).toHaveLength(1)
  })

  it('gives up after the attempts it was given, retriable', async () => {
    const server = await stub(() => refusal(503, 50004, 'leader not known'))
    const { registry } = client({ url: server.url, retries: 2 })
    const error = await errorOf(registry.subjects())
    expect(error).toMatchObject({
      code: 'TWINLOG_SCHEMA_REGISTRY',
      httpStatus: 503,
      registryCode: 50004,
      retriable: true
    })
    expect(error.message).toContain('leader not known')
    expect(server.seen).toHaveLength(3)
  })

  it('waits as long as Retry-After says', async () => {
    const server = await stub((_request, index) =>
      index === 0 ? { status: 429, headers: { 'retry-after': '1' } } : { json: [] }
    )
    const begun = performance.now()
    await client({ url: server.url }).registry.contexts()
    expect(performance.now() - begun).toBeGreaterThan(990)
  })

  it('leaves an address alone that asked for a pause while another one answers', async () => {
    const busy = await stub(() => ({ status: 429, headers: { 'retry-after': '20' } }))
    const good = await stub((_request, index) => (index === 0 ? refusal(500, 50002) : { json: [] }))
    const { registry } = client({ url: [busy.url, good.url] })
    await registry.contexts()
    expect([busy.seen.length, good.seen.length]).toEqual([1, 2])
  })

  it('does not wait longer than is sensible, and not at all for what cannot be read', () => {
    const now = Date.parse('2026-01-01T00:00:00Z')
    expect(retryAfterMs('3', now)).toBe(3_000)
    expect(retryAfterMs('86400', now)).toBe(30_000)
    expect(retryAfterMs('Thu, 01 Jan 2026 00:00:05 GMT', now)).toBe(5_000)
    expect(retryAfterMs('Wed, 31 Dec 2025 00:00:00 GMT', now)).toBe(0)
    for (const text of [null, '', 'soon', '-1']) expect(retryAfterMs(text, now)).toBe(0)
  })

  it('repeats a registration whose answer was lost', async () => {
    const server = await stub((_request, index) => (index === 0 ? { drop: true } : { json: { id: 7 } }))
    const { registry } = client({ url: server.url })
    expect(await registry.register('s', schema)).toEqual({ id: 7 })
    expect(server.seen.map(request => request.body)).toEqual([{ schema: schema.schema }, { schema: schema.schema }])
  })

  it.each([
    ['soft', 40404, false],
    ['soft', 40401, false],
    ['permanent', 40401, true]
  ])(
    'counts a %s delete of a subject as done that finds %d after its answer was lost',
    async (_kind, code, permanent) => {
      const server = await stub((_request, index) => (index === 0 ? { drop: true } : refusal(404, code)))
      await client({ url: server.url }).registry.deleteSubject('s', { permanent })
      expect(server.seen).toHaveLength(2)
    }
  )
})

describe('time', () => {
  it('does not wait for an answer longer than it may', async () => {
    const server = await stub(() => ({ hang: true }))
    const { registry } = client({ url: server.url, timeoutMs: 60, retries: 1 })
    const error = await errorOf(registry.subjects())
    expect(error).toMatchObject({ code: 'TWINLOG_UNREACHABLE', retriable: true })
    expect(error.message).toContain('no answer within 60 ms')
    expect(registry.requests).toBe(2)
  })

  it('counts a body that never ends as no answer', async () => {
    const endless = async () => new Response(new ReadableStream({ pull: () => new Promise(() => {}) }))
    const hanging: typeof fetch = async (_url, init) => {
      const response = await endless()
      const body = new ReadableStream({
        start(controller) {
          init?.signal?.addEventListener('abort', () => controller.error(init.signal?.reason))
        }
      })
      await response.body?.cancel()
      return new Response(body)
    }
    const { registry } = client({ url: 'http://a', fetch: hanging, timeoutMs: 30, retries: 0 })
    expect(await errorOf(registry.subjects())).toMatchObject({ code: 'TWINLOG_UNREACHABLE' })
  })

  it('asks nothing when the signal has aborted before', async () => {
    const server = await stub()
    const { registry } = client({ url: server.url })
    const error = await errorOf(registry.subjects({ signal: AbortSignal.abort() }))
    expect(error).toMatchObject({ code: 'TWINLOG_ABORTED', retriable: false })
    expect(registry.requests).toBe(0)
  })

  it('ends at once when the caller aborts while an answer is awaited', async () => {
    const server = await stub(() => ({ hang: true }))
    for (const retries of [0, 4]) {
      const { registry } = client({ url: server.url, retries })
      const controller = new AbortController()
      setTimeout(() => controller.abort(), 30)
      expect((await errorOf(registry.subjects({ signal: controller.signal }))).code).toBe('TWINLOG_ABORTED')
      expect(registry.requests).toBe(1)
    }
  })

  it('ends at once when the caller aborts between two attempts, and while a Retry-After is waited for', async () => {
    for (const headers of [{}, { 'retry-after': '20' }]) {
      const server = await stub(() => ({ status: 503, headers }))
      const { registry } = client({ url: server.url })
      const controller = new AbortController()
      setTimeout(() => controller.abort(), 60)
      expect((await errorOf(registry.subjects({ signal: controller.signal }))).code).toBe('TWINLOG_ABORTED')
    }
  })

  it('leaves no listener on the signal of the caller', async () => {
    const server = await stub()
    const { registry } = client({ url: server.url })
    const { signal } = new AbortController()
    let listeners = 0
    const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)]
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      listeners++
      add(...args)
    }
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      listeners--
      remove(...args)
    }
    await registry.contexts({ signal })
    expect(listeners).toBe(0)
  })
})

describe('what is sent along', () => {
  it('asks for JSON of both media types, and sends the registry one', async () => {
    const server = await stub(() => ({ json: { id: 1 } }))
    const { registry } = client({ url: server.url })
    await registry.register('s', schema)
    expect(server.seen[0]?.headers).toMatchObject({
      accept: 'application/vnd.schemaregistry.v1+json, application/json',
      'content-type': 'application/vnd.schemaregistry.v1+json'
    })
  })

  it('sends basic auth, in UTF-8', async () => {
    const server = await stub()
    await client({ url: server.url, auth: { username: 'jürgen', password: 'pä:ss' } }).registry.contexts()
    expect(server.seen[0]?.headers.authorization).toBe(`Basic ${Buffer.from('jürgen:pä:ss').toString('base64')}`)
  })

  it('sends the credentials of its URL as basic auth', async () => {
    const server = await stub()
    await client({ url: server.url.replace('//', '//alice:s%40cret@') }).registry.contexts()
    expect(server.seen[0]?.headers.authorization).toBe(`Basic ${Buffer.from('alice:s@cret').toString('base64')}`)
  })

  it('sends a token', async () => {
    const server = await stub()
    await client({ url: server.url, auth: { token: 'abc.def' } }).registry.contexts()
    expect(server.seen[0]?.headers.authorization).toBe('Bearer abc.def')
  })

  it('sends the extra headers with every request', async () => {
    const server = await stub()
    await client({ url: server.url, headers: { 'X-Tenant': 'one', 'target-sr-cluster': 'lsrc-1' } }).registry.contexts()
    expect(server.seen[0]?.headers).toMatchObject({ 'x-tenant': 'one', 'target-sr-cluster': 'lsrc-1' })
  })

  it('hands the dispatcher to the fetch that it was given', async () => {
    const dispatcher = { dispatch: () => true }
    const inits: unknown[] = []
    const own: typeof fetch = async (_url, init) => {
      inits.push(init)
      return Response.json([])
    }
    await client({ url: 'https://registry.test/x', fetch: own, dispatcher }).registry.contexts()
    expect(inits).toEqual([expect.objectContaining({ dispatcher, method: 'GET', redirect: 'manual' })])
  })

  it('leaves the dispatcher out where there is none', async () => {
    let init: RequestInit | undefined
    const own: typeof fetch = async (_url, given) => {
      init = given
      return Response.json([])
    }
    await client({ url: 'https://registry.test', fetch: own }).registry.contexts()
    expect(init).not.toHaveProperty('dispatcher')
  })
})

describe('redirects', () => {
  const to = (location: string, status = 307) => ({ status, headers: { location } })

  it('follows within an origin, with the credentials', async () => {
    const server = await stub(request => (request.url === '/contexts' ? to('/v2/contexts', 302) : { json: ['.'] }))
    const { registry } = client({ url: server.url, auth: { token: 'abc' } })
    expect(await registry.contexts()).toEqual(['.'])
    expect(server.seen[1]?.headers.authorization).toBe('Bearer abc')
    expect(registry.requests).toBe(2)
  })

  it('sends neither credentials nor headers to another origin', async () => {
    const other = await stub(() => ({ json: ['.'] }))
    const server = await stub(request => to(`${other.url.replace('//', '//x:y@')}${request.url}`))
    const auth = { username: 'alice', password: 'hunter2' }
    const { registry } = client({ url: server.url, auth, headers: { 'x-api-key': 'k3y' } })
    expect(await registry.contexts()).toEqual(['.'])
    expect(other.seen[0]?.headers).not.toHaveProperty('authorization')
    expect(other.seen[0]?.headers).not.toHaveProperty('x-api-key')
    expect(other.seen[0]?.headers.accept).toContain('json')
  })

  it('says what to do when another origin wants credentials', async () => {
    const other = await stub(() => ({ status: 401 }))
    const server = await stub(request => to(`${other.url}${request.url}`))
    const error = await errorOf(client({ url: server.url, auth: { token: 'abc' } }).registry.contexts())
    expect(error.code).toBe('TWINLOG_UNAUTHORIZED')
    expect(error.message).toContain(`redirected to ${other.url}`)
  })

  it('keeps method and body of a write on 307', async () => {
    const server = await stub(request =>
      request.url.startsWith('/v2') ? { json: { id: 3 } } : to(`/v2${request.url}`)
    )
    expect(await client({ url: server.url }).registry.register('s', schema)).toEqual({ id: 3 })
    expect(server.seen[1]).toMatchObject({ method: 'POST', body: { schema: schema.schema } })
  })

  it.each([301, 302, 303])('does not turn a write into a read on %d', async status => {
    const server = await stub(() => to('/elsewhere', status))
    const error = await errorOf(client({ url: server.url }).registry.register('s', schema))
    expect(error).toMatchObject({ code: 'TWINLOG_SCHEMA_REGISTRY', httpStatus: status })
    expect(server.seen).toHaveLength(1)
  })

  it('does not go round in circles', async () => {
    const server = await stub(request => to(request.url))
    const error = await errorOf(client({ url: server.url }).registry.contexts())
    expect(error.message).toContain('too many')
    expect(server.seen).toHaveLength(6)
  })

  it('does not follow from https to http, nor to another protocol', async () => {
    for (const location of ['http://registry.test/contexts', 'file:///etc/passwd']) {
      const own: typeof fetch = async () => new Response(null, { status: 302, headers: { location } })
      const { registry } = client({ url: 'https://registry.test', fetch: own })
      expect(await errorOf(registry.contexts())).toMatchObject({ code: 'TWINLOG_SCHEMA_REGISTRY', httpStatus: 302 })
      expect(registry.requests).toBe(1)
    }
  })
})

describe('bodies', () => {
  it('says of a page of a proxy what it is', async () => {
    const server = await stub(() => ({ raw: `<html>\n<title>Sign   in</title>${'x'.repeat(10_000)}` }))
    const error = await errorOf(client({ url: server.url }).registry.subjects())
    expect(error).toMatchObject({ code: 'TWINLOG_SCHEMA_REGISTRY', httpStatus: 200, retriable: false })
    expect(error.message).toContain('<html> <title>Sign in</title>')
    expect(error.message.length).toBeLessThan(600)
  })

  it('says of a page with an error status what it is', async () => {
    const server = await stub(() => ({ status: 400, raw: '<html>Bad Request</html>' }))
    const error = await errorOf(client({ url: server.url }).registry.subjects())
    expect(error).toMatchObject({ code: 'TWINLOG_SCHEMA_REGISTRY', httpStatus: 400 })
    expect(error.message).toContain('<html>Bad Request</html>')
  })

  it('reads JSON of any media type, with a byte order mark too', async () => {
    const server = await stub(() => ({ raw: '\uFEFF["s"]' }))
    expect(await client({ url: server.url }).registry.subjects()).toEqual(['s'])
  })

  it('takes an empty body for an answer where nothing is expected', async () => {
    const server = await stub(() => ({ status: 204 }))
    await client({ url: server.url }).registry.deleteSubject('s')
    await client({ url: server.url }).registry.putMode('s', 'IMPORT')
  })

  it('says so where something is expected', async () => {
    const server = await stub(() => ({ status: 200 }))
    const error = await errorOf(client({ url: server.url }).registry.subjects())
    expect(error.message).toContain('an empty body')
  })

  it('refuses a body that is too long, announced or not, and keeps none of it', async () => {
    const server = await stub(() => ({ json: 'x'.repeat(5_000) }))
    const { registry } = client({ url: server.url }, { maxResponseBytes: 4_000 })
    const error = await errorOf(registry.subjects())
    expect(error).toMatchObject({ code: 'TWINLOG_SCHEMA_REGISTRY', httpStatus: 200, retriable: false })
    expect(error.message).toContain('64 MiB')
  })

  it('stops reading at 64 MiB', async () => {
    let sent = 0
    const chunk = new Uint8Array(1024 * 1024).fill(32)
    const endless: typeof fetch = async () =>
      new Response(
        new ReadableStream({
          pull(controller) {
            sent++
            controller.enqueue(chunk)
          }
        })
      )
    const { registry } = client({ url: 'http://a', fetch: endless })
    expect((await errorOf(registry.subjects())).message).toContain('64 MiB')
    expect(sent).toBeLessThan(70)
  })

  it('shortens what a registry has to say', async () => {
    const server = await stub(() => refusal(409, 409, `incompatible ${'field '.repeat(5_000)}`))
    const error = await errorOf(client({ url: server.url }).registry.register('s', schema))
    expect(error).toMatchObject({ code: 'TWINLOG_SCHEMA_REGISTRY', httpStatus: 409, registryCode: 409, subject: 's' })
    expect(error.message.length).toBeLessThan(1_500)
  })

  it('reads an error whose body has another shape', async () => {
    for (const json of [null, [], 'no', { error_code: '40401', message: {} }, { error_code: 0 }]) {
      const server = await stub(() => ({ status: 422, json }))
      const error = await errorOf(client({ url: server.url }).registry.subjects())
      expect(error.httpStatus).toBe(422)
      expect(error.registryCode).toBeUndefined()
    }
  })
})

describe('refused credentials', () => {
  it.each([401, 403])('are TWINLOG_UNAUTHORIZED on %d, with an empty body too', async status => {
    const server = await stub(() => ({ status, headers: { 'www-authenticate': 'basic' } }))
    const error = await errorOf(client({ url: server.url }).registry.subjects())
    expect(error).toMatchObject({ code: 'TWINLOG_UNAUTHORIZED', httpStatus: status, retriable: false })
    expect(error.message).toContain('check auth')
  })

  it('keep the code of the registry', async () => {
    const server = await stub(() => refusal(403, 40301, 'User is denied operation Write on Subject: s'))
    const error = await errorOf(client({ url: server.url }).registry.register('s', schema))
    expect(error).toMatchObject({ code: 'TWINLOG_UNAUTHORIZED', registryCode: 40301, subject: 's' })
    expect(error.message).toContain('denied operation')
  })
})

const schema = { schemaType: 'AVRO', schema: '"string"', references: [] }
