import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { TwinlogError } from '../../../src/errors.js'
import { createRegistryClient } from '../../../src/schemas/client/client.js'
import type { RegistryClient } from '../../../src/schemas/registry-types.js'
import { listeningLogger, refusal, type SeenRequest, StubRegistry } from './stub-registry.js'

let server: StubRegistry
let registry: RegistryClient

beforeEach(async () => {
  server = await StubRegistry.start()
  registry = createRegistryClient({ url: server.url, retries: 0 }, { logger: listeningLogger() })
})

afterEach(() => server.stop())

const errorOf = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => error as TwinlogError
  )

/** What Confluent does with offset and limit, `cut` being its own maximum. */
function paged(list: unknown[], request: SeenRequest, cut = Infinity) {
  const from = Number(request.query['offset'] ?? 0)
  const most = Math.min(Number(request.query['limit'] ?? Infinity), cut)
  return { json: list.slice(from, from + most) }
}

const bare404 = { status: 404, raw: '<html>Not Found</html>' }
const generic404 = refusal(404, 404, 'HTTP 404 Not Found')

describe('subjects', () => {
  it('lists every context, without and with what is deleted softly', async () => {
    server.answer({ json: ['a', ':.ctx:b'] })
    expect(await registry.subjects()).toEqual(['a', ':.ctx:b'])
    expect(await registry.subjects({ deleted: true })).toEqual(['a', ':.ctx:b'])
    expect(server.seen.map(({ path, query }) => [path, query['deleted'], query['subjectPrefix']])).toEqual([
      ['/subjects', undefined, undefined],
      ['/subjects', 'true', undefined]
    ])
  })

  it('comes back whole from a registry that pages, that cuts shorter, and that ignores both', async () => {
    const names = Array.from({ length: 20_500 }, (_, i) => `s${String(i).padStart(6, '0')}`)
    server.answer(request => paged(names, request))
    expect(await registry.subjects()).toEqual(names)
    expect(server.seen).toHaveLength(3)
    server.answer(request => paged(names, request, 1_000))
    expect(await createRegistryClient({ url: server.url }, { logger: listeningLogger() }).subjects()).toEqual(names)
    server.answer({ json: names })
    expect(await registry.subjects()).toEqual(names)
  })

  it.each([
    [':.ctx:', [':.ctx:a', ':.ctx:b']],
    ['', ['a', 'b']],
    ['a', ['a']],
    [':.:a', ['a']],
    [':*:', ['a', 'b', ':.ctx:a', ':.ctx:b', ':.ctx2:a']],
    [':*:a', ['a', ':.ctx:a', ':.ctx2:a']]
  ])('has the prefix %j even where the registry ignores it', async (prefix, expected) => {
    server.answer({ json: ['a', 'b', ':.ctx:a', ':.ctx:b', ':.ctx2:a'] })
    expect(await registry.subjects({ prefix })).toEqual(expected)
    expect(server.seen[0]?.query['subjectPrefix']).toBe(prefix)
  })

  it('is an error at a wrong address, not an empty list', async () => {
    for (const answer of [bare404, generic404]) {
      server.answer(answer)
      const error = await errorOf(registry.subjects())
      expect(error).toMatchObject({ code: 'TWINLOG_SCHEMA_REGISTRY', httpStatus: 404 })
      expect(error?.message).toContain('check the path of the URL')
    }
  })

  it('is an error when it is no list of names', async () => {
    for (const json of [{}, 'a', [1], [['a']]]) {
      server.answer({ json })
      expect(await errorOf(registry.subjects())).toMatchObject({ code: 'TWINLOG_SCHEMA_REGISTRY', httpStatus: 200 })
    }
  })
})

describe('versions', () => {
  it('lists the versions of a subject', async () => {
    server.answer({ json: [1, 2, 5] })
    expect(await registry.versions('a/b', { deleted: true })).toEqual([1, 2, 5])
    expect(server.seen).toHaveLength(1)
    expect(server.seen[0]).toMatchObject({ path: '/subjects/a/b/versions', query: { deleted: 'true' } })
  })

  it.each([404, 409])('is undefined for a subject that is not there, with status %d', async status => {
    server.answer(refusal(status, 40401))
    expect(await registry.versions('s')).toBeUndefined()
  })

  it('is an error where the path is unknown', async () => {
    for (const answer of [bare404, generic404, refusal(404, 0), { status: 404 }]) {
      server.answer(answer)
      expect(await errorOf(registry.versions('s'))).toMatchObject({
        code: 'TWINLOG_SCHEMA_REGISTRY',
        httpStatus: 404,
        subject: 's'
      })
    }
  })

  it('comes back whole from a registry that ignores the parameters (Confluent 7.9)', async () => {
    const versions = Array.from({ length: 10_000 }, (_, i) => i + 1)
    server.answer({ json: versions })
    expect(await registry.versions('s')).toEqual(versions)
  })
})

