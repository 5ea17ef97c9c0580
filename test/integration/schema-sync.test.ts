import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { SchemaConflict, SchemaSyncReport } from '../../src/index.js'
import { subjectRename } from '../../src/index.js'
import { startFakeRegistry } from '../support/registry/fake.js'
import { avro, furnish, SyncBed, silent } from './schema-sync-bed.js'

let bed: SyncBed
beforeEach(() => {
  bed = new SyncBed()
})
afterEach(() => bed[Symbol.asyncDispose]())

describe.each([
  ['by lists', true],
  ['subject by subject', false]
])('a sync that preserves ids, read %s', (_name, bulk) => {
  beforeEach(() => {
    bed = new SyncBed({ bulk })
  })

  it('makes the target like the source to the letter, and a second run, by whomever, changes nothing', async () => {
    await furnish(bed.here)
    const sync = bed.sync({ syncMode: true })
    expect((await sync.syncOnce()).conflicts).toEqual([])
    expect(bed.target.dump()).toEqual(bed.source.dump())
    expect([bed.target.importing(), bed.target.notes()]).toEqual([[], []])
    expect(String(await sync.syncOnce())).toMatch(/^0 changes, 0 conflicts/)
    const other = bed.sync({ syncMode: true })
    expect(String(await other.syncOnce())).toMatch(/^0 changes, 0 conflicts/)
    expect(String(await other.diff())).toMatch(/^0 subjects of/)
    expect(bed.target.dump()).toEqual(bed.source.dump())
  })

  it('plans what it then does, and a plan touches nothing', async () => {
    await furnish(bed.here)
    const sync = bed.sync({ syncMode: true })
    const before = bed.target.log.length
    const plan = await sync.plan()
    expect(bed.target.log.slice(before).filter(({ method }) => method !== 'GET')).toEqual([])
    expect(String(plan)).toContain('register version 1 as id 1, register version 2 as id 2')
    expect(String(plan)).not.toContain('.twinlog')
    expect(plan.changes).toBe((await sync.syncOnce()).changes)
    expect((await sync.plan()).changes).toBe(0)
    expect(JSON.parse(JSON.stringify(plan))).toMatchObject({ ids: 'preserve', conflicts: [] })
  })

  it('follows what happens on the source: new versions and subjects, soft and hard deletes, config and modes', async () => {
    await furnish(bed.here)
    const sync = bed.sync({ syncMode: true, syncDeletes: true })
    await sync.syncOnce()
    const { here } = bed
    await here.register('customer', avro('Customer', 'street'))
    await here.register('orders-value', avro('Order', 'x', [{ name: 'Customer', subject: 'customer', version: 3 }]))
    await here.register('new-value', avro('New'))
    await here.deleteVersion('orders-value', 1)
    await here.deleteSubject('pings-value')
    await here.deleteSubject('old-value', { permanent: true })
    await here.deleteConfig('orders-value')
    await here.putConfig('customer', { compatibilityLevel: 'NONE' })
    await here.putMode('users-value', 'READWRITE')
    await here.deleteMode(':.emea:')
    const report = await sync.syncOnce()
    expect(report.conflicts).toEqual([])
    expect(bed.target.dump()).toEqual(bed.source.dump())
    expect((await sync.syncOnce()).changes).toBe(0)
  })

  it('deletes nothing without syncDeletes, and says what only the target has', async () => {
    await furnish(bed.here)
    const sync = bed.sync()
    await sync.syncOnce()
    await bed.here.deleteSubject('orders-key')
    await bed.here.deleteSubject('orders-key', { permanent: true })
    const report = await sync.syncOnce()
    expect(report.changes).toBe(0)
    expect(report.extra).toEqual([{ subject: 'orders-key', versions: [1] }])
    const drift = await sync.diff()
    expect(drift.subjects).toContainEqual(
      expect.objectContaining({ subject: 'orders-key', differences: [expect.objectContaining({ kind: 'extra' })] })
    )
  })
})

