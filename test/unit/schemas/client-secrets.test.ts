import { afterEach, describe, expect, it } from 'vitest'
import { createRegistryClient } from '../../../src/schemas/client/client.js'
import { redactor, safeCause } from '../../../src/schemas/client/secrets.js'
import type { RegistryConfig } from '../../../src/util/registry-config.js'
import { deadUrl, listeningLogger, type StubAnswer, StubRegistry } from './stub-registry.js'

const PASSWORD = 'pa"ss/w%rd'
const TOKEN = 'tok.en-4711'
const HEADER = 'header-value-0815'
const USER = 'alice-the-user'

const needles = [
  PASSWORD,
  JSON.stringify(PASSWORD).slice(1, -1),
  encodeURIComponent(PASSWORD),
  TOKEN,
  HEADER,
  USER,
  Buffer.from(`${USER}:${PASSWORD}`).toString('base64')
]

let server: StubRegistry | undefined

afterEach(async () => {
  await server?.stop()
  server = undefined
})

/** Everything of an error that could be printed. */
function everything(error: unknown): string {
  const parts: string[] = []
  for (let each = error, depth = 0; each !== undefined && depth < 8; depth++) {
    parts.push(JSON.stringify(each) ?? '')
    if (!(each instanceof Error)) break
    parts.push(each.message, each.stack ?? '', JSON.stringify(Object.entries(each)))
    each = each.cause
  }
  return parts.join('\n')
}

const configs: [string, (url: string) => RegistryConfig][] = [
  ['basic auth', url => ({ url, auth: { username: USER, password: PASSWORD } })],
  ['a token', url => ({ url, auth: { token: TOKEN } })],
  ['credentials in the URL', url => ({ url: url.replace('//', `//${USER}:${encodeURIComponent(PASSWORD)}@`) })],
  ['a header', url => ({ url, headers: { 'x-api-key': HEADER } })]
]

/** Servers that repeat what they were sent. */
const echoes: [string, (sent: string) => StubAnswer][] = [
  ['an error of the registry', sent => ({ status: 422, json: { error_code: 42201, message: `bad ${sent}` } })],
  ['an error that is retried', sent => ({ status: 500, json: { error_code: 50001, message: `bad ${sent}` } })],
  ['refused credentials', sent => ({ status: 401, json: { error_code: 40101, message: `bad ${sent}` } })],
  ['a page', sent => ({ raw: `<html>${sent}</html>` })],
  ['a bare 404', sent => ({ status: 404, raw: sent })],
  ['another shape', sent => ({ json: { sent } })]
]

describe('secrets', () => {
  for (const [what, configOf] of configs) {
    for (const [answer, echo] of echoes) {
      it(`of ${what} are in no error and no log when the server repeats them in ${answer}`, async () => {
        server = await StubRegistry.start(request => echo([...needles, request.headers.authorization].join(' ')))
        const logger = listeningLogger()
        const registry = createRegistryClient({ ...configOf(server.url), retries: 1 }, { logger })
        const error: unknown = await registry.subjects().catch((e: unknown) => e)
        const text = everything(error) + JSON.stringify(logger.lines) + registry.name
        expect(text).toContain('***')
        const own = needles.filter(needle => usedBy(what).includes(needle))
        expect(own.length).toBeGreaterThan(0)
        for (const needle of own) expect(text).not.toContain(needle)
      })
    }

    it(`of ${what} are in no error and no log when nobody answers`, async () => {
      const logger = listeningLogger()
      const registry = createRegistryClient({ ...configOf(await deadUrl()), retries: 0 }, { logger })
      const error: unknown = await registry.subjects().catch((e: unknown) => e)
      const text = everything(error) + JSON.stringify(logger.lines) + registry.name
      expect(text).toContain('ECONNREFUSED')
      for (const needle of needles) expect(text).not.toContain(needle)
    })

    it(`of ${what} are in no cause when the fetch itself shows them`, async () => {
      const logger = listeningLogger()
      const failing: typeof fetch = async (url, init) => {
        const sent = JSON.stringify({ url, init, needles })
        const inner = Object.assign(new Error(`inner ${sent}`), { code: 'EPROXY', options: { sent } })
        throw new TypeError('fetch failed', { cause: new AggregateError([inner], sent, { cause: inner }) })
      }
      const config = { ...configOf('http://registry.test'), retries: 0, fetch: failing }
      const error: unknown = await createRegistryClient(config, { logger })
        .subjects()
        .catch((e: unknown) => e)
      const text = everything(error) + JSON.stringify(logger.lines)
      expect(text).toContain('inner')
      for (const needle of usedBy(what)) expect(text).not.toContain(needle)
    })
  }

  it('are in no log of what went well, nor is any body', async () => {
    server = await StubRegistry.start(() => ({ json: { id: 1 } }))
    const logger = listeningLogger()
    const registry = createRegistryClient(
      { url: server.url, auth: { username: USER, password: PASSWORD }, headers: { 'x-api-key': HEADER } },
      { logger }
    )
    await registry.register('s', { schemaType: 'AVRO', schema: '"the schema text"', references: [] })
    const text = JSON.stringify(logger.lines)
    for (const needle of [...needles, 'the schema text']) expect(text).not.toContain(needle)
    expect(logger.lines).toEqual([
      {
        level: 'debug',
        message: 'schema registry request',
        fields: {
          registry: server.url,
          method: 'POST',
          path: '/subjects/s/versions',
          status: 200,
          ms: expect.any(Number)
        }
      }
    ])
  })

  it('are blotted out in every form, the longest first', () => {
    const redact = redactor({ hard: ['a', 'abc'], soft: ['xy', 'xyz'] })
    expect(redact('abc xyz xy a')).toBe('*** *** xy ***')
  })

  it('leave name, code and chain of a cause', () => {
    const inner = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
    const cause = safeCause(new TypeError('fetch failed', { cause: inner }), text => text)
    expect(cause).toMatchObject({ name: 'TypeError', message: 'connect ECONNREFUSED' })
    expect(cause.cause).toMatchObject({ name: 'Error', code: 'ECONNREFUSED' })
    expect(safeCause('text', text => text).message).toBe('text')
  })
})

function usedBy(what: string): string[] {
  if (what === 'a token') return [TOKEN]
  if (what === 'a header') return [HEADER]
  return needles.filter(needle => needle !== TOKEN && needle !== HEADER)
}
