import assert from 'node:assert/strict'
import { at, type RowApi, rows, sorted, textAt, versionsOf } from './row.js'
import { asJson, asProto, avro, json, proto } from './samples.js'

const formats = [
  { format: 'Avro', extra: {}, dep: avro.dep, holder: avro.usesDep, called: 'com.x.Dep' },
  { format: 'JSON', extra: asJson, dep: json.dep, holder: json.usesDep, called: 'dep.json' },
  { format: 'Protobuf', extra: asProto, dep: proto.dep, holder: proto.usesDep, called: 'dep.proto' }
]

function reference(api: RowApi, version = 1, name = 'com.x.Dep'): { name: string; subject: string; version: number } {
  return { name, subject: api.subject('dep'), version }
}

/** `dep` and `holder`, the second referring to the first. */
async function pair(api: RowApi): Promise<number> {
  await api.register(api.subject('dep'), avro.dep)
  return api.register(api.subject('holder'), avro.usesDep, { references: [reference(api)] })
}

export const referenceRows = [
  ...formats.flatMap(({ format, extra, dep, holder, called }) =>
    rows('references', {
      [`${format}: a reference is stored and told`]: async api => {
        await api.register(api.subject('dep'), dep, extra)
        const references = [reference(api, 1, called)]
        await api.register(api.subject('holder'), holder, { ...extra, references })
        assert.deepEqual(at(await api.version(api.subject('holder'), 1), 'references'), references)
      },
      [`${format}: the same with its reference is the same`]: async api => {
        await api.register(api.subject('dep'), dep, extra)
        const references = [reference(api, 1, called)]
        const id = await api.register(api.subject('holder'), holder, { ...extra, references })
        assert.equal(await api.register(api.subject('holder'), holder, { ...extra, references }), id)
      },
      [`${format}: without the reference it is refused`]: async api => {
        await api.registerRefused(422, 42201, api.subject('holder'), holder, extra)
      },
      [`${format}: referencedby tells the id`]: async api => {
        await api.register(api.subject('dep'), dep, extra)
        const references = [reference(api, 1, called)]
        const id = await api.register(api.subject('holder'), holder, { ...extra, references })
        assert.deepEqual(await api.version(api.subject('dep'), '1/referencedby'), [id])
      }
    })
  ),
  ...rows('references', {
    'the content by id has its references': async api => {
      const id = await pair(api)
      assert.deepEqual(at(await api.get(`/schemas/ids/${id}`), 'references'), [reference(api)])
    },
    'Avro: a name that is referred to is stored by name': async api => {
      await pair(api)
      assert.match(textAt(await api.version(api.subject('holder'), 1), 'schema'), /"type":"Dep"/)
    },
    'a chain of references': async api => {
      await pair(api)
      const references = [{ name: 'com.x.Holder', subject: api.subject('holder'), version: 1 }]
      const id = await api.register(api.subject('top'), avro.usesHolder, { references })
      assert.deepEqual(await api.version(api.subject('holder'), '1/referencedby'), [id])
    },
    'a reference to an unknown subject is refused': async api => {
      const references = [{ name: 'com.x.Dep', subject: api.subject('nobody'), version: 1 }]
      await api.registerRefused(422, 42201, api.subject('holder'), avro.usesDep, { references })
    },
    'a reference to an unknown version is refused': async api => {
      await api.register(api.subject('dep'), avro.dep)
      await api.registerRefused(422, 42201, api.subject('holder'), avro.usesDep, { references: [reference(api, 5)] })
    },
    'a reference to version 0 is refused': async api => {
      await api.register(api.subject('dep'), avro.dep)
      await api.registerRefused(422, 42201, api.subject('holder'), avro.usesDep, { references: [reference(api, 0)] })
    },
    'a reference to version -1 is the latest, and stored as a number': async api => {
      await api.register(api.subject('dep'), avro.dep)
      await api.register(api.subject('holder'), avro.usesDep, { references: [reference(api, -1)] })
      assert.deepEqual(at(await api.version(api.subject('holder'), 1), 'references'), [reference(api)])
    },
    'a reference without version is refused': async api => {
      await api.register(api.subject('dep'), avro.dep)
      const references = [{ name: 'com.x.Dep', subject: api.subject('dep') }]
      await api.registerRefused(422, 42201, api.subject('holder'), avro.usesDep, { references })
    },
    'other references are another schema': async api => {
      await api.setConfig(api.subject('dep'), { compatibility: 'NONE' })
      await api.register(api.subject('dep'), avro.dep)
      await api.register(api.subject('dep'), avro.dep.replace('"int"', '"long"'))
      const first = await api.register(api.subject('a'), avro.usesDep, { references: [reference(api, 1)] })
      const second = await api.register(api.subject('b'), avro.usesDep, { references: [reference(api, 2)] })
      assert.notEqual(first, second)
    },
    'referencedby of what nobody refers to is empty': async api => {
      await pair(api)
      assert.deepEqual(await api.version(api.subject('holder'), '1/referencedby'), [])
    },
    'referencedby lists every id': async api => {
      const first = await pair(api)
      const other = avro.usesDep.replace('"Holder"', '"Other"')
      const second = await api.register(api.subject('other'), other, { references: [reference(api)] })
      assert.deepEqual(sorted(await api.version(api.subject('dep'), '1/referencedby')), sorted([first, second]))
    },
    'referencedby takes latest': async api => {
      const id = await pair(api)
      assert.deepEqual(await api.version(api.subject('dep'), 'latest/referencedby'), [id])
    },
    'referencedby of an unknown subject is 40401': async api => {
      await api.refused(404, 40401, 'GET', `${versionsOf(api.subject())}/1/referencedby`)
    },
    'referencedby of an unknown version is 40402': async api => {
      await pair(api)
      await api.refused(404, 40402, 'GET', `${versionsOf(api.subject('dep'))}/9/referencedby`)
    },
    'a version that is referred to cannot be deleted: 42206': async api => {
      await pair(api)
      await api.refused(422, 42206, 'DELETE', `${versionsOf(api.subject('dep'))}/1`)
    },
    'a subject that is referred to cannot be deleted: 42206': async api => {
      await pair(api)
      await api.refused(422, 42206, 'DELETE', `/subjects/${api.subject('dep')}`)
    },
    'a soft-deleted referrer does not count': async api => {
      await pair(api)
      await api.deleteVersion(api.subject('holder'), 1)
      assert.deepEqual(await api.version(api.subject('dep'), '1/referencedby'), [])
      assert.equal(await api.deleteVersion(api.subject('dep'), 1), 1)
    },
    'a soft-deleted version can be referred to': async api => {
      await api.register(api.subject('dep'), avro.dep)
      await api.deleteSubject(api.subject('dep'))
      await api.register(api.subject('holder'), avro.usesDep, { references: [reference(api)] })
    },
    'a soft-deleted version is not the latest for a reference': async api => {
      await api.register(api.subject('dep'), avro.dep)
      await api.deleteSubject(api.subject('dep'))
      await api.registerRefused(422, 42201, api.subject('holder'), avro.usesDep, { references: [reference(api, -1)] })
    },
    'Avro: with everything spelled out it is found under the version with references': async api => {
      const id = await pair(api)
      const schema = avro.usesDep.replace('"com.x.Dep"', avro.dep)
      assert.equal(at(await api.ok('POST', `/subjects/${api.subject('holder')}`, { schema }), 'id'), id)
    }
  })
]