describe('version', () => {
  const entry = { subject: 's', version: 2, id: 7, schema: '"string"' }

  it('fills in what the registry leaves out', async () => {
    server.answer({ json: entry })
    expect(await registry.version('s', 2)).toEqual({ ...entry, schemaType: 'AVRO', references: [], deleted: false })
  })

  it('keeps type, references, metadata and rules', async () => {
    const references = [{ name: 'x.proto', subject: 'x', version: 1 }]
    const more = {
      schemaType: 'PROTOBUF',
      references,
      metadata: { properties: { a: 'b' } },
      ruleSet: { domainRules: [] }
    }
    server.answer({ json: { ...entry, ...more, guid: 'g', ts: 1 } })
    expect(await registry.version('s', 2)).toEqual({ ...entry, ...more, deleted: false })
  })

  it('takes id 0, and null for nothing', async () => {
    server.answer({ json: { ...entry, id: 0, references: null, metadata: null, schemaType: null } })
    const version = await registry.version('s', 2)
    expect(version).toMatchObject({ id: 0, references: [], schemaType: 'AVRO' })
    expect(version).not.toHaveProperty('metadata')
  })

  it.each([40401, 40402, 40403])('is undefined on %d', async code => {
    server.answer(refusal(404, code))
    expect(await registry.version('s', 2)).toBeUndefined()
    expect(await registry.version('s', 2, { deleted: true })).toBeUndefined()
  })

  it('costs one request for a living version, deleted ones included', async () => {
    server.answer({ json: entry })
    expect(await registry.version('s', 2, { deleted: true })).toMatchObject({ deleted: false })
    expect(server.lines).toEqual(['GET /subjects/s/versions/2'])
  })

  it('tells a softly deleted one by asking twice', async () => {
    server.answer(request => (request.query['deleted'] === 'true' ? { json: entry } : refusal(404, 40402)))
    expect(await registry.version('s', 2, { deleted: true })).toMatchObject({ deleted: true, id: 7 })
    expect(await registry.version('s', 2)).toBeUndefined()
  })

  it('asks once for each where the registry tells it itself (from Confluent 8.0)', async () => {
    server.answer(request => {
      const deleted = request.path.endsWith('/2')
      if (deleted && request.query['deleted'] !== 'true') return refusal(404, 40402)
      return { json: { ...entry, version: deleted ? 2 : 1, deleted } }
    })
    expect(await registry.version('s', 1, { deleted: true })).toMatchObject({ deleted: false })
    expect(await registry.version('s', 2, { deleted: true })).toMatchObject({ deleted: true })
    expect(await registry.version('s', 1, { deleted: true })).toMatchObject({ deleted: false })
    expect(server.seen).toHaveLength(3)
  })

  it('does not take the subject of another context for it', async () => {
    server.answer({ json: { ...entry, subject: ':.ctx:s' } })
    expect(await registry.version('s', 2)).toBeUndefined()
  })

  it('knows the default context in both spellings', async () => {
    server.answer({ json: entry })
    expect(await registry.version(':.:s', 2)).toMatchObject({ subject: ':.:s', id: 7 })
  })

  it('is an error when the answer is no version', async () => {
    for (const json of [{ subject: 's' }, { ...entry, id: '7' }, { ...entry, references: [{ name: 'x' }] }, []]) {
      server.answer({ json })
      expect(await errorOf(registry.version('s', 2))).toMatchObject({ code: 'TWINLOG_SCHEMA_REGISTRY', subject: 's' })
    }
  })
})

