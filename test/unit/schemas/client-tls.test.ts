import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createRegistryClient } from '../../../src/schemas/client/client.js'
import { Authority, type Issued } from '../../support/certificates.js'
import { listeningLogger } from './stub-registry.js'

type AgentClass = new (options: { connect: object }) => { close(): Promise<void> }

/** The class that the package `undici` calls `Agent`, as far as Node itself brings it along. */
async function agentClass(): Promise<AgentClass> {
  // The global dispatcher is created by the first fetch.
  await fetch('http://127.0.0.1:1').catch(() => undefined)
  const dispatcher = (globalThis as Record<symbol, unknown>)[Symbol.for('undici.globalDispatcher.1')]
  return (dispatcher as { constructor: AgentClass }).constructor
}

describe('a registry that wants client certificates', () => {
  let authority: Authority
  let client: Issued
  let server: Server
  const names: unknown[] = []
  const config = () => ({ url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, retries: 0 })

  beforeAll(async () => {
    authority = new Authority('registry-test')
    client = authority.issue('client')
    const options = { ...authority.issue('server'), ca: authority.ca, requestCert: true, rejectUnauthorized: true }
    server = createServer(options, (request, response) => {
      names.push((request.socket as TLSSocket).getPeerCertificate().subject.CN)
      response.end('["s"]')
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  })

  afterAll(async () => {
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
    authority.remove()
  })

  it('is reached through a dispatcher that has one', async () => {
    const Agent = await agentClass()
    const dispatcher = new Agent({ connect: { ca: authority.ca, cert: client.cert, key: client.key } })
    const registry = createRegistryClient({ ...config(), dispatcher }, { logger: listeningLogger() })
    expect(await registry.subjects()).toEqual(['s'])
    expect(names).toEqual(['client'])
    await dispatcher.close()
  })

  it('is not reached without, and the error says that it is about certificates', async () => {
    const registry = createRegistryClient(config(), { logger: listeningLogger() })
    await expect(registry.subjects()).rejects.toMatchObject({
      code: 'TWINLOG_UNREACHABLE',
      message: expect.stringMatching(/certificate/i)
    })
  })
})
