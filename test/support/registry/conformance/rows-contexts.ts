import assert from 'node:assert/strict'
import { at, integerAt, type RowApi, rows, sorted } from './row.js'
import { avro, own } from './samples.js'

function inContext(api: RowApi, path: string): string {
  return `/contexts/${api.context()}${path}`
}

/** The same short name in a context. */
function there(api: RowApi, name = 's'): string {
  return api.subject(name, api.context())
}

export const contextRows = rows('contexts', {
  'the first name of the list is the default context': async api => {
    assert.equal(at(await api.get('/contexts'), 0), '.')
  },
  'a context exists once something is registered in it': async api => {
    await api.register(there(api), avro.user)
    const contexts = await api.get('/contexts')
    assert.ok(Array.isArray(contexts) && contexts.includes(api.context()), JSON.stringify(contexts))
  },
  'a context stays when it is emptied': async api => {
    await api.register(there(api), avro.user)
    await api.deleteSubject(there(api))
    await api.deleteSubject(there(api), '?permanent=true')
    const contexts = await api.get('/contexts')
    assert.ok(Array.isArray(contexts) && contexts.includes(api.context()), JSON.stringify(contexts))
  },
  'a mode alone makes no context': async api => {
    await api.setMode(`:${api.context()}:`, 'READWRITE')
    const contexts = await api.get('/contexts')
    assert.ok(Array.isArray(contexts) && !contexts.includes(api.context()), JSON.stringify(contexts))
  },
  'ids begin at 1 in each context': async api => {
    assert.equal(await api.register(api.subject('s', api.context('a')), own(api, 'A')), 1)
    assert.equal(await api.register(api.subject('s', api.context('b')), own(api, 'B')), 1)
    assert.equal(await api.register(api.subject('t', api.context('b')), own(api, 'A')), 2)
  },
  'the same content in two subjects of a context has one id': async api => {
    const id = await api.register(there(api, 'a'), avro.user)
    assert.equal(await api.register(there(api, 'b'), avro.user), id)
  },
  'names come back with their context': async api => {
    await api.register(there(api), avro.user)
    assert.equal(at(await api.version(there(api), 1), 'subject'), there(api))
  },
  'the same name in two contexts is two subjects': async api => {
    await api.register(api.subject(), avro.user)
    await api.register(there(api), avro.string)
    assert.equal(at(await api.version(api.subject(), 1), 'schema'), avro.user)
    assert.equal(at(await api.version(there(api), 1), 'schema'), avro.string)
  },
  'all subjects are listed with their contexts': async api => {
    await api.register(there(api), avro.user)
    const subjects = await api.get('/subjects')
    assert.ok(Array.isArray(subjects) && subjects.includes(there(api)))
  },
  'subjects of the default context only: an empty prefix': async api => {
    await api.register(api.subject(), avro.user)
    await api.register(there(api), avro.user)
    const subjects = await api.get('/subjects?subjectPrefix=')
    assert.ok(Array.isArray(subjects) && subjects.includes(api.subject()) && !subjects.includes(there(api)))
  },
  'subjects of one context: its prefix': async api => {
    await api.register(api.subject(), avro.user)
    await api.register(there(api), avro.user)
    assert.deepEqual(await api.get(`/subjects?subjectPrefix=${encodeURIComponent(`:${api.context()}:`)}`), [there(api)])
  },
  'subjects of all contexts that begin alike: a wildcard': async api => {
    await api.register(api.subject(), avro.user)
    await api.register(there(api), avro.user)
    const query = `subjectPrefix=${encodeURIComponent(`:*:${api.prefix}`)}`
    assert.deepEqual(sorted(await api.get(`/subjects?${query}`)), sorted([there(api), api.subject()]))
  },
  'GET /schemas takes the same prefixes': async api => {
    const id = await api.register(there(api), avro.user)
    const wanted = [{ subject: there(api), version: 1, id, schema: avro.user }]
    assert.deepEqual(await api.get(`/schemas?subjectPrefix=${encodeURIComponent(`:${api.context()}:`)}`), wanted)
    assert.deepEqual(await api.get(`/schemas?subjectPrefix=${encodeURIComponent(`:*:${api.prefix}`)}`), wanted)
    assert.deepEqual(await api.get(`/schemas?subjectPrefix=${api.prefix}`), [])
  },
  'the default context can be written out': async api => {
    const written = `:.:${api.subject()}`
    for (const query of ['?permanent=true', '']) {
      api.afterwards(() => api.call('DELETE', `/subjects/${encodeURIComponent(written)}${query}`))
    }
    await api.register(written, avro.user)
    assert.deepEqual(await api.versions(api.subject()), [1])
  },
  'a context of its own may hold colons in subjects': async api => {
    await api.register(there(api, 'a:b'), avro.user)
    assert.equal(at(await api.version(there(api, 'a:b'), 1), 'subject'), there(api, 'a:b'))
  },
  'an id without a context is one of the default context': async api => {
    const id = await api.register(api.subject(), own(api))
    await api.register(there(api), own(api, 'Elsewhere'))
    assert.equal(at(await api.get(`/schemas/ids/${id}`), 'schema'), own(api))
  },
  'an id of a context, by a subject of it': async api => {
    const id = await api.register(there(api), own(api))
    const query = `subject=${encodeURIComponent(there(api))}`
    assert.equal(at(await api.get(`/schemas/ids/${id}?${query}`), 'schema'), own(api))
    assert.deepEqual(await api.get(`/schemas/ids/${id}/versions?${query}`), [{ subject: there(api), version: 1 }])
  },
  'an id of a context, by the context': async api => {
    const id = await api.register(there(api), own(api))
    const query = `subject=${encodeURIComponent(`:${api.context()}:`)}`
    assert.equal(at(await api.get(`/schemas/ids/${id}?${query}`), 'schema'), own(api))
    assert.deepEqual(await api.get(`/schemas/ids/${id}/subjects?${query}`), [there(api)])
  },
  'an id of a context that does not exist is 40403': async api => {
    const id = await api.register(api.subject(), own(api))
    const query = `subject=${encodeURIComponent(`:${api.context('nobody')}:`)}`
    await api.refused(404, 40403, 'GET', `/schemas/ids/${id}?${query}`)
  },
  'a version asked for without a context is found in another one': async api => {
    await api.register(there(api), own(api))
    assert.equal(at(await api.version(`${api.prefix}.s`, 1), 'subject'), there(api))
  },
  'looking up without a context finds another one': async api => {
    await api.register(there(api), own(api))
    const found = await api.ok('POST', `/subjects/${api.prefix}.s`, { schema: own(api) })
    assert.equal(at(found, 'subject'), there(api))
  },
  'the list of versions does not look into other contexts': async api => {
    await api.register(there(api), own(api))
    await api.refused(404, 40401, 'GET', `/subjects/${api.prefix}.s/versions`)
  },
  'a reference without a context is one of its subject’s context': async api => {
    await api.register(there(api, 'dep'), avro.dep)
    const references = [{ name: 'com.x.Dep', subject: `${api.prefix}.dep`, version: 1 }]
    const id = await api.register(there(api, 'holder'), avro.usesDep, { references })
    assert.deepEqual(at(await api.version(there(api, 'holder'), 1), 'references'), references)
    assert.deepEqual(await api.version(there(api, 'dep'), '1/referencedby'), [id])
  },
  'a reference into another context': async api => {
    const dep = api.subject('dep', api.context('a'))
    await api.register(dep, avro.dep)
    const references = [{ name: 'com.x.Dep', subject: dep, version: 1 }]
    const id = await api.register(api.subject('holder', api.context('b')), avro.usesDep, { references })
    assert.deepEqual(await api.version(dep, '1/referencedby'), [id])
  },
  'config of a context counts for its subjects': async api => {
    await api.setConfig(`:${api.context()}:`, { compatibility: 'NONE' })
    await api.register(there(api), avro.string)
    await api.register(there(api), avro.int)
    assert.equal(at(await api.config(there(api), '?defaultToGlobal=true'), 'compatibilityLevel'), 'NONE')
    await api.refused(404, 40408, 'GET', `/config/${encodeURIComponent(there(api))}`)
  },
  'a subject’s config hides that of its context as a whole': async api => {
    await api.setConfig(`:${api.context()}:`, { compatibility: 'NONE' })
    await api.setConfig(there(api), { normalize: true })
    assert.deepEqual(await api.config(there(api), '?defaultToGlobal=true'), {
      compatibilityLevel: 'BACKWARD',
      normalize: true
    })
  },
  'mode of a context counts for its subjects': async api => {
    await api.register(there(api), avro.user)
    await api.setMode(`:${api.context()}:`, 'READONLY')
    await api.registerRefused(422, 42205, there(api), avro.userAge)
    await api.register(api.subject(), avro.user)
  },
  'as a path: register and read': async api => {
    const body = await api.ok('POST', inContext(api, `/subjects/${api.prefix}.s/versions`), { schema: avro.user })
    assert.equal(integerAt(body, 'id'), 1)
    assert.deepEqual(await api.versions(there(api)), [1])
    assert.equal(at(await api.get(inContext(api, `/subjects/${api.prefix}.s/versions/1`)), 'subject'), there(api))
  },
  'as a path: subjects and schemas of the context': async api => {
    await api.register(there(api), avro.user)
    assert.deepEqual(await api.get(inContext(api, '/subjects')), [there(api)])
    assert.equal(at(await api.get(inContext(api, '/schemas')), 0, 'subject'), there(api))
  },
  'as a path: ids of the context': async api => {
    const id = await api.register(there(api), own(api))
    assert.equal(at(await api.get(inContext(api, `/schemas/ids/${id}`)), 'schema'), own(api))
    assert.deepEqual(await api.get(inContext(api, `/schemas/ids/${id}/subjects`)), [there(api)])
  },
  'as a path: config and mode of the context': async api => {
    api.afterwards(() => api.call('DELETE', `/config/${encodeURIComponent(`:${api.context()}:`)}`))
    await api.ok('PUT', inContext(api, '/config'), { compatibility: 'FULL' })
    assert.deepEqual(await api.config(`:${api.context()}:`), { compatibilityLevel: 'FULL' })
    await api.setMode(`:${api.context()}:`, 'READONLY')
    assert.deepEqual(await api.get(inContext(api, '/mode')), { mode: 'READONLY' })
  },
  'as a path: a context with a colon is 400': async api => {
    assert.equal((await api.call('GET', '/contexts/.a:b/subjects')).status, 400)
  }
})