describe('allVersions', () => {
  const entry = (subject: string, version: number, more = {}) => ({
    subject,
    version,
    id: version,
    schema: `"${subject}"`,
    ...more
  })

  it('lists all contexts page by page', async () => {
    const list = Array.from({ length: 2_500 }, (_, i) => entry(`s${String(i >> 1).padStart(5, '0')}`, (i & 1) + 1))
    server.answer(request => paged(list, request, 1_000))
    const versions = await registry.allVersions()
    expect(versions).toHaveLength(2_500)
    expect(versions?.[2_499]).toEqual({ ...list[2_499], schemaType: 'AVRO', references: [], deleted: false })
    expect(server.seen).toHaveLength(3)
    expect(server.seen.map(({ query }) => [query['subjectPrefix'], query['limit']])).toEqual(
      Array.from({ length: 3 }, () => [':*:', '1000'])
    )
  })

  it('comes back whole from a registry that repeats its page', async () => {
    const list = Array.from({ length: 1_000 }, (_, i) => entry('s', i + 1))
    server.answer({ json: list })
    expect(await registry.allVersions()).toHaveLength(1_000)
  })

  it('tells deleted versions by a second list', async () => {
    const [alive, deleted] = [entry('s', 2), entry('s', 1)]
    server.answer(request => ({ json: request.query['deleted'] === 'true' ? [deleted, alive] : [alive] }))
    const versions = await registry.allVersions({ deleted: true })
    expect(versions?.map(v => [v.version, v.deleted])).toEqual([
      [1, true],
      [2, false]
    ])
    expect(server.seen).toHaveLength(2)
  })

  it('needs no second list where the registry tells it itself', async () => {
    server.answer({ json: [entry('s', 1, { deleted: true }), entry('s', 2, { deleted: false })] })
    const versions = await registry.allVersions({ deleted: true })
    expect(versions?.map(v => v.deleted)).toEqual([true, false])
    expect(server.seen).toHaveLength(1)
  })

  it('is undefined where entries have no subject, version or id (Apicurio)', async () => {
    server.answer({ json: [{ schema: '"a"' }] })
    expect(await registry.allVersions()).toBeUndefined()
    server.answer({ json: [entry('s', 1), { ...entry('s', 2), id: undefined }] })
    expect(await registry.allVersions()).toBeUndefined()
  })

  it('is undefined where there is no such list', async () => {
    for (const answer of [bare404, generic404, refusal(404, 40401), { status: 405 }, { status: 501 }]) {
      server.answer(answer)
      expect(await registry.allVersions()).toBeUndefined()
      expect(await registry.allTexts()).toBeUndefined()
    }
  })

  it('does not take a registry for empty to which ":*:" is a prefix like any other', async () => {
    server.answer(request => ({ json: request.query['subjectPrefix'] === ':*:' ? [] : [entry('s', 1)] }))
    expect(await registry.allVersions()).toHaveLength(1)
    const before = server.seen.length
    expect(await registry.allVersions()).toHaveLength(1)
    expect(server.seen.length - before).toBe(1)
  })

  it('goes on asking for all contexts when the first schema of all comes in between', async () => {
    server.answer((_request, index) => ({ json: index === 0 ? [] : [entry('s', 1)] }))
    await registry.allVersions()
    await registry.allVersions()
    expect(server.seen.at(-1)?.query['subjectPrefix']).toBe(':*:')
  })

  it('is an empty list for an empty registry', async () => {
    server.answer({ json: [] })
    expect(await registry.allVersions({ deleted: true })).toEqual([])
  })

  it('has the prefix it was asked for', async () => {
    server.answer({ json: [entry('a', 1), entry(':.ctx:a', 1)] })
    expect((await registry.allVersions({ prefix: ':.ctx:' }))?.map(v => v.subject)).toEqual([':.ctx:a'])
    expect(server.seen[0]?.query['subjectPrefix']).toBe(':.ctx:')
  })

  it('is an error when the registry fails', async () => {
    server.answer(refusal(500, 50001))
    expect(await errorOf(registry.allVersions())).toMatchObject({ registryCode: 50001, retriable: true })
  })
})

describe('allTexts', () => {
  it('lists the texts, whatever else an entry tells', async () => {
    server.answer({ json: [{ schema: '"a"' }, { schema: '"a"' }, { schema: '"b"', id: 1 }] })
    expect(await registry.allTexts()).toEqual(['"a"', '"a"', '"b"'])
  })

  it('is undefined where entries have none', async () => {
    server.answer({ json: [{ id: 1 }] })
    expect(await registry.allTexts()).toBeUndefined()
  })

  it('is whole, page by page', async () => {
    const list = Array.from({ length: 1_500 }, () => ({ schema: '"a"' }))
    server.answer(request => paged(list, request, 1_000))
    expect(await registry.allTexts()).toHaveLength(1_500)
  })
})

