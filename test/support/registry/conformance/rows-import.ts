import assert from 'node:assert/strict'
import { at, type RowApi, rows, sorted, versionsOf } from './row.js'
import { asJson, asProto, avro, json, own, proto } from './samples.js'

const { string, int, long } = avro

/** A subject in IMPORT, in a context of its own: ids given here use up nobody's. */
async function importing(api: RowApi, name = 's'): Promise<string> {
  const subject = api.subject(name, api.context())
  await api.setMode(subject, 'IMPORT')
  return subject
}

function byId(api: RowApi, id: number, part = ''): string {
  return `/schemas/ids/${id}${part}?subject=${encodeURIComponent(`:${api.context()}:`)}`
}

export const importRows = rows('import', {
  'id and version are kept': async api => {
    const subject = await importing(api)
    assert.equal(await api.register(subject, string, { id: 4711, version: 3 }), 4711)
    const seen = await api.version(subject, 3)
    assert.deepEqual([at(seen, 'id'), at(seen, 'version'), at(seen, 'schema')], [4711, 3, string])
  },
  'the id resolves': async api => {
    await api.register(await importing(api), string, { id: 4711, version: 1 })
    assert.equal(at(await api.get(byId(api, 4711)), 'schema'), string)
  },
  'the same once more is fine, and answers with all of it': async api => {
    const subject = await importing(api)
    await api.register(subject, string, { id: 4711, version: 1 })
    const body = await api.ok('POST', versionsOf(subject), { schema: string, id: 4711, version: 1 })
    assert.deepEqual([at(body, 'id'), at(body, 'version'), at(body, 'schema')], [4711, 1, string])
    assert.deepEqual(await api.versions(subject), [1])
  },
  'no version given is the next one': async api => {
    const subject = await importing(api)
    await api.register(subject, string, { id: 10, version: 4 })
    await api.register(subject, int, { id: 11 })
    assert.deepEqual(await api.versions(subject), [4, 5])
  },
  'gaps are fine': async api => {
    const subject = await importing(api)
    await api.register(subject, string, { id: 10, version: 2 })
    await api.register(subject, int, { id: 11, version: 9 })
    assert.deepEqual(await api.versions(subject), [2, 9])
  },
  'a lower version than the newest is fine': async api => {
    const subject = await importing(api)
    await api.register(subject, string, { id: 10, version: 5 })
    await api.register(subject, int, { id: 11, version: 3 })
    assert.deepEqual(await api.versions(subject), [3, 5])
    assert.equal(at(await api.version(subject, 'latest'), 'version'), 5)
  },
  'id 0 is an id': async api => {
    const subject = await importing(api)
    assert.equal(await api.register(subject, string, { id: 0, version: 1 }), 0)
    assert.equal(at(await api.version(subject, 1), 'id'), 0)
  },
  'an id that other content has is refused': async api => {
    const subject = await importing(api)
    await api.register(subject, string, { id: 4711, version: 1 })
    const words = await api.registerRefused(422, 42205, subject, int, { id: 4711, version: 2 })
    assert.equal(words, 'Overwrite new schema with id 4711 is not permitted.')
    assert.deepEqual(await api.versions(subject), [1])
  },
  'an id that other content has in another subject is refused': async api => {
    await api.register(await importing(api, 'a'), string, { id: 4711, version: 1 })
    await api.registerRefused(422, 42205, await importing(api, 'b'), int, { id: 4711, version: 1 })
  },
  'the same content and id in two subjects': async api => {
    await api.register(await importing(api, 'a'), string, { id: 4711, version: 1 })
    await api.register(await importing(api, 'b'), string, { id: 4711, version: 7 })
    assert.deepEqual(sorted(await api.get(byId(api, 4711, '/versions'))), [
      { subject: api.subject('a', api.context()), version: 1 },
      { subject: api.subject('b', api.context()), version: 7 }
    ])
  },
  'the same content can get a second id; the first one then tells only the later use': async api => {
    await api.register(await importing(api, 'a'), string, { id: 10, version: 1 })
    const later = await importing(api, 'b')
    await api.register(later, string, { id: 20, version: 1 })
    assert.equal(at(await api.get(byId(api, 10)), 'schema'), string)
    assert.deepEqual(await api.get(byId(api, 10, '/versions')), [{ subject: later, version: 1 }])
  },
  'a version that exists is overwritten without a word': async api => {
    const subject = await importing(api)
    await api.register(subject, string, { id: 10, version: 1 })
    await api.register(subject, int, { id: 11, version: 1 })
    assert.equal(at(await api.version(subject, 1), 'schema'), int)
  },
  'compatibility is not asked': async api => {
    const subject = await importing(api)
    await api.setConfig(subject, { compatibility: 'FULL_TRANSITIVE' })
    await api.register(subject, string, { id: 10, version: 1 })
    await api.register(subject, int, { id: 11, version: 2 })
  },
  'defaults of the config are not filled in': async api => {
    const subject = await importing(api)
    await api.setConfig(subject, { overrideMetadata: { properties: { owner: 'x' } } })
    await api.register(subject, string, { id: 10, version: 1 })
    assert.equal(at(await api.version(subject, 1), 'metadata'), undefined)
  },
  'without an id nothing new is taken': async api => {
    const words = await api.registerRefused(422, 42205, await importing(api), own(api))
    assert.match(words, /is not in read-write mode/)
  },
  'without an id what is there is answered': async api => {
    const subject = await importing(api)
    await api.register(subject, string, { id: 4711, version: 1 })
    assert.equal(await api.register(subject, string), 4711)
  },
  'something that cannot be parsed is refused': async api => {
    await api.registerRefused(422, 42201, await importing(api), avro.noFields, { id: 1, version: 1 })
  },
  'a reference that is not there is refused': async api => {
    const references = [{ name: 'com.x.Dep', subject: api.subject('dep', api.context()), version: 1 }]
    await api.registerRefused(422, 42201, await importing(api), avro.usesDep, { id: 1, version: 1, references })
  },
  'references that were imported before are found': async api => {
    await api.register(await importing(api, 'dep'), avro.dep, { id: 10, version: 4 })
    const references = [{ name: 'com.x.Dep', subject: api.subject('dep', api.context()), version: 4 }]
    const holder = await importing(api, 'holder')
    await api.register(holder, avro.usesDep, { id: 11, version: 1, references })
    assert.deepEqual(at(await api.version(holder, 1), 'references'), references)
  },
  'JSON and Protobuf': async api => {
    await api.register(await importing(api, 'j'), json.open, { ...asJson, id: 10, version: 2 })
    await api.register(await importing(api, 'p'), proto.m, { ...asProto, id: 11, version: 2 })
    assert.equal(at(await api.version(api.subject('j', api.context()), 2), 'id'), 10)
    assert.equal(at(await api.version(api.subject('p', api.context()), 2), 'id'), 11)
  },
  'versions can be deleted, softly and for good': async api => {
    const subject = await importing(api)
    await api.register(subject, string, { id: 10, version: 1 })
    await api.register(subject, int, { id: 11, version: 2 })
    await api.deleteVersion(subject, 1)
    assert.equal(at(await api.get(byId(api, 10)), 'schema'), string)
    await api.deleteVersion(subject, 1, '?permanent=true')
    await api.refused(404, 40403, 'GET', byId(api, 10))
  },
  'soft-deleting the last version ends the subject’s IMPORT': async api => {
    const subject = await importing(api)
    await api.register(subject, string, { id: 10, version: 1 })
    await api.deleteVersion(subject, 1)
    await api.refused(404, 40409, 'GET', `/mode/${encodeURIComponent(subject)}`)
    await api.registerRefused(422, 42205, subject, int, { id: 11, version: 2 })
  },
  'config can be set': async api => {
    const subject = await importing(api)
    await api.setConfig(subject, { compatibility: 'NONE' })
    assert.equal(at(await api.config(subject), 'compatibilityLevel'), 'NONE')
  },
  'after it, ids go on above the highest': async api => {
    const subject = await importing(api)
    await api.register(subject, string, { id: 4711, version: 1 })
    await api.setMode(subject, 'READWRITE')
    assert.equal(await api.register(api.subject('new', api.context()), own(api)), 4712)
  },
  'after it, an id is refused again': async api => {
    const subject = await importing(api)
    await api.register(subject, string, { id: 10, version: 1 })
    await api.setMode(subject, 'READWRITE')
    await api.registerRefused(422, 42205, subject, long, { id: 12, version: 2 })
  },
  'entering: refused where a version lives': async api => {
    const subject = api.subject('s', api.context())
    await api.register(subject, string)
    const path = `/mode/${encodeURIComponent(subject)}`
    const words = await api.refused(422, 42205, 'PUT', path, { mode: 'IMPORT' })
    assert.equal(words, 'Cannot import since found existing subjects')
    await api.refused(404, 40409, 'GET', path)
  },
  'entering with force where a version lives: everything stays': async api => {
    const subject = api.subject('s', api.context())
    const id = await api.register(subject, string)
    await api.setMode(subject, 'IMPORT', '?force=true')
    assert.equal(at(await api.version(subject, 1), 'id'), id)
    await api.register(subject, int, { id: id + 5, version: 2 })
    assert.deepEqual(await api.versions(subject), [1, 2])
  },
  'entering where only soft-deleted versions are deletes them for good': async api => {
    const subject = api.subject('s', api.context())
    const id = await api.register(subject, own(api))
    await api.deleteSubject(subject)
    await api.setMode(subject, 'IMPORT')
    await api.refused(404, 40401, 'GET', `${versionsOf(subject)}?deleted=true`)
    await api.refused(404, 40403, 'GET', byId(api, id))
  },
  'entering with force where only soft-deleted versions are keeps them': async api => {
    const subject = api.subject('s', api.context())
    await api.register(subject, own(api))
    await api.deleteSubject(subject)
    await api.setMode(subject, 'IMPORT', '?force=true')
    assert.deepEqual(await api.versions(subject, '?deleted=true'), [1])
  },
  'entering once more is fine': async api => {
    const subject = await importing(api)
    await api.register(subject, string, { id: 10, version: 1 })
    await api.setMode(subject, 'IMPORT')
    assert.deepEqual(await api.versions(subject), [1])
  },
  'a whole context in IMPORT': async api => {
    await api.setMode(`:${api.context()}:`, 'IMPORT')
    const subject = api.subject('s', api.context())
    assert.deepEqual(await api.mode(subject, '?defaultToGlobal=true'), { mode: 'IMPORT' })
    assert.equal(await api.register(subject, string, { id: 4711, version: 2 }), 4711)
  },
  'a whole context in IMPORT: refused where any subject of it lives': async api => {
    await api.register(api.subject('s', api.context()), string)
    const path = `/mode/${encodeURIComponent(`:${api.context()}:`)}`
    await api.refused(422, 42205, 'PUT', path, { mode: 'IMPORT' })
  },
  'a whole context in IMPORT: not ended by deletes': async api => {
    await api.setMode(`:${api.context()}:`, 'IMPORT')
    const subject = api.subject('s', api.context())
    await api.register(subject, string, { id: 10, version: 1 })
    await api.deleteVersion(subject, 1)
    await api.register(subject, int, { id: 11, version: 2 })
  },
  'a whole context in IMPORT: another context is not': async api => {
    await api.setMode(`:${api.context('a')}:`, 'IMPORT')
    await api.registerRefused(422, 42205, api.subject('s', api.context('b')), string, { id: 10, version: 1 })
  },
  'a whole context in IMPORT: entered while a subject of it is in IMPORT already and empty': async api => {
    await importing(api)
    await api.setMode(`:${api.context()}:`, 'IMPORT')
    assert.deepEqual(await api.mode(`:${api.context()}:`), { mode: 'IMPORT' })
  }
})
