import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { startFakeRegistry } from '../support/registry/fake.js'

interface Entry {
  subject: string
  version: number
  id: number
  schemaType?: string
  schema: string
  references?: unknown[]
  guid?: string
}

export interface GuidRegistry {
  readonly url: string
  close(): Promise<void>
}

/**
 * The fake registry, which answers as Confluent's 7.9.0, with what 8.0 has beyond it: a schema's GUID, made from its content alone, in the
 * answer for a version, and `/schemas/guids/…`. How Confluent makes it does not matter here, only that it is the same everywhere.
 */
export async function startGuidRegistry(): Promise<GuidRegistry> {
  const fake = await startFakeRegistry()
  const server = createServer((request, response) => {
    answer(fake.url, request).then(
      ({ status, text }) => {
        response.writeHead(status, { 'content-type': 'application/vnd.schemaregistry.v1+json' })
        response.end(text)
      },
      (error: unknown) => response.writeHead(500).end(JSON.stringify({ error_code: 500, message: String(error) }))
    )
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      server.closeAllConnections()
      await new Promise<void>(resolve => server.close(() => resolve()))
      await fake.close()
    }
  }
}

async function answer(fake: string, request: IncomingMessage): Promise<{ status: number; text: string }> {
  const { method = 'GET', url = '/' } = request
  const [, guid, ids] = /^\/schemas\/guids\/([^/?]+)(\/ids)?/.exec(url) ?? []
  if (guid !== undefined) {
    const entries = (await (await fetch(`${fake}/schemas?deleted=true`)).json()) as Entry[]
    const found = entries.filter(entry => guidOf(entry) === guid)
    if (found[0] === undefined) return { status: 404, text: '{"error_code":40403,"message":"Schema not found"}' }
    const { schemaType, schema, references } = found[0]
    const uses = [...new Set(found.map(({ id }) => id))].map(id => ({ context: '.', id }))
    return { status: 200, text: JSON.stringify(ids === undefined ? { guid, schemaType, schema, references } : uses) }
  }
  const body = await textOf(request)
  const type = request.headers['content-type']
  const headers = type === undefined ? {} : { 'content-type': type }
  const response = await fetch(`${fake}${url}`, { method, headers, ...(body === '' ? {} : { body }) })
  const text = await response.text()
  if (!response.ok || !/^\/subjects\/[^/]+\/versions\/[^/]+$/.test(url) || method !== 'GET')
    return { status: response.status, text }
  const version = JSON.parse(text) as Entry
  return { status: response.status, text: JSON.stringify({ ...version, guid: guidOf(version) }) }
}

function guidOf({ schemaType = 'AVRO', schema, references = [] }: Entry): string {
  const hex = createHash('md5')
    .update(JSON.stringify([schemaType, schema, references]))
    .digest('hex')
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}
