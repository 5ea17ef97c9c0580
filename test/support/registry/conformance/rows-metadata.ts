import assert from 'node:assert/strict'
import { at, type RowApi, rows, versionsOf } from './row.js'
import { avro, own } from './samples.js'

const owner = (value: string): object => ({ metadata: { properties: { owner: value } } })
const ruleSet = { domainRules: [{ name: 'r', kind: 'CONDITION', mode: 'WRITE', type: 'CEL', expr: 'true' }] }

async function add(api: RowApi, schema: string | undefined, extra: object): Promise<unknown> {
  return at(await api.ok('POST', versionsOf(api.subject()), { schema, ...extra }), 'metadata')
}

export const metadataRows = rows('metadata', {
  'it is stored and told': async api => {
    const metadata = { tags: { a: ['PII'] }, properties: { owner: 'x' }, sensitive: ['owner'] }
    await api.register(api.subject(), own(api), { metadata })
    assert.deepEqual(at(await api.version(api.subject(), 1), 'metadata'), metadata)
  },
  'the content by id has it': async api => {
    const id = await api.register(api.subject(), own(api), owner('x'))
    assert.deepEqual(at(await api.get(`/schemas/ids/${id}`), 'metadata'), { properties: { owner: 'x' } })
  },
  'GET /schemas has it': async api => {
    await api.register(api.subject(), own(api), owner('x'))
    assert.deepEqual(at(await api.get(`/schemas?subjectPrefix=${api.prefix}`), 0, 'metadata', 'properties'), {
      owner: 'x'
    })
  },
  'registering with it answers with the whole version': async api => {
    const body = await api.ok('POST', versionsOf(api.subject()), { schema: own(api), ...owner('x') })
    assert.deepEqual([at(body, 'version'), at(body, 'schema')], [1, own(api)])
  },
  'other metadata are another version': async api => {
    const first = await api.register(api.subject(), own(api), owner('x'))
    assert.notEqual(await api.register(api.subject(), own(api), owner('y')), first)
    assert.deepEqual(await api.versions(api.subject()), [1, 2])
  },
  'the same again is the same': async api => {
    const first = await api.register(api.subject(), own(api), owner('x'))
    assert.equal(await api.register(api.subject(), own(api), owner('x')), first)
  },
  'without metadata those of the last version are taken': async api => {
    await api.register(api.subject(), avro.user, owner('x'))
    assert.deepEqual(await add(api, avro.userAge, {}), { properties: { owner: 'x' } })
  },
  'without a schema that of the last version is taken': async api => {
    await api.register(api.subject(), avro.user, owner('x'))
    assert.deepEqual(await add(api, undefined, owner('y')), { properties: { owner: 'y' } })
    assert.equal(at(await api.version(api.subject(), 2), 'schema'), avro.user)
  },
  'a lookup compares them': async api => {
    await api.register(api.subject(), own(api), owner('x'))
    const path = `/subjects/${api.subject()}`
    assert.equal(at(await api.ok('POST', path, { schema: own(api), ...owner('x') }), 'version'), 1)
    await api.refused(404, 40403, 'POST', path, { schema: own(api) })
  },
  'defaults and overrides of the config are filled in': async api => {
    await api.setConfig(api.subject(), {
      defaultMetadata: { properties: { d: '1' } },
      overrideMetadata: { properties: { o: '1' } }
    })
    assert.deepEqual(await add(api, own(api), {}), { properties: { d: '1', o: '1' } })
    const mine = { metadata: { properties: { d: '2', o: '2' } } }
    assert.deepEqual(await add(api, own(api), mine), { properties: { d: '2', o: '1' } })
  },
  'the newest version with a property': async api => {
    await api.setConfig(api.subject(), { compatibility: 'NONE' })
    await api.register(api.subject(), avro.string, owner('x'))
    await api.register(api.subject(), avro.int, owner('y'))
    const found = await api.get(`/subjects/${api.subject()}/metadata?key=owner&value=x`)
    assert.equal(at(found, 'version'), 1)
    await api.refused(404, 40403, 'GET', `/subjects/${api.subject()}/metadata?key=owner&value=z`)
  },
  'version -1 writes the version into them': async api => {
    assert.deepEqual(await add(api, own(api), { version: -1 }), { properties: { 'confluent:version': '1' } })
  },
  'a version written into them does not keep the same content from being found': async api => {
    const first = await api.ok('POST', versionsOf(api.subject()), { schema: own(api), version: -1 })
    assert.equal(await api.register(api.subject(), own(api)), at(first, 'id'))
  },
  'rule sets are stored and told': async api => {
    await api.register(api.subject(), own(api), { ruleSet })
    assert.deepEqual(at(await api.version(api.subject(), 1), 'ruleSet'), ruleSet)
  },
  'other rule sets are another version': async api => {
    await api.register(api.subject(), own(api))
    await api.register(api.subject(), own(api), { ruleSet })
    assert.deepEqual(await api.versions(api.subject()), [1, 2])
  }
})