describe('ids', () => {
  it('give the content, in the context of a scope', async () => {
    server.answer({ json: { schema: '{}', schemaType: 'JSON' } })
    expect(await registry.schemaById(7, { scope: ':.ctx:' })).toEqual({
      schemaType: 'JSON',
      schema: '{}',
      references: []
    })
    await registry.schemaById(0)
    expect(server.lines).toEqual(['GET /schemas/ids/7?subject=%3A.ctx%3A', 'GET /schemas/ids/0'])
  })

  it('are undefined when unknown', async () => {
    server.answer(refusal(404, 40403))
    expect(await registry.schemaById(7)).toBeUndefined()
    expect(await registry.usesOf(7)).toEqual([])
  })

  it('are named in errors', async () => {
    server.answer(bare404)
    expect(await errorOf(registry.schemaById(7))).toMatchObject({ schemaId: 7, httpStatus: 404 })
    expect(await errorOf(registry.usesOf(7))).toMatchObject({ schemaId: 7, httpStatus: 404 })
  })

  it('tell where they are used, deleted versions included', async () => {
    const uses = [
      { subject: 'a', version: 1 },
      { subject: ':.ctx:b', version: 2 }
    ]
    server.answer({ json: uses.map(use => ({ ...use, more: true })) })
    expect(await registry.usesOf(7, { scope: ':.ctx:' })).toEqual(uses)
    expect(server.seen[0]).toMatchObject({
      path: '/schemas/ids/7/versions',
      query: { deleted: 'true', subject: ':.ctx:' }
    })
  })
})

describe('config', () => {
  it('reads all that is set, of a subject, a context and the registry', async () => {
    const set = {
      compatibilityLevel: 'FULL',
      normalize: false,
      alias: 'other',
      compatibilityGroup: 'major',
      validateFields: true,
      validateRules: true,
      defaultMetadata: { properties: {} },
      overrideMetadata: { tags: {} },
      defaultRuleSet: { domainRules: [] },
      overrideRuleSet: { migrationRules: [] }
    }
    server.answer({ json: { ...set, somethingNew: 1 } })
    expect(await registry.config('a/b')).toEqual(set)
    expect(await registry.config(':.ctx:')).toEqual(set)
    expect(await registry.config(undefined)).toEqual(set)
    expect(server.lines).toEqual(['GET /config/a%2Fb', 'GET /config/%3A.ctx%3A', 'GET /config'])
  })

  it('leaves out what is null', async () => {
    server.answer({ json: { compatibilityLevel: 'NONE', alias: null, normalize: null, defaultRuleSet: null } })
    expect(await registry.config('s')).toEqual({ compatibilityLevel: 'NONE' })
  })

  it.each([40401, 40408])('is undefined on %d', async code => {
    server.answer(refusal(404, code))
    expect(await registry.config('s')).toBeUndefined()
  })

  it('is an error where the path is unknown', async () => {
    server.answer(bare404)
    expect(await errorOf(registry.config('s'))).toMatchObject({ code: 'TWINLOG_SCHEMA_REGISTRY', subject: 's' })
  })
})

describe('mode', () => {
  it('asks for what is set on the scope itself, or for what counts there', async () => {
    server.answer({ json: { mode: 'import' } })
    expect(await registry.mode('s')).toBe('IMPORT')
    expect(await registry.mode(':.ctx:', { resolved: true })).toBe('IMPORT')
    expect(await registry.mode(undefined)).toBe('IMPORT')
    expect(server.lines).toEqual(['GET /mode/s', 'GET /mode/%3A.ctx%3A?defaultToGlobal=true', 'GET /mode'])
  })

  it('is undefined where nothing is set', async () => {
    server.answer(refusal(404, 40409))
    expect(await registry.mode('s')).toBeUndefined()
  })

  it('is TWINLOG_UNSUPPORTED where there are no modes', async () => {
    for (const answer of [bare404, { status: 405 }]) {
      server.answer(answer)
      expect(await errorOf(registry.mode('s'))).toMatchObject({ code: 'TWINLOG_UNSUPPORTED', subject: 's' })
    }
  })

  it('is an error when it is a mode that nobody knows', async () => {
    server.answer({ json: { mode: 'SIDEWAYS' } })
    expect((await errorOf(registry.mode('s')))?.message).toContain('SIDEWAYS')
  })
})

describe('contexts', () => {
  it('are listed, or undefined where there are none', async () => {
    server.answer({ json: ['.', '.ctx'] })
    expect(await registry.contexts()).toEqual(['.', '.ctx'])
    for (const answer of [bare404, generic404, { status: 405 }]) {
      server.answer(answer)
      expect(await registry.contexts()).toBeUndefined()
    }
  })

  it('are an error when the registry fails', async () => {
    server.answer(refusal(500, 50001))
    expect(await errorOf(registry.contexts())).toMatchObject({ registryCode: 50001 })
  })
})
