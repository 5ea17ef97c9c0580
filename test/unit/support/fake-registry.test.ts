import { afterEach, describe, expect, it } from 'vitest'
import { type FakeRegistry, type FakeRegistryOptions, startFakeRegistry } from '../../support/registry/fake.js'
import { RegistryRoutes } from '../../support/registry/fake/registry-routes.js'

// How the fake is used. What it answers is the conformance table's business (test/integration/registry-conformance.test.ts).

const open: FakeRegistry[] = []
afterEach(async () => {
  for (const registry of open.splice(0)) await registry.close()
})

async function start(o?: FakeRegistryOptions): Promise<FakeRegistry> {
  const registry = await startFakeRegistry(o)
  open.push(registry)
  return registry
}

function register(registry: FakeRegistry, subject: string, schema = '"string"', extra: object = {}): Promise<Response> {
  return put(registry, 'POST', `/subjects/${encodeURIComponent(subject)}/versions`, { schema, ...extra })
}

function put(registry: FakeRegistry, method: string, path: string, body: object): Promise<Response> {
  const headers = { 'content-type': 'application/json' }
  return fetch(registry.url + path, { method, headers, body: JSON.stringify(body) })
}

describe('the fake registry', () => {
  it('is empty at the start and gone at the end', async () => {
    const registry = await start()
    expect(await (await fetch(`${registry.url}/subjects`)).json()).toEqual([])
    await registry.close()
    await expect(fetch(`${registry.url}/subjects`)).rejects.toThrow()
  })

  it('comes back at the same address, with all it held', async () => {
    const registry = await start()
    const { url } = registry
    await register(registry, 's')
    await registry.close()
    await registry.listen()
    expect(registry.url).toBe(url)
    expect(await (await fetch(`${url}/subjects`)).json()).toEqual(['s'])
  })

  it('answers below its path prefix only', async () => {
    const registry = await start({ pathPrefix: '/a/b/' })
    expect(registry.url).toMatch(/\/a\/b$/)
    expect((await fetch(`${registry.url}/subjects`)).status).toBe(200)
    expect((await fetch(`${new URL(registry.url).origin}/subjects`)).status).toBe(404)
  })

  it('asks for credentials where it has some', async () => {
    const registry = await start({ auth: { username: 'alice', password: 's3cret' } })
    const refused = await fetch(`${registry.url}/subjects`)
    expect(refused.status).toBe(401)
    expect(await refused.json()).toMatchObject({ error_code: 401 })
    const authorization = `Basic ${Buffer.from('alice:s3cret').toString('base64')}`
    expect((await fetch(`${registry.url}/subjects`, { headers: { authorization } })).status).toBe(200)
  })

  it('has no GET /schemas with bulk: false, but ids', async () => {
    const registry = await start({ bulk: false })
    await register(registry, 's')
    expect((await fetch(`${registry.url}/schemas`)).status).toBe(404)
    expect((await fetch(`${registry.url}/schemas/ids/1`)).status).toBe(200)
  })

  it('counts and lists requests until it is told to forget', async () => {
    const registry = await start({ pathPrefix: '/p' })
    await register(registry, 's')
    await fetch(`${registry.url}/subjects?deleted=true`)
    expect(registry.requests.count).toBe(2)
    expect(registry.requests.list).toEqual([
      { method: 'POST', path: '/subjects/s/versions' },
      { method: 'GET', path: '/subjects?deleted=true' }
    ])
    registry.requests.reset()
    expect(registry.requests.count).toBe(0)
  })

  it('answers what a test injects, without doing anything', async () => {
    const registry = await start()
    registry.inject(() => ({
      status: 429,
      body: { error_code: 429, message: 'slower' },
      headers: { 'retry-after': '1' }
    }))
    const answer = await register(registry, 's')
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([429, '1'])
    registry.inject()
    expect(await (await fetch(`${registry.url}/subjects`)).json()).toEqual([])
  })

  it('tells the injecting test what is asked, with its number', async () => {
    const registry = await start()
    const seen: unknown[] = []
    registry.inject(request => void seen.push(request))
    await fetch(`${registry.url}/subjects`)
    await put(registry, 'PUT', '/config', { compatibility: 'FULL' })
    registry.requests.reset()
    await fetch(`${registry.url}/mode`)
    expect(seen).toEqual([
      { method: 'GET', path: '/subjects', body: '', index: 0 },
      { method: 'PUT', path: '/config', body: '{"compatibility":"FULL"}', index: 1 },
      { method: 'GET', path: '/mode', body: '', index: 0 }
    ])
  })

  it('cuts the connection before the work, or after it', async () => {
    const registry = await start()
    registry.inject(({ path }) => (path.includes('before') ? 'drop-before' : 'drop-after'))
    await expect(register(registry, 'before')).rejects.toThrow()
    await expect(register(registry, 'after')).rejects.toThrow()
    expect(Object.keys(registry.dump()['.']?.subjects ?? {})).toEqual(['after'])
    registry.inject()
    expect((await register(registry, 'again')).status).toBe(200)
  })

  it('waits before the work when it is told to', async () => {
    const registry = await start()
    registry.inject(() => ({ delayMs: 60_000 }))
    await expect(fetch(`${registry.url}/subjects`, { signal: AbortSignal.timeout(50) })).rejects.toThrow()
    registry.inject(() => ({ delayMs: 1 }))
    expect((await fetch(`${registry.url}/subjects`)).status).toBe(200)
  })

  it('dumps everything, by context', async () => {
    const registry = await start()
    await register(registry, 'dep', '{"type":"record","name":"Dep","fields":[]}')
    const references = [{ name: 'Dep', subject: 'dep', version: 1 }]
    await register(registry, 'holder', '{"type":"array","items":"Dep"}', { references })
    await put(registry, 'PUT', '/config/dep', { compatibility: 'FULL' })
    await put(registry, 'PUT', '/config', { normalize: true })
    await put(registry, 'PUT', '/mode/:.dr:', { mode: 'IMPORT' })
    await register(registry, ':.dr:s', '"int"', { id: 7, version: 3 })
    await fetch(`${registry.url}/subjects/:.dr:s`, { method: 'DELETE' })
    const common = { deleted: false, references: [], schemaType: 'AVRO' }
    expect(registry.dump()).toEqual({
      '.': {
        config: { normalize: true },
        subjects: {
          dep: {
            config: { compatibilityLevel: 'FULL' },
            versions: { 1: { ...common, id: 1, schema: '{"type":"record","name":"Dep","fields":[]}' } }
          },
          holder: { versions: { 1: { ...common, id: 2, references, schema: '{"type":"array","items":"Dep"}' } } }
        }
      },
      '.dr': {
        mode: 'IMPORT',
        subjects: { s: { versions: { 3: { ...common, deleted: true, id: 7, schema: '"int"' } } } }
      }
    })
  })

  it('dumps the same, however it came to be', async () => {
    const [a, b] = [await start(), await start()]
    for (const [registry, subjects] of [[a, ['x', 'y']] as const, [b, ['y', 'x']] as const]) {
      await put(registry, 'PUT', '/mode', { mode: 'IMPORT' })
      for (const subject of subjects) await register(registry, subject, '"int"', { id: 1, version: 1 })
      await put(registry, 'PUT', '/mode', { mode: 'READWRITE' })
    }
    expect(JSON.stringify(a.dump())).toBe(JSON.stringify(b.dump()))
    await register(b, 'z')
    expect(a.dump()).not.toEqual(b.dump())
  })

  it('lists 1,000 versions a request, 20,000 subjects', () => {
    const routes = new RegistryRoutes({ bulk: true, ruleSets: true })
    const ask = (path: string, query = '', body?: object): unknown =>
      routes.answer(
        body === undefined ? 'GET' : 'POST',
        path,
        new URLSearchParams(query),
        body === undefined ? '' : JSON.stringify(body)
      )
    for (let n = 0; n < 1500; n++) ask(`/subjects/s${n}/versions`, '', { schema: '"string"' })
    expect(ask('/schemas')).toHaveLength(1000)
    expect(ask('/schemas', 'offset=1000')).toHaveLength(500)
    expect(ask('/schemas', 'limit=5000')).toHaveLength(1000)
    expect(ask('/subjects')).toHaveLength(1500)
  })

  it('does 6,000 registrations without getting slower', () => {
    const routes = new RegistryRoutes({ bulk: true, ruleSets: true })
    const add = (from: number, to: number): number => {
      const start = process.cpuUsage()
      for (let n = from; n < to; n++) {
        const schema = `{"type":"record","name":"R${n}","fields":[{"name":"a","type":"int"}]}`
        routes.answer('POST', `/subjects/s${n % 2000}/versions`, new URLSearchParams(), JSON.stringify({ schema }))
      }
      return process.cpuUsage(start).user
    }
    routes.answer('PUT', '/config', new URLSearchParams(), '{"compatibility":"NONE"}')
    add(0, 500)
    const early = add(500, 2000)
    add(2000, 4500)
    // Each of them as quick as the first ones; times of a busy machine vary, a square would be far beyond this.
    expect(add(4500, 6000)).toBeLessThan(early * 4 + 200_000)
  })
})