describe('a sync that translates ids', () => {
  it('registers in an order that every reference is there, finds what is there, and knows every id', async () => {
    await furnish(bed.here)
    // The target has ids of its own, and one of the schemas.
    await bed.there.register('theirs', avro('Theirs'))
    await bed.there.register('customer', avro('Customer'))
    const sync = bed.sync({ ids: 'translate' })
    const report = await sync.syncOnce()
    expect(report.conflicts).toEqual([])
    const versions = await bed.here.allVersions({ prefix: '', deleted: true })
    for (const { subject, version, id, deleted } of versions ?? []) {
      const there = await bed.there.schemaById(await sync.targetId(id))
      const here = await bed.here.schemaById(id)
      expect(there?.schema, `${subject}/${version}`).toBe(here?.schema)
      const live = await bed.there.versions(subject)
      if (deleted && subject === 'old-value') expect(live).toBeUndefined()
    }
    expect((await sync.syncOnce()).changes).toBe(0)
    expect((await bed.sync({ ids: 'translate' }).plan()).changes).toBe(0)
    expect(bed.target.notes()).toEqual([])
  })

  it('puts the level of a subject before its versions, so that what the source took is taken', async () => {
    await bed.here.putConfig('orders-value', { compatibilityLevel: 'NONE' })
    await bed.here.register('orders-value', { schemaType: 'AVRO', schema: '"string"', references: [] })
    await bed.here.register('orders-value', { schemaType: 'AVRO', schema: '"int"', references: [] })
    expect((await bed.sync({ ids: 'translate' }).syncOnce()).conflicts).toEqual([])
    expect(await bed.there.versions('orders-value')).toEqual([1, 2])
  })

  it('reports what the target calls incompatible, takes back what it had added, and copies the rest', async () => {
    await bed.here.putConfig('orders-value', { compatibilityLevel: 'NONE' })
    for (const type of ['"string"', '"int"'])
      await bed.here.register('orders-value', { schemaType: 'AVRO', schema: type, references: [] })
    await bed.here.register('other-value', avro('Other'))
    const sync = bed.sync({ ids: 'translate', syncConfig: false })
    const report = await sync.syncOnce()
    expect(report.conflicts).toEqual([expect.objectContaining({ subject: 'orders-value', kind: 'incompatible' })])
    expect(await bed.there.subjects({ deleted: true })).toEqual(['other-value'])
  })

  it('does not make an old version the latest one', async () => {
    await bed.here.register('a', avro('A', 'x'))
    await bed.here.register('a', avro('A', 'y'))
    await bed.there.register('a', avro('A', 'y'))
    const report = await bed.sync({ ids: 'translate' }).syncOnce()
    expect(report.conflicts).toEqual([expect.objectContaining({ subject: 'a', kind: 'version-order', version: 1 })])
    expect(await bed.there.versions('a')).toEqual([1])
  })

  it('says so when an id is unknown, or not selected', async () => {
    await bed.here.register('a', avro('A'))
    const sync = bed.sync({ ids: 'translate', subjects: 'b' })
    await expect(sync.targetId(77)).rejects.toMatchObject({ code: 'TWINLOG_SCHEMA_REGISTRY', schemaId: 77 })
    await expect(sync.targetId(1)).rejects.toThrow(/"a".*not selected.*subjects/)
    await expect(bed.sync({ ids: 'translate' }).targetId(1)).rejects.toThrow(/not on the target.*syncOnce/)
  })
})

describe('names', () => {
  it('go from one context into another, and nothing else is touched', async () => {
    await furnish(bed.here)
    await bed.there.register('theirs', avro('Theirs'))
    const sync = bed.sync({ source: { context: '.emea' }, target: { context: '.dr' } })
    expect((await sync.syncOnce()).conflicts).toEqual([])
    const [here, there] = [bed.source.dump(), bed.target.dump()]
    expect(there['.dr']).toEqual(here['.emea'])
    expect(Object.keys(there['.']?.subjects ?? {})).toEqual(['theirs'])
    expect((await sync.syncOnce()).changes).toBe(0)
  })

  it('of the default context can go into a context of the same registry, ids and all', async () => {
    await furnish(bed.here)
    const subjects = /(customer|orders)-?.*/
    const sync = bed.sync({
      subjects,
      target: { url: bed.source.url, fetch: bed.source.fetch, context: '.copy' }
    })
    expect((await sync.syncOnce()).conflicts).toEqual([])
    const { '.': from, '.copy': copy } = bed.source.dump()
    expect(Object.keys(copy?.subjects ?? {})).toEqual(['customer', 'orders-key', 'orders-value'])
    expect(copy?.subjects['orders-value']).toEqual(from?.subjects['orders-value'])
  })

  it('follow renamed topics, and references follow them', async () => {
    await furnish(bed.here)
    const rename = subjectRename({ topics: { orders: 'east.orders' }, strategy: 'topic' })
    const also = (subject: string) => (subject === 'customer' ? 'east.customer' : rename(subject))
    const sync = bed.sync({ rename: also, subjects: /orders-.*/ })
    expect((await sync.syncOnce()).conflicts).toEqual([])
    expect(await bed.there.subjects()).toEqual(['east.customer', 'east.orders-key', 'east.orders-value'])
    const copy = await bed.there.version('east.orders-value', 3)
    expect(copy).toMatchObject({ id: (await bed.here.version('orders-value', 3))?.id })
    expect(copy?.references).toEqual([{ name: 'Customer', subject: 'east.customer', version: 2 }])
    expect((await sync.syncOnce()).changes).toBe(0)
    expect(String(await sync.diff())).toMatch(/^0 subjects/)
  })

  it('that become one are refused before anything is touched', async () => {
    await furnish(bed.here)
    const sync = bed.sync({ rename: subject => subject.replace(/^(orders|users)-/, 'one-') })
    await expect(sync.syncOnce()).rejects.toMatchObject({ code: 'TWINLOG_INVALID_OPTION', path: 'schemas.rename' })
    expect(bed.target.log.every(({ method }) => method === 'GET')).toBe(true)
    expect(await sync.preflight()).toMatchObject({ ok: false })
  })

  it('of a selection bring along what they refer to', async () => {
    await furnish(bed.here)
    await bed.sync({ subjects: ['orders-value', 'ledger-value'] }).syncOnce()
    expect(await bed.there.subjects()).toEqual([':.emea:invoice', 'customer', 'ledger-value', 'orders-value'])
  })
})

