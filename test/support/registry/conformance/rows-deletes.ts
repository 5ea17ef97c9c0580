import assert from 'node:assert/strict'
import { at, type RowApi, rows, versionsOf } from './row.js'
import { avro, own } from './samples.js'

async function two(api: RowApi): Promise<string> {
  const subject = api.subject()
  await api.register(subject, avro.user)
  await api.register(subject, avro.userAge)
  return subject
}

export const deleteRows = rows('deletes', {
  'deleting a version answers with its number': async api => {
    assert.equal(await api.deleteVersion(await two(api), 1), 1)
  },
  'deleting the latest version answers with its number': async api => {
    assert.equal(await api.deleteVersion(await two(api), 'latest'), 2)
  },
  'deleting a version twice is 40406': async api => {
    const subject = await two(api)
    await api.deleteVersion(subject, 1)
    await api.refused(404, 40406, 'DELETE', `${versionsOf(subject)}/1`)
  },
  'a version is deleted softly before it is deleted for good: 40407': async api => {
    await api.refused(404, 40407, 'DELETE', `${versionsOf(await two(api))}/1?permanent=true`)
  },
  'a soft-deleted version can be deleted for good, once': async api => {
    const subject = await two(api)
    await api.deleteVersion(subject, 1)
    assert.equal(await api.deleteVersion(subject, 1, '?permanent=true'), 1)
    await api.refused(404, 40402, 'DELETE', `${versionsOf(subject)}/1?permanent=true`)
    assert.deepEqual(await api.versions(subject, '?deleted=true'), [2])
  },
  'deleting an unknown version is 40402': async api => {
    await api.refused(404, 40402, 'DELETE', `${versionsOf(await two(api))}/9`)
  },
  'deleting a version of an unknown subject is 40401': async api => {
    await api.refused(404, 40401, 'DELETE', `${versionsOf(api.subject())}/1`)
  },
  'deleting version 0 is 42202': async api => {
    await api.refused(422, 42202, 'DELETE', `${versionsOf(await two(api))}/0`)
  },
  'deleting a version that is no number is 42202': async api => {
    await api.refused(422, 42202, 'DELETE', `${versionsOf(await two(api))}/abc`)
  },
  'deleting the latest where none is alive is 40402': async api => {
    const subject = await two(api)
    await api.deleteSubject(subject)
    await api.refused(404, 40402, 'DELETE', `${versionsOf(subject)}/latest`)
  },
  'deleting a subject answers with its versions': async api => {
    assert.deepEqual(await api.deleteSubject(await two(api)), [1, 2])
  },
  'deleting a subject leaves out versions that are deleted already': async api => {
    const subject = await two(api)
    await api.deleteVersion(subject, 1)
    assert.deepEqual(await api.deleteSubject(subject), [2])
  },
  'deleting a subject twice is 40404': async api => {
    const subject = await two(api)
    await api.deleteSubject(subject)
    await api.refused(404, 40404, 'DELETE', `/subjects/${subject}`)
  },
  'a subject is deleted softly before it is deleted for good: 40405': async api => {
    await api.refused(404, 40405, 'DELETE', `/subjects/${await two(api)}?permanent=true`)
  },
  'one living version keeps the subject from being deleted for good: 40405': async api => {
    const subject = await two(api)
    await api.deleteVersion(subject, 1)
    await api.refused(404, 40405, 'DELETE', `/subjects/${subject}?permanent=true`)
  },
  'deleting a subject for good answers with all its versions': async api => {
    const subject = await two(api)
    await api.deleteVersion(subject, 1)
    await api.deleteSubject(subject)
    assert.deepEqual(await api.deleteSubject(subject, '?permanent=true'), [1, 2])
    await api.refused(404, 40401, 'GET', `${versionsOf(subject)}?deleted=true`)
  },
  'deleting an unknown subject is 40401': async api => {
    await api.refused(404, 40401, 'DELETE', `/subjects/${api.subject()}`)
  },
  'deleting an unknown subject for good is 40401': async api => {
    await api.refused(404, 40401, 'DELETE', `/subjects/${api.subject()}?permanent=true`)
  },
  'a subject without living versions is 40401': async api => {
    const subject = await two(api)
    await api.deleteVersion(subject, 1)
    await api.deleteVersion(subject, 2)
    await api.refused(404, 40401, 'GET', versionsOf(subject))
  },
  'version numbers go on after a soft delete': async api => {
    const subject = await two(api)
    await api.deleteSubject(subject)
    await api.register(subject, avro.userInt)
    assert.deepEqual(await api.versions(subject, '?deleted=true'), [1, 2, 3])
  },
  'what was deleted is not asked whether it is compatible': async api => {
    const subject = await two(api)
    await api.setConfig(subject, { compatibility: 'FULL_TRANSITIVE' })
    await api.deleteSubject(subject)
    await api.register(subject, avro.userInt)
  },
  'the same content again takes the place of its soft-deleted version': async api => {
    const subject = await two(api)
    await api.deleteSubject(subject)
    await api.register(subject, avro.user)
    assert.deepEqual(await api.versions(subject, '?deleted=true'), [2, 3])
  },
  'the same content again after a soft delete has the same id': async api => {
    const id = await api.register(api.subject(), own(api))
    await api.deleteSubject(api.subject())
    assert.equal(await api.register(api.subject(), own(api)), id)
  },
  'version numbers begin again after a hard delete': async api => {
    const subject = await two(api)
    await api.deleteSubject(subject)
    await api.deleteSubject(subject, '?permanent=true')
    await api.register(subject, avro.userInt)
    assert.deepEqual(await api.versions(subject), [1])
  },
  'the number of a hard-deleted newest version is given again': async api => {
    const subject = await two(api)
    await api.deleteVersion(subject, 2)
    await api.deleteVersion(subject, 2, '?permanent=true')
    await api.register(subject, avro.userAge)
    assert.deepEqual(await api.versions(subject), [1, 2])
  },
  'deleting a subject deletes its config': async api => {
    const subject = await two(api)
    await api.setConfig(subject, { compatibility: 'FULL' })
    await api.deleteSubject(subject)
    await api.refused(404, 40408, 'GET', `/config/${subject}`)
  },
  'deleting the last version deletes the config': async api => {
    const subject = await two(api)
    await api.setConfig(subject, { compatibility: 'FULL' })
    await api.deleteVersion(subject, 1)
    assert.equal(at(await api.config(subject), 'compatibilityLevel'), 'FULL')
    await api.deleteVersion(subject, 2)
    await api.refused(404, 40408, 'GET', `/config/${subject}`)
  },
  'deleting a subject deletes its mode': async api => {
    const subject = await two(api)
    await api.setMode(subject, 'READWRITE')
    await api.deleteSubject(subject)
    await api.refused(404, 40409, 'GET', `/mode/${subject}`)
  },
  'permanent=false is a soft delete': async api => {
    const subject = await two(api)
    await api.deleteVersion(subject, 2, '?permanent=false')
    assert.deepEqual(await api.versions(subject, '?deleted=true'), [1, 2])
  }
})
