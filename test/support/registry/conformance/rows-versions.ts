import assert from 'node:assert/strict'
import { at, type RowApi, rows, sorted, versionsOf } from './row.js'
import { avro, own } from './samples.js'

async function two(api: RowApi): Promise<{ subject: string; ids: [number, number] }> {
  const subject = api.subject()
  return { subject, ids: [await api.register(subject, avro.user), await api.register(subject, avro.userAge)] }
}

export const versionRows = rows('versions', {
  'a version has subject, version, id and schema': async api => {
    const { subject, ids } = await two(api)
    assert.deepEqual(await api.version(subject, 2), { subject, version: 2, id: ids[1], schema: avro.userAge })
  },
  'latest is the newest': async api => {
    const { subject } = await two(api)
    assert.equal(at(await api.version(subject, 'latest'), 'version'), 2)
  },
  'latest in any case': async api => {
    const { subject } = await two(api)
    assert.equal(at(await api.version(subject, 'LATEST'), 'version'), 2)
  },
  '-1 is the newest': async api => {
    const { subject } = await two(api)
    assert.equal(at(await api.version(subject, -1), 'version'), 2)
  },
  'the schema alone is sent as it is': async api => {
    const { subject } = await two(api)
    const answer = await api.call('GET', `${versionsOf(subject)}/1/schema`)
    assert.deepEqual([answer.status, answer.text], [200, avro.user])
  },
  'an unknown version is 40402': async api => {
    const { subject } = await two(api)
    await api.refused(404, 40402, 'GET', `${versionsOf(subject)}/3`)
  },
  'version 0 is 42202': async api => {
    const { subject } = await two(api)
    await api.refused(422, 42202, 'GET', `${versionsOf(subject)}/0`)
  },
  'version -2 is 42202': async api => {
    const { subject } = await two(api)
    await api.refused(422, 42202, 'GET', `${versionsOf(subject)}/-2`)
  },
  'a version that is no number is 42202': async api => {
    const { subject } = await two(api)
    await api.refused(422, 42202, 'GET', `${versionsOf(subject)}/abc`)
  },
  'a version beyond 2^31 is 42202': async api => {
    const { subject } = await two(api)
    await api.refused(422, 42202, 'GET', `${versionsOf(subject)}/2147483648`)
  },
  'versions of an unknown subject: 40401': async api => {
    await api.refused(404, 40401, 'GET', versionsOf(api.subject()))
  },
  'a version of an unknown subject: 40401': async api => {
    await api.refused(404, 40401, 'GET', `${versionsOf(api.subject())}/1`)
  },
  'latest of an unknown subject: 40401': async api => {
    await api.refused(404, 40401, 'GET', `${versionsOf(api.subject())}/latest`)
  },
  'versions leave soft-deleted ones out': async api => {
    const { subject } = await two(api)
    await api.deleteVersion(subject, 1)
    assert.deepEqual(await api.versions(subject), [2])
  },
  'versions?deleted=true has them all': async api => {
    const { subject } = await two(api)
    await api.deleteVersion(subject, 1)
    assert.deepEqual(await api.versions(subject, '?deleted=true'), [1, 2])
  },
  'versions?deletedOnly=true has only those': async api => {
    const { subject } = await two(api)
    await api.deleteVersion(subject, 1)
    assert.deepEqual(await api.versions(subject, '?deletedOnly=true'), [1])
  },
  'deleted=TRUE counts, deleted=1 does not': async api => {
    const { subject } = await two(api)
    await api.deleteVersion(subject, 1)
    assert.deepEqual(await api.versions(subject, '?deleted=TRUE'), [1, 2])
    assert.deepEqual(await api.versions(subject, '?deleted=1'), [2])
  },
  'a soft-deleted version is 40402': async api => {
    const { subject } = await two(api)
    await api.deleteVersion(subject, 1)
    await api.refused(404, 40402, 'GET', `${versionsOf(subject)}/1`)
  },
  'a soft-deleted version with deleted=true is there': async api => {
    const { subject, ids } = await two(api)
    await api.deleteVersion(subject, 1)
    assert.equal(at(await api.version(subject, 1, '?deleted=true'), 'id'), ids[0])
  },
  'latest is never a soft-deleted one': async api => {
    const { subject } = await two(api)
    await api.deleteVersion(subject, 2)
    assert.equal(at(await api.version(subject, 'latest', '?deleted=true'), 'version'), 1)
  },
  'latest of a subject with only soft-deleted versions: 40402 with deleted=true': async api => {
    const { subject } = await two(api)
    await api.deleteSubject(subject)
    await api.refused(404, 40401, 'GET', `${versionsOf(subject)}/latest`)
    await api.refused(404, 40402, 'GET', `${versionsOf(subject)}/latest?deleted=true`)
  },
  'looking up a soft-deleted version: 40403, unless deleted=true': async api => {
    const { subject } = await two(api)
    await api.deleteVersion(subject, 1)
    await api.refused(404, 40403, 'POST', `/subjects/${subject}`, { schema: avro.user })
    assert.equal(at(await api.ok('POST', `/subjects/${subject}?deleted=true`, { schema: avro.user }), 'version'), 1)
  }
})