describe('conflicts', () => {
  const kinds = ({ conflicts }: SchemaSyncReport) => conflicts.map(({ subject, kind }) => `${subject}: ${kind}`).sort()

  it('are found before anything is written, keep the subject whole, and the rest is copied', async () => {
    await furnish(bed.here)
    // Each of these takes something that the source's subject needs.
    await bed.there.putMode(undefined, 'IMPORT')
    await bed.there.register('users-value', avro('Foreign'), { id: 1000, version: 1 })
    await bed.there.register('squatter', avro('Squatter'), { id: 5, version: 1 })
    await bed.there.register('pings-value', (await bed.here.version('pings-value', 1))!, { id: 2000, version: 1 })
    await bed.there.deleteMode(undefined)
    const before = bed.target.dump()
    const told: SchemaConflict[] = []
    const sync = bed.sync().on('conflict', conflict => told.push(conflict))
    const report = await sync.syncOnce()
    const taken = Object.entries(bed.source.dump()['.']!.subjects).find(([, { versions }]) =>
      Object.values(versions).some(({ id }) => id === 5)
    )![0]
    expect(kinds(report)).toEqual(
      [`${taken}: id-taken`, 'pings-value: id-differs', 'users-value: version-taken'].sort()
    )
    const after = bed.target.dump()
    for (const subject of ['users-value', 'squatter', 'pings-value'])
      expect(after['.']!.subjects[subject]).toEqual(before['.']!.subjects[subject])
    expect(after['.']!.subjects[taken]).toBeUndefined()
    expect(after['.emea']).toEqual(bed.source.dump()['.emea'])
    expect(told.map(({ kind }) => kind).sort()).toEqual(['id-differs', 'id-taken', 'version-taken'])
    await sync.syncOnce()
    expect(told).toHaveLength(3)
    expect((await sync.diff()).subjects.map(({ subject }) => subject)).toContain('users-value')
    await expect(sync.targetId(5)).rejects.toMatchObject({ code: 'TWINLOG_SCHEMA_ID_CONFLICT', schemaId: 5 })
  })

  it('block who refers to them', async () => {
    await furnish(bed.here)
    await bed.there.register('customer', avro('Else'))
    const report = await bed.sync().syncOnce()
    expect(kinds(report)).toEqual(['customer: version-taken', 'orders-value: blocked'])
    expect(await bed.there.versions('orders-value')).toBeUndefined()
  })

  it('with a target that is READONLY are none: IMPORT is entered and the mode is as it was', async () => {
    await furnish(bed.here)
    await bed.there.putMode(undefined, 'READONLY')
    const { '.': before } = bed.source.dump()
    const report = await bed.sync({ subjects: ['customer', 'users-value'] }).syncOnce()
    expect(report.conflicts).toEqual([])
    expect(await bed.there.mode(undefined)).toBe('READONLY')
    expect(bed.target.dump()['.']!.subjects['customer']).toEqual(before!.subjects['customer'])
  })

  it('with READONLY and no ids, or READONLY_OVERRIDE, name the mode', async () => {
    await bed.here.register('a', avro('A'))
    await bed.there.putMode(undefined, 'READONLY')
    expect(kinds(await bed.sync({ ids: 'translate' }).syncOnce())).toEqual(['a: read-only'])
    await bed.there.putMode(undefined, 'READONLY_OVERRIDE')
    const sync = bed.sync()
    expect(kinds(await sync.syncOnce())).toEqual(['a: read-only'])
    const { ok, checks } = await sync.preflight()
    expect([ok, checks.find(({ name }) => name === 'mode of the target')?.result]).toEqual([false, 'fail'])
    expect(await bed.there.mode(undefined)).toBe('READONLY_OVERRIDE')
  })

  it('with a source that lists nothing: nothing is deleted', async () => {
    await furnish(bed.there)
    const before = bed.target.dump()
    const report = await bed.sync({ syncDeletes: true }).syncOnce()
    expect(kinds(report)).toContain('*: deletes-refused')
    expect(bed.target.dump()['.']!.subjects).toEqual(before['.']!.subjects)
  })
})
