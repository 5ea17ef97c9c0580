import assert from 'node:assert/strict'
import { at, integerAt, rows, sorted, versionsOf } from './row.js'
import { asJson, asProto, avro, json, own, proto } from './samples.js'

const formats = [
  { name: 'Avro', extra: {}, first: avro.user, next: avro.userAge, clash: avro.userInt, broken: avro.noFields },
  {
    name: 'JSON',
    extra: asJson,
    first: json.closed,
    next: json.closedMore,
    clash: json.openInt,
    broken: json.wrongType
  },
  { name: 'Protobuf', extra: asProto, first: proto.m, next: proto.mMore, clash: proto.mInt, broken: proto.broken }
]

const perFormat = formats.flatMap(({ name, extra, first, next, clash, broken }) =>
  rows('register', {
    [`${name}: the first schema of a subject is version 1`]: async api => {
      await api.register(api.subject(), first, extra)
      assert.deepEqual(await api.versions(api.subject()), [1])
    },
    [`${name}: the same schema again has the same id and adds no version`]: async api => {
      const id = await api.register(api.subject(), first, extra)
      assert.equal(await api.register(api.subject(), first, extra), id)
      assert.deepEqual(await api.versions(api.subject()), [1])
    },
    [`${name}: the same schema in another subject has the same id`]: async api => {
      const id = await api.register(api.subject('a'), first, extra)
      assert.equal(await api.register(api.subject('b'), first, extra), id)
    },
    [`${name}: a compatible schema is the next version, with another id`]: async api => {
      const id = await api.register(api.subject(), first, extra)
      assert.notEqual(await api.register(api.subject(), next, extra), id)
      assert.deepEqual(await api.versions(api.subject()), [1, 2])
    },
    [`${name}: an incompatible schema is refused with 409`]: async api => {
      await api.setConfig(api.subject(), { compatibility: 'BACKWARD' })
      await api.register(api.subject(), first, extra)
      await api.registerRefused(409, 409, api.subject(), clash, extra)
      assert.deepEqual(await api.versions(api.subject()), [1])
    },
    [`${name}: an older version registered again is that version`]: async api => {
      const id = await api.register(api.subject(), first, extra)
      await api.register(api.subject(), next, extra)
      assert.equal(await api.register(api.subject(), first, extra), id)
      assert.deepEqual(await api.versions(api.subject()), [1, 2])
    },
    [`${name}: what cannot be parsed is refused with 42201`]: async api => {
      await api.registerRefused(422, 42201, api.subject(), broken, extra)
    },
    [`${name}: looking up gives subject, version and id`]: async api => {
      const id = await api.register(api.subject(), first, extra)
      const found = await api.ok('POST', `/subjects/${api.subject()}`, { schema: first, ...extra })
      assert.deepEqual(
        { subject: at(found, 'subject'), version: at(found, 'version'), id: at(found, 'id') },
        { subject: api.subject(), version: 1, id }
      )
    },
    [`${name}: looking up what the subject does not have is 40403`]: async api => {
      await api.register(api.subject(), first, extra)
      await api.refused(404, 40403, 'POST', `/subjects/${api.subject()}`, { schema: next, ...extra })
    }
  })
)

