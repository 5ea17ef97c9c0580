import { performance } from 'node:perf_hooks'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FailoverSchemaRegistry } from '../../../src/failover/schema-registry.js'
import type { RegistryConfig } from '../../../src/util/registry-config.js'
import { type FakeRegistry, startFakeRegistry } from '../../support/registry/fake.js'
import { avro, failureOf, flight, prefixed, put, Service } from './registry-service.js'

describe('requests of FailoverSchemaRegistry', () => {
  let east: FakeRegistry
  let west: FakeRegistry

  beforeEach(async () => {
    ;[east, west] = await Promise.all([startFakeRegistry(), startFakeRegistry()])
  })

  afterEach(async () => {
    await Promise.all([east.close(), west.close()])
  })

  const both = (over: Partial<RegistryConfig> = {}) =>
    new Service(
      { alias: 'east', schemaRegistry: { url: east.url, retries: 0, ...over } },
      { alias: 'west', schemaRegistry: { url: west.url, retries: 0, ...over } }
    )

  it('asks again where an answer does not come or says "later"', async () => {
    await put(east.url, 'a', { schema: flight.schema })
    const registry = new FailoverSchemaRegistry(both({ retries: 3 }))
    let asked = 0
    east.inject(() => [{ status: 503 }, 'drop-before' as const, undefined][asked++])
    expect({ ...(await registry.decode<object>(prefixed(1, '\x06AA1'))) }).toEqual({ id: 'AA1' })
    expect(asked).toBe(3)
  })

  it('takes the next address when one does not answer', async () => {
    await put(west.url, 'a', { schema: flight.schema })
    const service = new Service({
      alias: 'west',
      schemaRegistry: { url: ['http://127.0.0.1:9', west.url], retries: 0 }
    })
    expect(await new FailoverSchemaRegistry(service).getLatestSchemaId('a')).toBe(1)
  })

  it('says that no address answers, without the credentials in it', async () => {
    const service = new Service({ alias: 'west', schemaRegistry: { url: 'http://ann:s3cret@127.0.0.1:9', retries: 0 } })
    const error = await failureOf(new FailoverSchemaRegistry(service).getSchema(3))
    expect(error).toMatchObject({ code: 'TWINLOG_UNREACHABLE', cluster: 'west', retriable: true, schemaId: 3 })
    expect(error.message).toContain('127.0.0.1:9')
    expect(JSON.stringify(error) + String(error)).not.toMatch(/s3cret|ann:/)
  })

  it('sends credentials, headers and the dispatcher of the configuration along', async () => {
    const seen: (RequestInit & { dispatcher?: unknown })[] = []
    const dispatcher = {}
    const watched: typeof fetch = (url, init) => {
      seen.push(init ?? {})
      const { dispatcher: _own, ...rest } = (init ?? {}) as RequestInit & { dispatcher?: unknown }
      return fetch(url, rest)
    }
    const service = both({ fetch: watched, dispatcher, auth: { token: 't0ken' }, headers: { 'x-team': 'blue' } })
    await new FailoverSchemaRegistry(service).register(flight, { subject: 'a' })
    // The level of the subject, the schema, the level again.
    expect(seen.map(init => init.method)).toEqual(['GET', 'POST', 'PUT'])
    for (const init of seen) {
      expect(new Headers(init.headers).get('authorization')).toBe('Bearer t0ken')
      expect(new Headers(init.headers).get('x-team')).toBe('blue')
      expect(init.dispatcher).toBe(dispatcher)
    }
  })

  it('is told when credentials are wrong', async () => {
    const closed = await startFakeRegistry({ auth: { username: 'ann', password: 'right' } })
    try {
      const auth = { username: 'ann', password: 'wr0ng' }
      const service = new Service({ alias: 'east', schemaRegistry: { url: closed.url, auth } })
      const error = await failureOf(new FailoverSchemaRegistry(service).decode(prefixed(1)))
      expect(error).toMatchObject({ code: 'TWINLOG_UNAUTHORIZED', cluster: 'east', httpStatus: 401, retriable: false })
      expect(error.message).not.toContain('wr0ng')
    } finally {
      await closed.close()
    }
  })

  it('stays in its context: subjects, ids and references', async () => {
    await put(east.url, 'a', { schema: avro('Stranger', 'x') })
    const service = both({ context: '.dr' })
    const registry = new FailoverSchemaRegistry(service)
    const city = await put(east.url, ':.dr:city', { schema: avro('City', 'name') })
    const schema = JSON.stringify({
      type: 'record',
      name: 'Trip',
      namespace: 'test',
      fields: [{ name: 'to', type: 'test.City' }]
    })
    const references = [{ name: 'test.City', subject: 'city', version: 1 }]
    const { id } = await registry.register({ type: 'AVRO' as never, schema, references }, { subject: 'a' })
    expect([city, id]).toEqual([1, 2])
    const buffer = await registry.encode(id, { to: { name: 'Oslo' } })
    // Another instance has nothing cached.
    const decoded = await new FailoverSchemaRegistry(service).decode<{ to: { name: string } }>(buffer)
    expect(decoded.to.name).toBe('Oslo')
    expect(await registry.getLatestSchemaId('a')).toBe(2)
    expect(await registry.getRegistryId('a', 1)).toBe(2)
    expect(await registry.getRegistryIdBySchema('a', { type: 'AVRO' as never, schema, references })).toBe(2)
    expect(await failureOf(new FailoverSchemaRegistry(both({ context: '.none' })).decode(buffer))).toMatchObject({
      schemaId: id
    })
  })

  it('names the subject that is not there', async () => {
    const registry = new FailoverSchemaRegistry(both())
    await registry.register(flight, { subject: 'a' })
    for (const call of [
      registry.getLatestSchemaId('none'),
      registry.getRegistryId('none', 3),
      registry.getRegistryIdBySchema('none', flight)
    ]) {
      const error = await failureOf(call)
      expect(error).toMatchObject({
        code: 'TWINLOG_SCHEMA_REGISTRY',
        subject: 'none',
        httpStatus: 404,
        cluster: 'east'
      })
      expect(error.message).toContain('"none"')
    }
    expect(await failureOf(registry.getRegistryId('a', 3))).toMatchObject({ subject: 'a', httpStatus: 404 })
    const other = { type: 'AVRO' as never, schema: avro('Other', 'x') }
    expect(await failureOf(registry.getRegistryIdBySchema('a', other))).toMatchObject({ subject: 'a', httpStatus: 404 })
  })

  it('tells what the registry says about a schema that does not fit', async () => {
    const registry = new FailoverSchemaRegistry(both())
    await registry.register(flight, { subject: 'a' })
    const wider = { type: 'AVRO' as never, schema: avro('Flight', 'id', 'gate') }
    const error = await failureOf(registry.register(wider, { subject: 'a' }))
    expect(error).toMatchObject({
      code: 'TWINLOG_SCHEMA_REGISTRY',
      httpStatus: 409,
      subject: 'a',
      cluster: 'east',
      retriable: false
    })
  })

  it('reads JSON Schema and Protobuf too, with what they refer to, even where that was deleted softly', async () => {
    const registry = new FailoverSchemaRegistry(both())
    const city = { $id: 'city.json', type: 'object', properties: { name: { type: 'string' } }, required: ['name'] }
    const trip = { type: 'object', properties: { to: { $ref: 'city.json' } }, required: ['to'] }
    await put(east.url, 'city-json', { schemaType: 'JSON', schema: JSON.stringify(city) })
    await put(east.url, 'city-proto', {
      schemaType: 'PROTOBUF',
      schema: 'syntax = "proto3";\npackage test;\nmessage City { string name = 1; }'
    })
    const json = await registry.register(
      {
        type: 'JSON' as never,
        schema: JSON.stringify(trip),
        references: [{ name: 'city.json', subject: 'city-json', version: 1 }]
      },
      { subject: 'trip-json' }
    )
    const proto = await registry.register(
      {
        type: 'PROTOBUF' as never,
        schema: 'syntax = "proto3";\npackage test;\nimport "city.proto";\nmessage Trip { City to = 1; }',
        references: [{ name: 'city.proto', subject: 'city-proto', version: 1 }]
      },
      { subject: 'trip-proto' }
    )
    const encoded = [
      await registry.encode(json.id, { to: { name: 'Oslo' } }),
      await registry.encode(proto.id, { to: { name: 'Oslo' } })
    ]
    for (const subject of ['trip-json', 'trip-proto', 'city-json', 'city-proto']) {
      expect((await fetch(`${east.url}/subjects/${subject}`, { method: 'DELETE' })).status).toBe(200)
    }
    for (const buffer of encoded) {
      const decoded = await new FailoverSchemaRegistry(both()).decode<{ to: { name: string } }>(buffer)
      expect(decoded.to.name).toBe('Oslo')
    }
    expect(await failureOf(registry.encode(json.id, { to: 7 }))).toMatchObject({
      code: 'TWINLOG_SCHEMA_REGISTRY',
      retriable: false
    })
  })

  it('shows a payload that does not fit, and bytes that hold no id, as a TwinlogError', async () => {
    const registry = new FailoverSchemaRegistry(both())
    const { id } = await registry.register(flight, { subject: 'a' })
    expect(await failureOf(registry.encode(id, { id: 5 }))).toMatchObject({
      code: 'TWINLOG_SCHEMA_REGISTRY',
      retriable: false
    })
    for (const bytes of [Buffer.from('plain text'), Buffer.from([0, 1]), Buffer.alloc(0), null as unknown as Buffer]) {
      const error = await failureOf(registry.decode(bytes))
      expect(error).toMatchObject({ code: 'TWINLOG_SCHEMA_REGISTRY', retriable: false })
      expect(error.schemaId).toBeUndefined()
    }
  })

  it('ends a call when its caller gives it up', async () => {
    east.inject(() => ({ delayMs: 5_000 }))
    const begun = performance.now()
    const error = await failureOf(
      new FailoverSchemaRegistry(both()).decode(prefixed(1), { signal: AbortSignal.timeout(50) })
    )
    expect(error.code).toBe('TWINLOG_ABORTED')
    expect(performance.now() - begun).toBeLessThan(2_000)
  })

  it('says that a cluster has no registry', async () => {
    const registry = new FailoverSchemaRegistry(new Service({ alias: 'south' }))
    expect(await failureOf(registry.encode(1, {}))).toMatchObject({ code: 'TWINLOG_SCHEMA_REGISTRY', cluster: 'south' })
  })
})
