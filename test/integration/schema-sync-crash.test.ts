import { describe, expect, it } from 'vitest'
import { avro, type BedRegistry, type Fate, furnish, SyncBed } from './schema-sync-bed.js'

/** 50 subjects in two contexts: references to one of them, several versions, deleted ones. Reading configs would take most requests. */
async function fiftySubjects({ client }: BedRegistry): Promise<void> {
  const toCustomer = { name: 'Customer', subject: 'customer', version: 1 }
  await client.register('customer', avro('Customer'))
  await client.register(':.emea:customer', avro('Customer'))
  for (let index = 0; index < 48; index++) {
    const subject = `${index % 9 === 0 ? ':.emea:' : ''}topic-${index}-value`
    await client.register(subject, avro(`T${index}`, 'a', index % 3 === 0 ? [toCustomer] : []))
    if (index % 2 === 0) await client.register(subject, avro(`T${index}`, 'b'))
    if (index % 8 === 0) await client.deleteVersion(subject, 1)
  }
}

interface Crash {
  bulk: boolean
  fate: Exclude<Fate, undefined>
  /** The target has a subject already, so that IMPORT is entered subject by subject. */
  occupied?: boolean
  settings?: boolean
  ids?: 'translate'
}

/** A sync whose process dies with its request number `at`: nothing that it sends afterwards arrives. Answers false when it did not come to it. */
async function crashAt(at: number, bed: SyncBed, o: Crash): Promise<boolean> {
  let count = 0
  const fate = (): Fate => {
    const index = count++
    if (index < at) return undefined
    return index === at ? o.fate : 'lost-before'
  }
  bed.source.fate = fate
  bed.target.fate = fate
  const dying = bed.sync({ ...settings(o), source: { retries: 0 }, target: { retries: 0 } })
  await dying.syncOnce().catch(() => undefined)
  bed.source.fate = () => undefined
  bed.target.fate = () => undefined
  return count > at
}

function settings({ settings = false, ids }: Crash) {
  return { syncConfig: settings, syncMode: settings, ids }
}

async function everyIndex(source: BedRegistry, o: Crash, expected: (target: BedRegistry) => void): Promise<number> {
  // Without lists most requests are reads that differ in nothing: a third of them will do.
  for (let at = 0; ; at += o.bulk ? 1 : 3) {
    await using bed = new SyncBed({ bulk: o.bulk, source })
    if (o.occupied === true) await bed.there.register('theirs', avro('Theirs'))
    const died = await crashAt(at, bed, o)
    const report = await bed.sync(settings(o)).syncOnce()
    expect(report.conflicts, `crash at request ${at}`).toEqual([])
    try {
      expected(bed.target)
    } catch (error) {
      throw new Error(`after a crash at request ${at} (${o.fate})`, { cause: error })
    }
    if (!died) return at
  }
}

describe('a process that dies at any of its requests, and another one after it', () => {
  it.each([
    { bulk: true, fate: 'lost-before' },
    { bulk: true, fate: 'lost-after' },
    { bulk: false, fate: 'lost-before' },
    { bulk: false, fate: 'lost-after' }
  ] satisfies Crash[])(
    'end where one process alone would have: 50 subjects, $fate, lists of everything: $bulk',
    async o => {
      const { source } = new SyncBed({ bulk: o.bulk })
      await fiftySubjects(source)
      const wanted = source.dump()
      const requests = await everyIndex(source, o, target => {
        expect(target.dump()).toEqual(wanted)
        expect([target.importing(), target.notes()]).toEqual([[], []])
      })
      expect(requests).toBeGreaterThan(80)
    },
    600_000
  )

  it.each([
    { bulk: true, fate: 'lost-before', occupied: true, settings: true },
    { bulk: true, fate: 'lost-after', occupied: true, settings: true }
  ] satisfies Crash[])(
    'end there also with config and modes, and IMPORT entered subject by subject: $fate',
    async o => {
      const { source } = new SyncBed({ bulk: o.bulk })
      // Ids that the target's own subject does not take.
      await source.client.register(':.unused:a', avro('A'))
      await source.client.register('unused', avro('Unused'))
      await source.client.deleteSubject('unused')
      await source.client.deleteSubject('unused', { permanent: true })
      await furnish(source.client)
      const wanted = source.dump()
      await everyIndex(source, o, target => {
        const dump = target.dump()
        delete dump['.']?.subjects['theirs']
        expect(dump).toEqual(wanted)
        expect([target.importing(), target.notes()]).toEqual([[], []])
      })
    },
    600_000
  )

  it.each([
    { bulk: true, fate: 'lost-before' },
    { bulk: true, fate: 'lost-after' },
    { bulk: false, fate: 'lost-after' }
  ] satisfies Crash[])(
    'leave every schema once on the target where ids are translated: $fate, lists of everything: $bulk',
    async o => {
      const { source } = new SyncBed({ bulk: o.bulk })
      await furnish(source.client)
      const wanted = contents(source)
      for (let at = 0; ; at++) {
        await using bed = new SyncBed({ bulk: o.bulk, source })
        const died = await crashAt(at, bed, { ...o, ids: 'translate' })
        // A version that the source has deleted is live between its registration and its deletion: no note can name it before.
        const report = await bed.sync({ ids: 'translate', syncDeletes: true }).syncOnce()
        expect(report.conflicts, `crash at request ${at}`).toEqual([])
        expect(contents(bed.target), `after a crash at request ${at}`).toEqual(wanted)
        if (!died) return
      }
    },
    600_000
  )
})

/** Live texts of each subject, in their order, and deleted ones. Versions that a crash left behind and are deleted count for nothing. */
function contents(registry: BedRegistry): Record<string, unknown> {
  const subjects = Object.entries(registry.dump()).flatMap(([context, { subjects }]) =>
    Object.entries(subjects).map(([name, { versions }]) => {
      const all = Object.values(versions)
      const live = all.filter(({ deleted }) => !deleted).map(({ schema }) => schema)
      const deleted = all.filter(({ schema, deleted }) => deleted && !live.includes(schema)).map(({ schema }) => schema)
      return [context === '.' ? name : `${context}:${name}`, { live, deleted: [...new Set(deleted)].sort() }]
    })
  )
  return Object.fromEntries(subjects) as Record<string, unknown>
}
