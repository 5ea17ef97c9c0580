import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { TwinlogError } from '../../../src/errors.js'
import { createRegistryClient } from '../../../src/schemas/client/client.js'
import type { RegistryClient } from '../../../src/schemas/registry-types.js'
import { listeningLogger, refusal, StubRegistry } from './stub-registry.js'

let server: StubRegistry
let registry: RegistryClient

beforeEach(async () => {
  server = await StubRegistry.start()
  registry = createRegistryClient({ url: server.url }, { logger: listeningLogger() })
})

afterEach(() => server.stop())

const errorOf = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => error as TwinlogError
  )

const avro = { schemaType: 'AVRO', schema: '"string"', references: [] }

describe('register', () => {
  it('leaves out what is the default', async () => {
    server.answer({ json: { id: 7 } })
    expect(await registry.register('s', avro)).toEqual({ id: 7 })
    expect(server.seen[0]).toMatchObject({ method: 'POST', path: '/subjects/s/versions' })
    expect(server.seen[0]?.body).toEqual({ schema: '"string"' })
  })

  it('sends all that there is, id 0 too, and tells what the registry made of it', async () => {
    server.answer({ json: { id: 9, version: 4, guid: 'g', schema: 'x' } })
    const content = {
      schemaType: 'PROTOBUF',
      schema: 'x',
      references: [{ name: 'a.proto', subject: 'a', version: 1 }],
      metadata: { properties: { k: 'v' } },
      ruleSet: { domainRules: [] }
    }
    expect(await registry.register('s', content, { id: 0, version: 3 })).toEqual({ id: 9, version: 4 })
    expect(server.seen[0]?.body).toEqual({ ...content, id: 0, version: 3 })
  })

  it.each([
    [409, 409, 'compatibility level'],
    [409, 40901, 'compatibility level'],
    [422, 42201, 'refers to'],
    [422, 42205, 'mode']
  ])('fails with %d and %d, and says what to do', async (status, code, advice) => {
    server.answer(refusal(status, code, 'because'))
    const error = await errorOf(registry.register('s', avro, { id: 5 }))
    expect(error).toMatchObject({
      code: 'TWINLOG_SCHEMA_REGISTRY',
      httpStatus: status,
      registryCode: code,
      subject: 's',
      schemaId: 5,
      retriable: false
    })
    expect(error?.message).toContain('because')
    expect(error?.message).toContain(advice)
  })

  it('fails when no id comes back', async () => {
    server.answer({ json: { version: 1 } })
    expect((await errorOf(registry.register('s', avro)))?.message).toContain('without an id')
  })
})

describe('lookup', () => {
  it('finds the version that has the content', async () => {
    server.answer({ json: { subject: 's', version: 2, id: 7, schema: 'x' } })
    expect(await registry.lookup('s', avro, { deleted: true })).toEqual({ id: 7, version: 2 })
    expect(server.lines).toEqual(['POST /subjects/s?deleted=true'])
  })

  it.each([40401, 40403])('is undefined on %d', async code => {
    server.answer(refusal(404, code))
    expect(await registry.lookup('s', avro)).toBeUndefined()
  })

  it('does not take the subject of another context for it', async () => {
    server.answer({ json: { subject: ':.ctx:s', version: 2, id: 7 } })
    expect(await registry.lookup('s', avro)).toBeUndefined()
  })

  it('fails where the schema is invalid', async () => {
    server.answer(refusal(422, 42201))
    expect(await errorOf(registry.lookup('s', avro))).toMatchObject({ registryCode: 42201 })
  })
})

describe('deletes', () => {
  it('are soft, or permanent', async () => {
    server.answer({ json: [1] })
    await registry.deleteSubject('a b')
    await registry.deleteSubject('a b', { permanent: true })
    server.answer({ json: 2 })
    await registry.deleteVersion('s', 2)
    await registry.deleteVersion('s', 2, { permanent: true })
    expect(server.lines).toEqual([
      'DELETE /subjects/a%20b',
      'DELETE /subjects/a%20b?permanent=true',
      'DELETE /subjects/s/versions/2',
      'DELETE /subjects/s/versions/2?permanent=true'
    ])
  })

  it.each([
    [404, 40401],
    [404, 40402],
    [404, 40403],
    [404, 40404],
    [409, 40404],
    [404, 40406],
    [409, 40406]
  ])('are done when there is nothing left to delete (%d, %d)', async (status, code) => {
    server.answer(refusal(status, code))
    await registry.deleteVersion('s', 2)
    await registry.deleteSubject('s')
    expect(server.seen).toHaveLength(2)
  })

  it.each([
    [404, 40405],
    [409, 40405],
    [404, 40407],
    [422, 42206],
    [422, 42205]
  ])('fail where the registry refuses (%d, %d)', async (status, code) => {
    server.answer(refusal(status, code))
    for (const attempt of [registry.deleteVersion('s', 2, { permanent: true }), registry.deleteSubject('s')]) {
      expect(await errorOf(attempt)).toMatchObject({
        code: 'TWINLOG_SCHEMA_REGISTRY',
        registryCode: code,
        subject: 's'
      })
    }
  })

  it('for good are not done when the registry says that it is only deleted softly', async () => {
    server.answer(refusal(404, 40404))
    expect(await errorOf(registry.deleteSubject('s', { permanent: true }))).toMatchObject({ registryCode: 40404 })
  })

  it('are not done at a wrong address', async () => {
    server.answer({ status: 404, raw: 'not found' })
    expect(await errorOf(registry.deleteSubject('s'))).toMatchObject({
      code: 'TWINLOG_SCHEMA_REGISTRY',
      httpStatus: 404
    })
  })
})

