import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TwinlogError } from '../../../src/errors.js'
import type { ClientHandle } from '../../../src/failover/client-handle.js'
import type { ClusterHandle } from '../../../src/failover/participants.js'
import { FailoverSchemaRegistry } from '../../../src/failover/schema-registry.js'
import type { RegistryConfig } from '../../../src/util/registry-config.js'

const schema = JSON.stringify({
  type: 'record',
  name: 'Flight',
  namespace: 'test',
  fields: [{ name: 'id', type: 'string' }]
})

/** Stands in for the HTTP side of a registry: ids, subjects, nothing of its rules. */
class StubRegistry {
  readonly requests: { method: string; url: string; headers: IncomingMessage['headers'] }[] = []
  readonly #server: Server
  readonly schemas = new Map<number, string>()
  constructor(readonly nextId: number) {
    this.#server = createServer((request, response) => {
      const url = request.url ?? ''
      this.requests.push({ method: request.method ?? '', url, headers: request.headers })
      let body = ''
      request.on('data', chunk => {
        body += String(chunk)
      })
      request.on('end', () => {
        const answer = (status: number, data: object) => {
          response.writeHead(status, { 'content-type': 'application/vnd.schemaregistry.v1+json' })
          response.end(JSON.stringify(data))
        }
        const id = /\/schemas\/ids\/(\d+)$/.exec(url)?.[1]
        if (id !== undefined) {
          const found = this.schemas.get(Number(id))
          return found === undefined
            ? answer(404, { error_code: 40403, message: 'Schema not found' })
            : answer(200, { schema: found })
        }
        if (request.method === 'POST' && url.endsWith('/versions')) {
          this.schemas.set(this.nextId, (JSON.parse(body) as { schema: string }).schema)
          return answer(200, { id: this.nextId })
        }
        if (request.method === 'GET' && url.endsWith('/versions/latest')) return answer(200, { id: this.nextId })
        if (request.method === 'PUT') return answer(200, { compatibility: 'BACKWARD' })
        return answer(404, { error_code: 40401, message: 'not found' })
      })
    })
  }
  async listen(): Promise<string> {
    await new Promise<void>(resolve => this.#server.listen(0, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }
  close(): void {
    this.#server.closeAllConnections()
    this.#server.close()
  }
}

function clientOn(first: ClusterHandle): ClientHandle & { active: ClusterHandle } {
  const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
  const handle = {
    active: first,
    logger: silent,
    cluster: async () => handle.active,
    current: () => handle.active,
    join: () => () => undefined
  }
  return handle
}

function cluster(alias: string, schemaRegistry?: RegistryConfig): ClusterHandle {
  return { alias, config: { alias, brokers: ['127.0.0.1:1'], schemaRegistry }, epoch: 1, originOf: () => undefined }
}

describe('FailoverSchemaRegistry', () => {
  const east = new StubRegistry(7)
  const west = new StubRegistry(12)
  let eastUrl = ''
  let westUrl = ''
  beforeAll(async () => {
    eastUrl = await east.listen()
    westUrl = await west.listen()
  })
  afterAll(() => {
    east.close()
    west.close()
  })

  it('registers, encodes and decodes at the registry of the active cluster, and follows a move', async () => {
    const client = clientOn(
      cluster('east', { url: `${eastUrl}/`, auth: { username: 'u', password: 'p' }, headers: { 'x-a': 'b' } })
    )
    const registry = new FailoverSchemaRegistry(client)
    const { id } = await registry.register({ type: 'AVRO' as never, schema }, { subject: 'flights-value' })
    expect(id).toBe(7)
    const buffer = await registry.encode(id, { id: 'AA1' })
    expect(buffer.readUInt32BE(1)).toBe(7)
    expect({ ...(await registry.decode<object>(buffer)) }).toEqual({ id: 'AA1' })
    expect(east.requests.at(-1)?.headers).toMatchObject({
      authorization: `Basic ${Buffer.from('u:p').toString('base64')}`,
      'x-a': 'b'
    })
    client.active = cluster('west', { url: westUrl, auth: { token: 't0ken' } })
    expect(await registry.getLatestSchemaId('flights-value')).toBe(12)
    expect(west.requests.at(-1)?.headers.authorization).toBe('Bearer t0ken')
  })

  it('says which id is missing in the registry of which cluster', async () => {
    const registry = new FailoverSchemaRegistry(clientOn(cluster('west', { url: westUrl })))
    const encoded = Buffer.concat([Buffer.from([0, 0, 0, 0, 99]), Buffer.from('x')])
    const error = await registry.decode(encoded).catch((e: unknown) => e)
    expect(error).toBeInstanceOf(TwinlogError)
    expect(error).toMatchObject({ code: 'TWINLOG_SCHEMA_REGISTRY', cluster: 'west', retriable: false })
    expect((error as Error).message).toContain('schema id 99')
    expect((error as Error).message).toContain('"west"')
  })

  it('says that a cluster has no registry', async () => {
    const registry = new FailoverSchemaRegistry(clientOn(cluster('south')))
    await expect(registry.encode(1, {})).rejects.toMatchObject({ code: 'TWINLOG_SCHEMA_REGISTRY', cluster: 'south' })
  })

  it('takes the next address when one does not answer, and puts the context in front', async () => {
    const urls = ['http://127.0.0.1:9', westUrl]
    const registry = new FailoverSchemaRegistry(clientOn(cluster('west', { url: urls, context: '.ctx' })))
    expect(await registry.getLatestSchemaId('s')).toBe(12)
    expect(west.requests.at(-1)?.url).toBe('/contexts/.ctx/subjects/s/versions/latest')
  })

  it('shows a payload that does not fit as a TwinlogError', async () => {
    const registry = new FailoverSchemaRegistry(clientOn(cluster('east', { url: eastUrl })))
    east.schemas.set(7, schema)
    await expect(registry.encode(7, { id: 5 })).rejects.toMatchObject({
      code: 'TWINLOG_SCHEMA_REGISTRY',
      retriable: false
    })
  })
})