export const registerRows = [
  ...perFormat,
  ...rows('register', {
    'looking up in an unknown subject is 40401': async api => {
      await api.refused(404, 40401, 'POST', `/subjects/${api.subject()}`, { schema: avro.user })
    },
    'looking up something broken is 42201': async api => {
      await api.register(api.subject(), avro.user)
      await api.refused(422, 42201, 'POST', `/subjects/${api.subject()}`, { schema: avro.noFields })
    },
    'ids of new content grow': async api => {
      const first = await api.register(api.subject('a'), own(api, 'A'))
      assert.ok((await api.register(api.subject('b'), own(api, 'B'))) > first)
    },
    'an unknown schema type is refused with 42201': async api => {
      await api.registerRefused(422, 42201, api.subject(), avro.user, { schemaType: 'XML' })
    },
    'schema types are in capitals': async api => {
      await api.registerRefused(422, 42201, api.subject(), avro.string, { schemaType: 'avro' })
    },
    'a schema type of null is Avro': async api => {
      await api.register(api.subject(), avro.user, { schemaType: null })
      assert.equal(at(await api.version(api.subject(), 1), 'schemaType'), undefined)
    },
    'another schema type in the subject is incompatible': async api => {
      await api.setConfig(api.subject(), { compatibility: 'BACKWARD' })
      await api.register(api.subject(), json.open, asJson)
      await api.registerRefused(409, 409, api.subject(), avro.user)
    },
    'another schema type in the subject is allowed at NONE': async api => {
      await api.setConfig(api.subject(), { compatibility: 'NONE' })
      await api.register(api.subject(), json.open, asJson)
      await api.register(api.subject(), avro.user)
      await api.register(api.subject(), proto.m, asProto)
      assert.deepEqual(await api.versions(api.subject()), [1, 2, 3])
    },
    'the same text under another schema type is another schema with a used id: 42205': async api => {
      const text = `{"type":"string","x":"${api.prefix}"}`
      await api.register(api.subject('avro'), text)
      const words = await api.registerRefused(422, 42205, api.subject('json'), text, asJson)
      assert.match(words, /Overwrite new schema with id \d+ is not permitted/)
    },
    'an id outside IMPORT is refused with 42205': async api => {
      const words = await api.registerRefused(422, 42205, api.subject(), own(api), { id: 987_655 })
      assert.match(words, /is not in import mode/)
      await api.refused(404, 40401, 'GET', versionsOf(api.subject()))
    },
    'an id outside IMPORT is fine when it is the one it has': async api => {
      const id = await api.register(api.subject(), own(api))
      assert.equal(await api.register(api.subject(), own(api), { id }), id)
    },
    'a version outside IMPORT must be the next one': async api => {
      await api.setConfig(api.subject(), { compatibility: 'NONE' })
      await api.register(api.subject(), avro.string)
      const words = await api.registerRefused(422, 42201, api.subject(), avro.int, { version: 3 })
      assert.match(words, /Version is not one more than previous version/)
      assert.deepEqual(await api.versions(api.subject()), [1])
    },
    'the next version by number is taken, and noted in the metadata': async api => {
      await api.setConfig(api.subject(), { compatibility: 'NONE' })
      await api.register(api.subject(), avro.string)
      const body = await api.ok('POST', versionsOf(api.subject()), { schema: avro.int, version: 2 })
      assert.equal(at(body, 'version'), 2)
      assert.equal(at(body, 'metadata', 'properties', 'confluent:version'), '2')
    },
    'version 0 means: none given': async api => {
      const id = await api.register(api.subject(), own(api), { version: 0 })
      assert.equal(await api.register(api.subject(), own(api), { version: 0 }), id)
    },
    'an unknown key in the body is ignored': async api => {
      await api.register(api.subject(), avro.user, { surprise: 1 })
    },
    'references of null are none': async api => {
      await api.register(api.subject(), avro.user, { references: null })
      assert.equal(at(await api.version(api.subject(), 1), 'references'), undefined)
    },
    'a body without schema is 42201 in a new subject': async api => {
      await api.registerRefused(422, 42201, api.subject(), undefined)
    },
    'an empty schema is 42201': async api => {
      await api.registerRefused(422, 42201, api.subject(), '')
    },
    'no body at all is 422': async api => {
      const answer = await api.call('POST', versionsOf(api.subject()), undefined, { raw: '' })
      assert.equal(answer.status, 422, answer.text)
    },
    'a body that is no JSON is 400': async api => {
      const answer = await api.call('POST', versionsOf(api.subject()), undefined, { raw: '{' })
      assert.equal(answer.status, 400, answer.text)
    },
    'a body that is a list is 400': async api => {
      const answer = await api.call('POST', versionsOf(api.subject()), [])
      assert.equal(answer.status, 400, answer.text)
    },
    'many subjects at once, each with its own id': async api => {
      const ids = await Promise.all(
        Array.from({ length: 12 }, (_, n) => api.register(api.subject(`n${n}`), own(api, `N${n}`)))
      )
      assert.equal(new Set(ids).size, 12)
    },
    'the same new schema in many subjects at once gets one id': async api => {
      const ids = await Promise.all(Array.from({ length: 8 }, (_, n) => api.register(api.subject(`n${n}`), own(api))))
      assert.equal(new Set(ids).size, 1)
      const uses = await api.get(`/schemas/ids/${integerAt(ids, 0)}/versions`)
      assert.equal((sorted(uses) as unknown[]).length, 8)
    }
  })
]
