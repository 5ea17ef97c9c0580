import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { FailoverSchemaRegistry } from '../../../src/failover/schema-registry.js'
import type { RegistryConfig } from '../../../src/util/registry-config.js'
import { type FakeRegistry, startFakeRegistry } from '../../support/registry/fake.js'
import { avro, failureOf, flight, type Member, prefixed, put, Service } from './registry-service.js'

describe('FailoverSchemaRegistry', () => {
  let east: FakeRegistry
  let west: FakeRegistry

  beforeEach(async () => {
    ;[east, west] = await Promise.all([startFakeRegistry(), startFakeRegistry()])
  })

  afterEach(async () => {
    vi.useRealTimers()
    await Promise.all([east.close(), west.close()])
  })

  const both = (over: Partial<RegistryConfig> = {}) =>
    new Service(
      { alias: 'east', schemaRegistry: { url: east.url, retries: 0, ...over } },
      { alias: 'west', schemaRegistry: { url: west.url, retries: 0, ...over } }
    )

  it('registers, encodes and decodes at the registry of the active cluster, and follows a move', async () => {
    const service = both()
    const registry = new FailoverSchemaRegistry(service)
    const { id } = await registry.register(flight, { subject: 'flights-value' })
    const buffer = await registry.encode(id, { id: 'AA1' })
    expect(buffer.readUInt32BE(1)).toBe(id)
    expect({ ...(await registry.decode<object>(buffer)) }).toEqual({ id: 'AA1' })
    expect(await registry.getLatestSchemaId('flights-value')).toBe(id)
    expect(west.requests.count).toBe(0)

    await put(west.url, 'something-else', { schema: avro('Other', 'x') })
    const there = await put(west.url, 'flights-value', { schema: flight.schema })
    service.active = 'west'
    expect(there).not.toBe(id)
    expect(await registry.getLatestSchemaId('flights-value')).toBe(there)
  })

  it('takes no schema of one registry for the same id of another, before and after a move', async () => {
    const ids = [
      await put(east.url, 'a', { schema: avro('Flight', 'id') }),
      await put(west.url, 'a', { schema: avro('Hotel', 'name', 'town') })
    ]
    expect(ids).toEqual([1, 1])
    const service = both()
    const registry = new FailoverSchemaRegistry(service)
    const onEast = await registry.encode(1, { id: 'AA1' })
    service.active = 'west'
    const onWest = await registry.encode(1, { name: 'Ritz', town: 'Paris' })
    expect({ ...(await registry.decode<object>(onWest)) }).toEqual({ name: 'Ritz', town: 'Paris' })
    service.active = 'east'
    expect({ ...(await registry.decode<object>(onEast)) }).toEqual({ id: 'AA1' })
    // Each schema was asked for once.
    expect([east.requests.count, west.requests.count]).toEqual([2, 2])
  })

  it('decodes with the registry of the cluster that the bytes came from when it is told which', async () => {
    await put(east.url, 'a', { schema: avro('Flight', 'id') })
    await put(west.url, 'a', { schema: avro('Hotel', 'name', 'town') })
    const service = both()
    const registry = new FailoverSchemaRegistry(service)
    const buffer = await registry.encode(1, { id: 'AA1' })
    service.active = 'west'
    expect({ ...(await registry.decode<object>(buffer, { cluster: 'east' })) }).toEqual({ id: 'AA1' })
    expect(await failureOf(registry.decode(buffer, { cluster: 'north' }))).toMatchObject({
      code: 'TWINLOG_INVALID_OPTION'
    })
  })

  it('decodes while the service moves, and encodes only behind the move', async () => {
    await put(east.url, 'a', { schema: flight.schema })
    await put(west.url, 'a', { schema: flight.schema })
    const service = both()
    const registry = new FailoverSchemaRegistry(service)
    const buffer = await registry.encode(1, { id: 'AA1' })
    west.requests.reset()
    let arrive = (): void => undefined
    service.moving = new Promise(resolve => {
      arrive = resolve
    })
    // A handler that is waited for before the cluster is left.
    expect({ ...(await registry.decode<object>(buffer)) }).toEqual({ id: 'AA1' })
    const encoding = registry.encode(1, { id: 'AA2' })
    service.active = 'west'
    expect(west.requests.count).toBe(0)
    arrive()
    await encoding
    expect(west.requests.count).toBe(1)
  })

  it('says which id is missing in the registry of which cluster, and what to do', async () => {
    const service = both()
    service.active = 'west'
    const error = await failureOf(new FailoverSchemaRegistry(service).decode(prefixed(4711, 'x')))
    expect(error).toMatchObject({
      code: 'TWINLOG_SCHEMA_REGISTRY',
      cluster: 'west',
      schemaId: 4711,
      httpStatus: 404,
      retriable: false
    })
    for (const part of ['schema id 4711', '"west"', west.url, 'SchemaSync', "ids: 'translate'", 'schemas.topics']) {
      expect(error.message).toContain(part)
    }
  })

  it('asks for a missing id once a second, not for each record, and finds it when it has come', async () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    const registry = new FailoverSchemaRegistry(both())
    const decode = () => registry.decode(prefixed(1, '\x06AA1'))
    await Promise.all(Array.from({ length: 50 }, () => failureOf(decode())))
    for (let record = 0; record < 50; record++) await failureOf(decode())
    expect(east.requests.count).toBe(1)
    // Another id is another question.
    await failureOf(registry.decode(prefixed(2)))
    expect(east.requests.count).toBe(2)

    await put(east.url, 'a', { schema: flight.schema })
    east.requests.reset()
    vi.advanceTimersByTime(999)
    await failureOf(decode())
    expect(east.requests.count).toBe(0)
    vi.advanceTimersByTime(2)
    expect({ ...((await decode()) as object) }).toEqual({ id: 'AA1' })
    expect({ ...((await decode()) as object) }).toEqual({ id: 'AA1' })
    expect(east.requests.count).toBe(1)
  })

  it('does not take a registry that fails for one that lacks the id', async () => {
    await put(east.url, 'a', { schema: flight.schema })
    const registry = new FailoverSchemaRegistry(both())
    east.inject(() => ({ status: 503, body: { error_code: 50003, message: 'not now' } }))
    const error = await failureOf(registry.decode(prefixed(1, '\x06AA1')))
    expect(error).toMatchObject({ retriable: true, cluster: 'east', schemaId: 1, httpStatus: 503 })
    expect(error.message).not.toContain('SchemaSync')
    east.inject()
    expect({ ...(await registry.decode<object>(prefixed(1, '\x06AA1'))) }).toEqual({ id: 'AA1' })
  })

  it('begins anew when a cluster gets another registry', async () => {
    await put(east.url, 'a', { schema: avro('Flight', 'id') })
    await put(west.url, 'a', { schema: avro('Hotel', 'name') })
    const member: Member = { alias: 'east', schemaRegistry: { url: east.url } }
    const registry = new FailoverSchemaRegistry(new Service(member))
    expect({ ...(await registry.decode<object>(prefixed(1, '\x06AA1'))) }).toEqual({ id: 'AA1' })
    member.schemaRegistry = { url: west.url }
    expect({ ...(await registry.decode<object>(prefixed(1, '\x06AA1'))) }).toEqual({ name: 'AA1' })
  })

  it('keeps what it has read when credentials change, and sends the new ones from then on', async () => {
    await put(east.url, 'a', { schema: flight.schema })
    await put(east.url, 'b', { schema: avro('Hotel', 'name') })
    const seen: (string | null)[] = []
    const watched: typeof fetch = (url, init) => {
      seen.push(new Headers(init?.headers).get('authorization'))
      return fetch(url, init)
    }
    let token = 'first'
    // As secrets are given that are replaced while the service runs: a new object each time.
    const member = {
      alias: 'east',
      get schemaRegistry(): RegistryConfig {
        return { url: east.url, auth: { token }, fetch: watched }
      }
    }
    const registry = new FailoverSchemaRegistry(new Service(member))
    for (let record = 0; record < 3; record++) await registry.decode(prefixed(1, '\x06AA1'))
    token = 'second'
    for (let record = 0; record < 3; record++) await registry.decode(prefixed(1, '\x06AA1'))
    expect(seen).toEqual(['Bearer first'])
    await registry.decode(prefixed(2, '\x06AA1'))
    expect(seen).toEqual(['Bearer first', 'Bearer second'])
  })
})
