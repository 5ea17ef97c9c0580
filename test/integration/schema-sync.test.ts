import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { SchemaConflict, SchemaSyncReport } from '../../src/index.js'
import { SchemaSync, subjectRename } from '../../src/index.js'
import { createRegistryClient } from '../../src/schemas/client/client.js'
import { startFakeRegistry } from '../support/registry/fake.js'
import { avro, BedRegistry, furnish, SyncBed, silent } from './schema-sync-bed.js'

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
    expect(String(await other.diff())).toMatch(/^0 subjects different/)
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
    expect(String(await sync.diff())).toMatch(/^0 subjects different/)
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

describe('a run', () => {
  it('that finds nothing changed costs a handful of requests, and a tenth at most by a new SchemaSync, for 2,000 subjects', async () => {
    await manySubjects(bed, 2_000)
    const sync = bed.sync()
    const first = total(await sync.syncOnce())
    expect(bed.target.dump()).toEqual(bed.source.dump())
    const second = await sync.syncOnce()
    // A twentieth of the configs is looked at on either side.
    expect(second.configsCompared).toBe(100)
    expect(total(second)).toBeLessThan(0.05 * first)
    const other = await bed.sync().syncOnce()
    expect([other.changes, total(other) < 0.05 * first]).toEqual([0, true])
    const plain = await bed.sync({ syncConfig: false }).syncOnce()
    expect(total(plain)).toBeLessThan(50)
    expect((await bed.sync({ syncConfig: true }).syncOnce()).configsCompared).toBe(2_000)
  })

  it('costs as little where a registry lists no more than texts, as Apicurio, once it has read everything', async () => {
    bed = new SyncBed({ textsOnly: true })
    await manySubjects(bed, 2_000)
    const sync = bed.sync({ ids: 'translate' })
    const first = await sync.syncOnce()
    expect([first.conflicts, first.registered]).toEqual([[], 4_000])
    const second = await sync.syncOnce()
    expect([second.changes, total(second) < 0.05 * total(first)]).toEqual([0, true])
    // One new version, one deleted, one number that is used again: found, and little else is read.
    const { here } = bed
    await here.register('subject-7', avro('S7', 'new'))
    await here.deleteVersion('subject-8', 2)
    await here.deleteVersion('subject-9', 2)
    await here.deleteVersion('subject-9', 2, { permanent: true })
    await here.register('subject-9', avro('S9', 'again'))
    const third = await sync.syncOnce()
    expect(third.subjects.map(({ subject }) => subject).sort()).toEqual(['subject-7', 'subject-9'])
    expect((await sync.diff()).subjects.map(({ subject }) => subject)).toEqual(['subject-8', 'subject-9'])
    expect((await sync.syncOnce()).changes).toBe(0)
  })

  it('waits for the one before it, and can be given up while it waits', async () => {
    await furnish(bed.here)
    const sync = bed.sync()
    const waiting = new AbortController()
    const first = sync.syncOnce()
    const second = sync.syncOnce({ signal: waiting.signal })
    const third = sync.plan()
    waiting.abort()
    await expect(second).rejects.toMatchObject({ code: 'TWINLOG_ABORTED' })
    expect((await first).changes).toBeGreaterThan(0)
    expect((await third).changes).toBe(0)
  })

  it('that is stopped in the middle leaves no mode changed, and the next one goes on', async () => {
    await manySubjects(bed, 300)
    const sync = bed.sync({ syncConfig: false })
    let posts = 0
    let stopped: Promise<void> | undefined
    bed.target.fate = ({ method }) => {
      if (method === 'POST' && ++posts === 50) stopped = sync.stop()
      return undefined
    }
    await expect(sync.syncOnce()).rejects.toMatchObject({ code: 'TWINLOG_ABORTED' })
    await stopped
    await sync.stop()
    expect([bed.target.importing(), bed.target.notes()]).toEqual([[], []])
    const done = Object.keys(bed.target.dump()['.']!.subjects).length
    expect(done).toBeLessThan(300)
    expect((await sync.syncOnce()).registered).toBeLessThan(600)
    expect(bed.target.dump()).toEqual(bed.source.dump())
  })

  it('puts back what a process left that died in IMPORT mode', async () => {
    await furnish(bed.here)
    const dying = bed.sync({ source: { retries: 0 }, target: { retries: 0 } })
    let posts = 0
    bed.target.fate = ({ method }) =>
      method === 'POST' && ++posts > 5 ? 'lost-before' : posts > 5 ? 'lost-before' : undefined
    await expect(dying.syncOnce()).rejects.toMatchObject({ code: 'TWINLOG_UNREACHABLE' })
    bed.target.fate = () => undefined
    expect(bed.target.importing()).not.toEqual([])
    const sync = bed.sync()
    const { checks } = await sync.preflight()
    expect(checks.find(({ name }) => name.startsWith('notes'))).toMatchObject({ result: 'warn' })
    const report = await sync.syncOnce()
    expect(report.repaired).toBeGreaterThan(0)
    expect([bed.target.importing(), bed.target.notes()]).toEqual([[], []])
  })

  it('takes a reference along that the reading of everything has missed', async () => {
    await bed.here.register('a', avro('A'))
    await bed.here.register('b', avro('B', 'id', [{ name: 'A', subject: 'a', version: 1 }]))
    const whole = bed.source.fetch
    // The page was read before `a` was registered.
    const torn: typeof fetch = async (input, init) => {
      const response = await whole(input, init)
      if (!(input as string).includes('/schemas?')) return response
      const entries = (await response.json()) as { subject: string }[]
      return new Response(JSON.stringify(entries.filter(({ subject }) => subject !== 'a')))
    }
    const report = await bed.sync({ source: { fetch: torn } }).syncOnce()
    expect(report.conflicts).toEqual([])
    expect(await bed.there.subjects()).toEqual(['a', 'b'])
  })

  it('does not delete for good what the reading of everything has missed', async () => {
    for (const name of ['A', 'B', 'C']) await bed.here.register(name, avro(name))
    await bed.sync().syncOnce()
    const whole = bed.source.fetch
    const torn: typeof fetch = async (input, init) => {
      const response = await whole(input, init)
      if (!(input as string).includes('/schemas?')) return response
      const entries = (await response.json()) as { subject: string }[]
      return new Response(JSON.stringify(entries.filter(({ subject }) => subject !== 'B')))
    }
    await bed.here.deleteSubject('C')
    await bed.here.deleteSubject('C', { permanent: true })
    await bed.sync({ syncDeletes: true, source: { fetch: torn } }).syncOnce()
    expect(await bed.there.subjects({ deleted: true })).toEqual(['A', 'B'])
  })

  it.each(['preserve', 'translate'] as const)(
    'says once what the target does not keep, and tries no more: %s',
    async ids => {
      bed = new SyncBed({ source: new BedRegistry('source'), ruleSets: false })
      const rules = { domainRules: [{ name: 'r', kind: 'CONDITION', type: 'CEL', mode: 'WRITE', expr: 'true' }] }
      await bed.here.register('a', { ...avro('A'), ruleSet: rules })
      await bed.here.register('a', { ...avro('A', 'b'), ruleSet: rules })
      await bed.here.putConfig('a', { compatibilityLevel: 'FULL', defaultRuleSet: rules })
      const warnings: string[] = []
      const sync = bed.sync({ ids }).on('warning', ({ message }) => warnings.push(message))
      expect((await sync.syncOnce()).conflicts).toEqual([])
      for (let run = 0; run < 3; run++) expect(await sync.syncOnce()).toMatchObject({ changes: 0, conflicts: [] })
      expect(warnings.filter(message => message.includes('defaultRuleSet'))).toHaveLength(1)
      expect(new Set(warnings).size).toBe(warnings.length)
      expect(await bed.there.versions('a')).toEqual([1, 2])
    }
  )
})

