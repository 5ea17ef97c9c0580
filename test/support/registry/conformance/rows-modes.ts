import assert from 'node:assert/strict'
import { at, type RowApi, rows, versionsOf } from './row.js'
import { avro } from './samples.js'

async function restoreRegistry(api: RowApi): Promise<void> {
  const before = at(await api.get('/mode'), 'mode')
  api.afterwards(() => api.call('PUT', '/mode?force=true', { mode: before }))
}

async function changeRegistry(api: RowApi, mode: string): Promise<void> {
  await restoreRegistry(api)
  await api.ok('PUT', '/mode', { mode })
}

/** A subject with one version. */
async function one(api: RowApi, mode?: string): Promise<string> {
  const subject = api.subject()
  await api.register(subject, avro.user)
  if (mode !== undefined) await api.setMode(subject, mode)
  return subject
}

export const modeRows = [
  ...rows('modes', {
    'the registry has a mode': async api => {
      assert.equal(at(await api.get('/mode'), 'mode'), 'READWRITE')
    },
    'where nothing is set: 40409': async api => {
      await api.refused(404, 40409, 'GET', `/mode/${api.subject()}`)
    },
    'where nothing is set, defaultToGlobal tells the registry’s': async api => {
      assert.equal(at(await api.mode(api.subject(), '?defaultToGlobal=true'), 'mode'), 'READWRITE')
    },
    'what is set is echoed and told': async api => {
      const subject = await one(api)
      assert.deepEqual(await api.setMode(subject, 'READONLY'), { mode: 'READONLY' })
      assert.deepEqual(await api.mode(subject), { mode: 'READONLY' })
    },
    'mode names in any case': async api => {
      const subject = await one(api)
      assert.deepEqual(await api.setMode(subject, 'ReadOnly'), { mode: 'ReadOnly' })
      assert.deepEqual(await api.mode(subject), { mode: 'READONLY' })
    },
    'an unknown mode is 42204': async api => {
      await api.refused(422, 42204, 'PUT', `/mode/${api.subject()}`, { mode: 'SOME' })
    },
    'deleting it answers with the old one': async api => {
      const subject = await one(api, 'READONLY')
      assert.deepEqual(await api.ok('DELETE', `/mode/${subject}`), { mode: 'READONLY' })
      await api.refused(404, 40409, 'GET', `/mode/${subject}`)
    },
    'deleting what is not set is 40401': async api => {
      await api.refused(404, 40401, 'DELETE', `/mode/${api.subject()}`)
    },
    'the registry’s mode cannot be deleted': async api => {
      assert.equal((await api.call('DELETE', '/mode')).status, 405)
    },
    'READONLY: nothing can be registered': async api => {
      const subject = await one(api, 'READONLY')
      const words = await api.registerRefused(422, 42205, subject, avro.userAge)
      assert.equal(words, `Subject ${subject} is in read-only mode`)
    },
    'READONLY: what is there already is answered': async api => {
      const subject = await one(api)
      const id = await api.register(subject, avro.user)
      await api.setMode(subject, 'READONLY')
      assert.equal(await api.register(subject, avro.user), id)
    },
    'READONLY: something broken is 42201, not 42205': async api => {
      await api.registerRefused(422, 42201, await one(api, 'READONLY'), avro.noFields)
    },
    'READONLY: no version can be deleted': async api => {
      await api.refused(422, 42205, 'DELETE', `${versionsOf(await one(api, 'READONLY'))}/1`)
    },
    'READONLY: the subject cannot be deleted': async api => {
      await api.refused(422, 42205, 'DELETE', `/subjects/${await one(api, 'READONLY')}`)
    },
    'READONLY: its config cannot be set': async api => {
      await api.refused(422, 42205, 'PUT', `/config/${await one(api, 'READONLY')}`, { compatibility: 'NONE' })
    },
    'READONLY: its config cannot be deleted': async api => {
      const subject = await one(api)
      await api.setConfig(subject, { compatibility: 'NONE' })
      await api.setMode(subject, 'READONLY')
      await api.refused(422, 42205, 'DELETE', `/config/${subject}`)
    },
    'READONLY: it can be read and looked up': async api => {
      const subject = await one(api, 'READONLY')
      assert.equal(at(await api.version(subject, 1), 'version'), 1)
      assert.equal(at(await api.ok('POST', `/subjects/${subject}`, { schema: avro.user }), 'version'), 1)
    },
    'READONLY: compatibility is answered': async api => {
      const subject = await one(api, 'READONLY')
      const body = await api.ok('POST', `/compatibility/subjects/${subject}/versions`, { schema: avro.userAge })
      assert.equal(at(body, 'is_compatible'), true)
    },
    'READONLY of one subject is not that of another': async api => {
      await one(api, 'READONLY')
      await api.register(api.subject('other'), avro.user)
    },
    'a mode can be set before the subject exists': async api => {
      await api.setMode(api.subject(), 'READONLY')
      await api.registerRefused(422, 42205, api.subject(), avro.user)
    },
    'READWRITE again: it goes on': async api => {
      const subject = await one(api, 'READONLY')
      await api.setMode(subject, 'READWRITE')
      await api.register(subject, avro.userAge)
    }
  }),
  ...rows(
    'modes',
    {
      'READONLY of the registry counts for subjects without a mode': async api => {
        const subject = await one(api)
        await changeRegistry(api, 'READONLY')
        await api.registerRefused(422, 42205, subject, avro.userAge)
        assert.deepEqual(await api.mode(subject, '?defaultToGlobal=true'), { mode: 'READONLY' })
      },
      'a subject’s READWRITE goes before the registry’s READONLY': async api => {
        const subject = await one(api, 'READWRITE')
        await changeRegistry(api, 'READONLY')
        await api.register(subject, avro.userAge)
      },
      'READONLY of the registry does not reach other contexts': async api => {
        const subject = api.subject('s', api.context())
        await changeRegistry(api, 'READONLY')
        await api.register(subject, avro.user)
        assert.deepEqual(await api.mode(subject, '?defaultToGlobal=true'), { mode: 'READWRITE' })
      },
      'READONLY_OVERRIDE of the registry goes before a subject’s own mode': async api => {
        const subject = await one(api, 'READWRITE')
        await changeRegistry(api, 'READONLY_OVERRIDE')
        await api.registerRefused(422, 42205, subject, avro.userAge)
        assert.deepEqual(await api.mode(subject), { mode: 'READONLY_OVERRIDE' })
      },
      'READONLY_OVERRIDE of the registry reaches other contexts': async api => {
        const subject = api.subject('s', api.context())
        await api.register(subject, avro.user)
        await changeRegistry(api, 'READONLY_OVERRIDE')
        await api.registerRefused(422, 42205, subject, avro.userAge)
      },
      'IMPORT of the registry is refused while any context has a subject': async api => {
        await restoreRegistry(api)
        await api.register(api.subject('s', api.context()), avro.user)
        const words = await api.refused(422, 42205, 'PUT', '/mode', { mode: 'IMPORT' })
        assert.equal(words, 'Cannot import since found existing subjects')
      }
    },
    'registry'
  )
]
