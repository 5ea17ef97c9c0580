import assert from 'node:assert/strict'
import { at, type Json, type RowApi, rows, textAt } from './row.js'
import { avro, own } from './samples.js'

/** `s0` (two versions), `s1` (soft-deleted), `s2`. */
async function three(api: RowApi): Promise<{ prefix: string; names: string[] }> {
  const names = ['s0', 's1', 's2'].map(name => api.subject(name))
  for (const [n, name] of names.entries()) await api.register(name, own(api, `S${n}`))
  await api.register(
    api.subject('s0'),
    own(api, 'S0', '{"name":"a","type":"int"},{"name":"b","type":"int","default":0}')
  )
  await api.deleteVersion(api.subject('s1'), 1)
  return { prefix: `subjectPrefix=${api.prefix}`, names }
}

function seen(list: Json): unknown {
  assert.ok(Array.isArray(list), JSON.stringify(list))
  return list.map(entry => `${textAt(entry, 'subject')}/${textAt(entry, 'version')}`)
}

async function listed(api: RowApi, query: string, versions: string[]): Promise<void> {
  const { prefix } = await three(api)
  const wanted = versions.map(version => `${api.prefix}.${version}`)
  assert.deepEqual(seen(await api.get(`/schemas?${prefix}${query}`)), wanted)
}

export const listRows = [
  ...rows('subjects', {
    'a registered subject is listed': async api => {
      await api.register(api.subject(), avro.user)
      const subjects = await api.get('/subjects')
      assert.ok(Array.isArray(subjects) && subjects.includes(api.subject()))
    },
    'a soft-deleted subject is not listed': async api => {
      await three(api)
      const subjects = await api.get('/subjects')
      assert.ok(Array.isArray(subjects) && !subjects.includes(api.subject('s1')))
    },
    'deleted=true lists it too': async api => {
      await three(api)
      const subjects = await api.get('/subjects?deleted=true')
      assert.ok(Array.isArray(subjects) && subjects.includes(api.subject('s1')) && subjects.includes(api.subject('s2')))
    },
    'deletedOnly=true lists only those': async api => {
      await three(api)
      const subjects = await api.get('/subjects?deletedOnly=true')
      assert.ok(
        Array.isArray(subjects) && subjects.includes(api.subject('s1')) && !subjects.includes(api.subject('s2'))
      )
    },
    'a hard-deleted subject is not listed at all': async api => {
      await three(api)
      await api.deleteSubject(api.subject('s1'), '?permanent=true')
      const subjects = await api.get('/subjects?deleted=true')
      assert.ok(Array.isArray(subjects) && !subjects.includes(api.subject('s1')))
    },
    'they come by a prefix': async api => {
      const { prefix } = await three(api)
      assert.deepEqual(await api.get(`/subjects?${prefix}`), [api.subject('s0'), api.subject('s2')])
    },
    'a prefix that nothing begins with has none': async api => {
      await three(api)
      assert.deepEqual(await api.get(`/subjects?subjectPrefix=${api.prefix}-nothing`), [])
    },
    'they come in the order of their names, by pages': async api => {
      const { prefix, names } = await three(api)
      const pages = [0, 1, 2].map(offset => api.get(`/subjects?${prefix}&deleted=true&offset=${offset}&limit=1`))
      assert.deepEqual((await Promise.all(pages)).flat(), names)
    },
    'limit=0 is no limit': async api => {
      const { prefix } = await three(api)
      assert.deepEqual(await api.get(`/subjects?${prefix}&limit=0`), [api.subject('s0'), api.subject('s2')])
    },
    'an offset beyond the end gives nothing': async api => {
      const { prefix } = await three(api)
      assert.deepEqual(await api.get(`/subjects?${prefix}&offset=100`), [])
    },
    'a limit that is no number is 404': async api => {
      assert.equal((await api.call('GET', '/subjects?limit=x')).status, 404)
    }
  }),
  ...rows(
    'subjects',
    {
      'a page begins at the offset and ends at the limit': async api => {
        await three(api)
        const all = await api.get('/subjects')
        assert.ok(Array.isArray(all))
        assert.deepEqual(await api.get('/subjects?offset=1&limit=1'), all.slice(1, 2))
      }
    },
    'alone'
  ),
  ...rows('schemas', {
    'the list has subject, version, id and schema': async api => {
      const id = await api.register(api.subject(), own(api))
      assert.deepEqual(await api.get(`/schemas?subjectPrefix=${api.prefix}`), [
        { subject: api.subject(), version: 1, id, schema: own(api) }
      ])
    },
    'the list has every version, soft-deleted ones left out': api => listed(api, '', ['s0/1', 's0/2', 's2/1']),
    'deleted=true lists them too': api => listed(api, '&deleted=true', ['s0/1', 's0/2', 's1/1', 's2/1']),
    'latestOnly=true lists one version a subject': api => listed(api, '&latestOnly=true', ['s0/2', 's2/1']),
    'latestOnly with deleted': api => listed(api, '&latestOnly=true&deleted=true', ['s0/2', 's1/1', 's2/1']),
    'by pages: from an offset': api => listed(api, '&offset=1', ['s0/2', 's2/1']),
    'by pages: up to a limit': api => listed(api, '&limit=2', ['s0/1', 's0/2']),
    'by pages: both': api => listed(api, '&offset=1&limit=1', ['s0/2']),
    'by pages: beyond the end': api => listed(api, '&offset=100', []),
    'no other subject than those with the prefix': async api => {
      await three(api)
      assert.deepEqual(seen(await api.get(`/schemas?subjectPrefix=${api.subject('s2')}`)), [`${api.subject('s2')}/1`])
    },
    'a prefix that nothing begins with has none': async api => {
      assert.deepEqual(await api.get(`/schemas?subjectPrefix=${api.prefix}-nothing`), [])
    },
    'the list tells references': async api => {
      await api.register(api.subject('dep'), avro.dep)
      const references = [{ name: 'com.x.Dep', subject: api.subject('dep'), version: 1 }]
      await api.register(api.subject('holder'), avro.usesDep, { references })
      const list = await api.get(`/schemas?subjectPrefix=${api.subject('holder')}`)
      assert.deepEqual(at(list, 0, 'references'), references)
    },
    'there are three schema types': async api => {
      const types = await api.get('/schemas/types')
      assert.ok(Array.isArray(types))
      assert.deepEqual(types.toSorted(), ['AVRO', 'JSON', 'PROTOBUF'])
    }
  })
]