export const idRows = rows('ids', {
  'an id has its schema': async api => {
    const schema = own(api)
    const id = await api.register(api.subject(), schema)
    assert.deepEqual(await api.get(`/schemas/ids/${id}`), { schema })
  },
  'the schema of an id alone is sent as it is': async api => {
    const schema = own(api)
    const id = await api.register(api.subject(), schema)
    assert.equal((await api.call('GET', `/schemas/ids/${id}/schema`)).text, schema)
  },
  'an unknown id is 40403': async api => {
    await api.refused(404, 40403, 'GET', '/schemas/ids/99999999')
  },
  'an unknown id has no versions: 40403': async api => {
    await api.refused(404, 40403, 'GET', '/schemas/ids/99999999/versions')
  },
  'an unknown id has no subjects: 40403': async api => {
    await api.refused(404, 40403, 'GET', '/schemas/ids/99999999/subjects')
  },
  'an id that is no number is 404': async api => {
    assert.equal((await api.call('GET', '/schemas/ids/abc')).status, 404)
  },
  'subjects of an id': async api => {
    const id = await api.register(api.subject('a'), own(api))
    await api.register(api.subject('b'), own(api))
    assert.deepEqual(sorted(await api.get(`/schemas/ids/${id}/subjects`)), [api.subject('a'), api.subject('b')])
  },
  'versions of an id': async api => {
    const id = await api.register(api.subject('a'), own(api))
    await api.register(api.subject('b'), own(api))
    assert.deepEqual(sorted(await api.get(`/schemas/ids/${id}/versions`)), [
      { subject: api.subject('a'), version: 1 },
      { subject: api.subject('b'), version: 1 }
    ])
  },
  'a soft-deleted version still has its id': async api => {
    const id = await api.register(api.subject(), own(api))
    await api.deleteSubject(api.subject())
    assert.equal(at(await api.get(`/schemas/ids/${id}`), 'schema'), own(api))
  },
  'subjects of an id leave soft-deleted ones out, unless deleted=true': async api => {
    const id = await api.register(api.subject(), own(api))
    await api.deleteSubject(api.subject())
    assert.deepEqual(await api.get(`/schemas/ids/${id}/subjects`), [])
    assert.deepEqual(await api.get(`/schemas/ids/${id}/subjects?deleted=true`), [api.subject()])
  },
  'versions of an id leave soft-deleted ones out, unless deleted=true': async api => {
    const id = await api.register(api.subject(), own(api))
    await api.deleteSubject(api.subject())
    assert.deepEqual(await api.get(`/schemas/ids/${id}/versions`), [])
    assert.deepEqual(await api.get(`/schemas/ids/${id}/versions?deleted=true`), [
      { subject: api.subject(), version: 1 }
    ])
  },
  'fetchMaxId tells the highest id so far': async api => {
    const id = await api.register(api.subject(), own(api))
    const body = await api.get(`/schemas/ids/${id}?fetchMaxId=true`)
    assert.ok(Number(at(body, 'maxId')) >= id, JSON.stringify(body))
  },
  'after the last use was hard-deleted the id is gone': async api => {
    const id = await api.register(api.subject(), own(api))
    await api.deleteSubject(api.subject())
    await api.deleteSubject(api.subject(), '?permanent=true')
    await api.refused(404, 40403, 'GET', `/schemas/ids/${id}`)
  },
  'after the last use was hard-deleted the content gets a new id': async api => {
    const id = await api.register(api.subject(), own(api))
    await api.deleteSubject(api.subject())
    await api.deleteSubject(api.subject(), '?permanent=true')
    assert.notEqual(await api.register(api.subject(), own(api)), id)
  },
  'an id that another subject uses survives a hard delete': async api => {
    const id = await api.register(api.subject('a'), own(api))
    await api.register(api.subject('b'), own(api))
    await api.deleteSubject(api.subject('a'))
    await api.deleteSubject(api.subject('a'), '?permanent=true')
    assert.deepEqual(await api.get(`/schemas/ids/${id}/subjects`), [api.subject('b')])
    assert.equal(await api.register(api.subject('a'), own(api)), id)
  }
})