describe('continuous sync', () => {
  it('copies what comes, tells each run, and ends with stop()', async () => {
    await furnish(bed.here)
    const sync = bed.sync({ intervalMs: 20 })
    let runs = 0
    sync.on('synced', () => runs++)
    await sync.start()
    expect(runs).toBe(1)
    expect(await bed.there.versions('customer')).toEqual([1, 2])
    await bed.here.register('customer', avro('Customer', 'street'))
    await until(async () => (await bed.there.versions('customer'))?.length === 3)
    expect(sync.status()).toMatchObject({ running: true, conflicts: [] })
    expect(JSON.parse(JSON.stringify(sync.status()))).toMatchObject({ running: true, requests: {} })
    await sync.stop()
    const before = runs
    await new Promise(resolve => setTimeout(resolve, 100))
    expect([runs, sync.status().running]).toEqual([before, false])
  })

  it('goes on when a registry was away, and says so meanwhile', async () => {
    await furnish(bed.here)
    const sync = bed.sync({ intervalMs: 20, source: { retries: 0 }, target: { retries: 0 } })
    const errors: string[] = []
    sync.on('error', ({ code }) => errors.push(code))
    await sync.start()
    bed.source.fate = () => 'lost-before'
    await until(() => errors.length > 0)
    expect(sync.status().lastError).toMatchObject({ code: 'TWINLOG_UNREACHABLE' })
    bed.source.fate = () => undefined
    await bed.here.register('late', avro('Late'))
    await until(async () => (await bed.there.versions('late')) !== undefined)
    expect(new Set(errors)).toEqual(new Set(['TWINLOG_UNREACHABLE']))
  })

  it('does not try a refused subject again with every look, only when it has changed', async () => {
    await bed.here.putConfig('a', { compatibilityLevel: 'NONE' })
    for (const type of ['"string"', '"int"'])
      await bed.here.register('a', { schemaType: 'AVRO', schema: type, references: [] })
    const sync = bed.sync({ ids: 'translate', syncConfig: false, intervalMs: 10 })
    let runs = 0
    sync.on('synced', ({ report }) => {
      runs++
      expect(report.conflicts).toEqual([expect.objectContaining({ subject: 'a', kind: 'incompatible' })])
    })
    await sync.start()
    const posts = () => bed.target.log.filter(({ method }) => method === 'POST').length
    const before = posts()
    await until(() => runs > 5)
    expect(posts()).toBe(before)
    await bed.here.deleteVersion('a', 1)
    await until(() => posts() > before)
  })

  it('starts not at all where it can never work', async () => {
    const refused: typeof fetch = async () => new Response('{"error_code":401,"message":"no"}', { status: 401 })
    const sync = bed.sync({ target: { fetch: refused } })
    await expect(sync.start()).rejects.toMatchObject({ code: 'TWINLOG_UNAUTHORIZED' })
    expect(sync.status().running).toBe(false)
    expect(await sync.preflight()).toMatchObject({ ok: false })
  })
})