describe('putConfig', () => {
  it('sends the level by the name that PUT takes', async () => {
    server.answer({ json: {} })
    await registry.putConfig('s', { compatibilityLevel: 'FULL', normalize: true, alias: 'b' })
    await registry.putConfig(undefined, { compatibilityGroup: 'g' })
    expect(server.lines).toEqual(['PUT /config/s', 'PUT /config'])
    expect(server.seen.map(request => request.body)).toEqual([
      { compatibility: 'FULL', normalize: true, alias: 'b' },
      { compatibilityGroup: 'g' }
    ])
  })

  it('repeats itself when its answer was lost', async () => {
    server.answer((_request, index) => (index === 0 ? { drop: true } : { json: {} }))
    await registry.putConfig('s', { compatibilityLevel: 'FULL' })
    expect(server.seen).toHaveLength(2)
  })

  it('fails on a level that is none', async () => {
    server.answer(refusal(422, 42203))
    expect(await errorOf(registry.putConfig('s', { compatibilityLevel: 'X' }))).toMatchObject({ registryCode: 42203 })
  })
})

describe('deleteConfig', () => {
  it('is done when nothing is set, after a lost answer too', async () => {
    server.answer((_request, index) => (index === 0 ? { drop: true } : refusal(404, 40401)))
    await registry.deleteConfig('s')
    server.answer(refusal(404, 40408))
    await registry.deleteConfig(':.ctx:')
    expect(server.lines).toEqual(['DELETE /config/s', 'DELETE /config/s', 'DELETE /config/%3A.ctx%3A'])
  })

  it('is TWINLOG_UNSUPPORTED where the config of the registry cannot be removed', async () => {
    server.answer(refusal(405, 405))
    expect(await errorOf(registry.deleteConfig(undefined))).toMatchObject({
      code: 'TWINLOG_UNSUPPORTED',
      httpStatus: 405
    })
  })
})

describe('putMode', () => {
  it('forces only when it is told to', async () => {
    server.answer({ json: { mode: 'IMPORT' } })
    await registry.putMode('s', 'IMPORT')
    await registry.putMode(':.ctx:', 'IMPORT', { force: true })
    await registry.putMode(undefined, 'READONLY')
    expect(server.lines).toEqual(['PUT /mode/s', 'PUT /mode/%3A.ctx%3A?force=true', 'PUT /mode'])
    expect(server.seen.map(request => request.body)).toEqual([
      { mode: 'IMPORT' },
      { mode: 'IMPORT' },
      { mode: 'READONLY' }
    ])
  })

  it('fails where subjects are in the way, and is unsupported where there are no modes', async () => {
    server.answer(refusal(422, 42205, 'Cannot import since found existing subjects'))
    expect(await errorOf(registry.putMode('s', 'IMPORT'))).toMatchObject({ registryCode: 42205, subject: 's' })
    server.answer({ status: 404 })
    expect(await errorOf(registry.putMode('s', 'IMPORT'))).toMatchObject({ code: 'TWINLOG_UNSUPPORTED' })
  })
})

describe('deleteMode', () => {
  it.each([40401, 40409])('is done when nothing is set (%d)', async code => {
    server.answer(refusal(404, code))
    await registry.deleteMode('s')
    expect(server.lines).toEqual(['DELETE /mode/s'])
  })

  it('sets the registry to READWRITE where its mode cannot be removed', async () => {
    server.answer(request => (request.method === 'DELETE' ? { status: 405 } : { json: { mode: 'READWRITE' } }))
    await registry.deleteMode(undefined)
    expect(server.lines).toEqual(['DELETE /mode', 'PUT /mode'])
    expect(server.seen[1]?.body).toEqual({ mode: 'READWRITE' })
  })

  it('does not set a subject to READWRITE instead: that would pin it', async () => {
    server.answer({ status: 405 })
    expect(await errorOf(registry.deleteMode('s'))).toMatchObject({ code: 'TWINLOG_UNSUPPORTED', subject: 's' })
    expect(server.seen).toHaveLength(1)
  })

  it('fails where the registry refuses', async () => {
    server.answer(refusal(422, 42205))
    expect(await errorOf(registry.deleteMode('s'))).toMatchObject({ registryCode: 42205 })
  })
})
