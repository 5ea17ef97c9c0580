import { describe, expect, it } from 'vitest'
import { InvalidOptionError } from '../../../src/errors.js'
import { assertRegistryConfig, resolveRegistry } from '../../../src/schemas/client/config.js'

const check = (value: unknown) => {
  assertRegistryConfig('mirror.source.schemaRegistry', value)
  return resolveRegistry(value)
}

const refused = (value: unknown): InvalidOptionError => {
  try {
    check(value)
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidOptionError)
    return error as InvalidOptionError
  }
  throw new Error('was accepted')
}

describe('assertRegistryConfig', () => {
  it('takes one URL, and several', () => {
    expect(check({ url: 'http://a:8081' }).addresses.map(a => a.base)).toEqual(['http://a:8081'])
    const several = check({ url: ['http://a:8081/', 'https://b/apis/ccompat/v7///'] })
    expect(several.addresses.map(a => a.base)).toEqual(['http://a:8081', 'https://b/apis/ccompat/v7'])
  })

  it('has defaults for time and attempts', () => {
    expect(check({ url: 'http://a' })).toMatchObject({ timeoutMs: 10_000, retries: 4, headers: {} })
    expect(check({ url: 'http://a', timeoutMs: 5, retries: 0 })).toMatchObject({ timeoutMs: 5, retries: 0 })
  })

  it('names the key that is no option', () => {
    const error = refused({ url: 'http://a', urls: ['http://b'] })
    expect(error.path).toBe('mirror.source.schemaRegistry.urls')
    expect(error.message).toContain('is not an option')
    expect(refused({ url: 'http://a', auth: { user: 'x', password: 'y' } }).path).toContain('auth.user')
    expect(refused({ url: 'http://a', auth: { token: 'x', username: 'y' } }).path).toContain('auth.username')
  })

  it.each([
    ['nothing', undefined, 'must be an object'],
    ['no URL', {}, 'is missing'],
    ['an empty list', { url: [] }, 'at least one'],
    ['no text', { url: 8081 }, 'as a string'],
    ['no URL at all', { url: 'registry' }, 'is not a URL'],
    ['another protocol', { url: 'ftp://a' }, 'http://'],
    ['a query', { url: 'http://a?token=hunter2' }, 'query'],
    ['a fragment', { url: 'http://a#x' }, 'fragment'],
    ['several in one text', { url: 'http://a:8081,http://b:8081' }, 'array of strings'],
    ['no auth', { url: 'http://a', auth: 'basic' }, 'auth: must be an object'],
    ['an empty token', { url: 'http://a', auth: { token: '' } }, 'auth.token'],
    ['a token of two lines', { url: 'http://a', auth: { token: 'hunter2\nX: y' } }, 'auth.token'],
    ['a colon in the user', { url: 'http://a', auth: { username: 'a:b', password: '' } }, 'auth.username'],
    ['no password', { url: 'http://a', auth: { username: 'a' } }, 'auth.password'],
    ['a header of two lines', { url: 'http://a', headers: { 'x-key': 'hunter2\r\nY: z' } }, 'headers.x-key'],
    ['a header that is no text', { url: 'http://a', headers: { 'x-key': 1 } }, 'headers.x-key'],
    ['an illegal header name', { url: 'http://a', headers: { 'x key': 'v' } }, 'legal name'],
    ['a header of the connection', { url: 'http://a', headers: { 'Content-Length': '3' } }, 'connection'],
    ['a context without a dot', { url: 'http://a', context: 'dr' }, 'context'],
    ['a qualified context', { url: 'http://a', context: ':.dr:' }, 'context'],
    ['no time', { url: 'http://a', timeoutMs: 0 }, 'timeoutMs'],
    ['too much time', { url: 'http://a', timeoutMs: 2 ** 31 }, 'timeoutMs'],
    ['attempts below none', { url: 'http://a', retries: -1 }, 'retries'],
    ['endless attempts', { url: 'http://a', retries: Infinity }, 'retries'],
    ['a dispatcher that is text', { url: 'http://a', dispatcher: 'proxy' }, 'dispatcher'],
    ['a fetch that cannot be called', { url: 'http://a', fetch: {} }, 'fetch']
  ])('refuses %s', (_what, value, message) => {
    const error = refused(value)
    expect(error.message).toContain(message)
    expect(error.message).not.toContain('hunter2')
  })

  it('takes the credentials in a URL as basic auth and keeps them out of the address', () => {
    const { addresses } = check({ url: 'https://al%40ice:s%3Acret@a/base' })
    expect(addresses[0].base).toBe('https://a/base')
    const encoded = Buffer.from('al@ice:s:cret').toString('base64')
    expect(addresses[0].authorization).toBe(`Basic ${encoded}`)
  })

  it('gives each address the credentials of its own URL only', () => {
    const { addresses } = check({ url: ['http://a:pw@one', 'http://two'] })
    expect(addresses.map(a => a.authorization !== undefined)).toEqual([true, false])
  })

  it('refuses credentials both in the URL and as auth, without showing either', () => {
    const error = refused({
      url: ['http://a', 'http://alice:hunter2@b'],
      auth: { username: 'bob', password: 'hunter3' }
    })
    expect(error.path).toBe('mirror.source.schemaRegistry.url[1]')
    expect(error.message).not.toMatch(/hunter|alice|bob/)
  })

  it('refuses an authorization header besides auth', () => {
    expect(refused({ url: 'http://a', auth: { token: 't' }, headers: { Authorization: 'Basic x' } }).message).toMatch(
      /keep one/
    )
    expect(refused({ url: 'http://u:p@a', headers: { authorization: 'Basic x' } }).message).toMatch(/keep one/)
    expect(check({ url: 'http://a', headers: { Authorization: 'Basic x' } }).headers).toEqual({
      authorization: 'Basic x'
    })
  })

  it('refuses credentials in a URL that cannot be decoded, without showing them', () => {
    const error = refused({ url: 'http://alice:hunter2%zz@a' })
    expect(error.message).not.toMatch(/hunter|alice/)
  })
})