describe('the gate', () => {
  it('brings one subject with what it refers to, and nothing else', async () => {
    await furnish(bed.here)
    const sync = bed.sync()
    const gate = sync.gate()
    const id = (await bed.here.version('orders-value', 3))!.id
    expect(await gate.knows('orders', id, performance.now())).toBe(true)
    expect(gate.targetIdOf(id)).toBeUndefined()
    await gate.bring('orders', id)
    expect(gate.targetIdOf(id)).toBe(id)
    expect(await bed.there.subjects()).toEqual(['customer', 'orders-value'])
    expect([bed.target.importing(), bed.target.notes()]).toEqual([[], []])
    expect(await sync.syncOnce()).toMatchObject({ conflicts: [] })
    expect(bed.target.dump()['.']!.subjects['orders-value']).toEqual(bed.source.dump()['.']!.subjects['orders-value'])
  })
})

describe('over real sockets, with several addresses and credentials', () => {
  it('it is the same', async () => {
    const auth = { username: 'alice', password: 's3cret' }
    const source = await startFakeRegistry({ auth, pathPrefix: '/registry' })
    const target = await startFakeRegistry()
    try {
      const here = createRegistryClient({ url: source.url, auth }, { logger: silent })
      await furnish(here)
      const sync = new SchemaSync({
        source: { url: ['http://127.0.0.1:1', source.url], auth },
        target: { url: target.url },
        logger: silent
      })
      expect(await sync.preflight()).toMatchObject({ ok: true })
      expect((await sync.syncOnce()).conflicts).toEqual([])
      expect((await sync.diff()).subjects.map(({ subject }) => subject)).toEqual(['users-value'])
      expect(JSON.stringify([sync.status(), await sync.plan()])).not.toContain('s3cret')
    } finally {
      await Promise.all([source.close(), target.close()])
    }
  })
})

async function manySubjects({ here }: SyncBed, count: number): Promise<void> {
  await here.register('base', avro('Base'))
  const base = { name: 'Base', subject: 'base', version: 1 }
  for (let index = 1; index < count; index++) {
    await here.register(`subject-${index}`, avro(`S${index}`, 'a', index % 10 === 0 ? [base] : []))
    await here.register(`subject-${index}`, avro(`S${index}`, 'b'))
  }
  await here.register('base', avro('Base', 'b'))
}

function total({ requests }: SchemaSyncReport): number {
  return requests.source + requests.target
}

async function until(done: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000
  while (!(await done())) {
    if (Date.now() > deadline) throw new Error('it did not happen')
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}
