import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { applyPlan } from '../../../src/schemas/apply.js'
import { IdMap } from '../../../src/schemas/id-map.js'
import { repairImports } from '../../../src/schemas/import-repair.js'
import { type MemoryClientHooks, MemoryRegistry, refusal, unreachable } from './memory-registry.js'
import { fill, planOf, quiet } from './plan-of.js'

type Scope = 'auto' | 'subject'

/** References, soft deletes, a second context; on the target: a subject that goes on, one with a mode of its own, one softly deleted. */
function world(): { source: MemoryRegistry; target: MemoryRegistry } {
  const source = new MemoryRegistry()
  const target = new MemoryRegistry()
  fill(source, 'base', [
    { id: 1, version: 1 },
    { id: 2, version: 2 }
  ])
  fill(source, 'user', [{ id: 3, version: 1, references: [{ name: 'b', subject: 'base', version: 2 }] }])
  fill(source, 'gone', [
    { id: 4, version: 1, deleted: true },
    { id: 5, version: 2, deleted: true }
  ])
  fill(source, 'mixed', [
    { id: 6, version: 2, deleted: true },
    { id: 7, version: 5 }
  ])
  fill(source, ':.eu:user', [
    { id: 1, version: 1, schema: '"eu1"', deleted: true },
    { id: 2, version: 2, schema: '"eu2"' }
  ])
  return { source, target }
}

/** Something on the target already, so that everything goes subject by subject. */
function started(): { source: MemoryRegistry; target: MemoryRegistry } {
  const { source, target } = world()
  fill(target, 'base', [{ id: 1, version: 1 }])
  fill(target, 'mixed', [{ id: 6, version: 2, deleted: true }])
  fill(target, 'user', [])
  target.modes.set('base', 'READONLY')
  target.modes.set('user', 'READWRITE')
  target.modes.set(':.eu:', 'READONLY')
  return { source, target }
}

const worlds = { world, started }

async function sync(source: MemoryRegistry, target: MemoryRegistry, importScope: Scope, hooks: MemoryClientHooks = {}) {
  const client = target.client(hooks)
  await repairImports(client, { logger: quiet })
  const plan = planOf(source, target, { importScope })
  const result = await applyPlan({
    plan,
    target: client,
    ids: new IdMap(),
    concurrency: 3,
    logger: quiet,
    owner: 'test'
  })
  return { conflicts: result.outcomes.flatMap(({ conflict }) => conflict ?? []), requests: client.requests }
}

function expectClean(target: MemoryRegistry): void {
  expect([...target.modes]).not.toContainEqual([expect.anything(), 'IMPORT'])
  expect(target.notes).toEqual([])
}

const ways = (['auto', 'subject'] as const).flatMap(scope =>
  (['world', 'started'] as const).flatMap(name =>
    (['before', 'after', 'mute'] as const).map(side => ({ scope, name, side }))
  )
)

describe('a process that is gone', () => {
  it.each(ways)(
    'at any request leaves nothing that the next run does not put right ($scope, $name, $side its effect)',
    async ({ scope, name, side }) => {
      const whole = worlds[name]()
      const { requests, conflicts } = await sync(whole.source, whole.target, scope)
      expect(conflicts).toEqual([])
      expectClean(whole.target)
      expect(whole.target.modes.get('base')).toBe(name === 'started' ? 'READONLY' : undefined)
      for (let index = 0; index < requests; index++) {
        const { source, target } = worlds[name]()
        const die = (from: number) => (request: { index: number }) => {
          if (request.index >= from) throw unreachable()
        }
        const hooks = {
          before: { before: die(index) },
          after: { before: die(index + 1), after: die(index) },
          // Not gone, but it hears nothing more; what it sends still counts.
          mute: { after: die(index) }
        }[side]
        await expect(sync(source, target, scope, hooks)).rejects.toMatchObject({ code: 'TWINLOG_UNREACHABLE' })
        await repairImports(target.client(), { logger: quiet })
        expectClean(target)
        expect((await sync(source, target, scope)).conflicts).toEqual([])
        expectClean(target)
        expect({ index, ...(target.snapshot() as object) }).toEqual({
          index,
          ...(whole.target.snapshot() as object),
          modes: expect.anything()
        })
        expect(target.modes.get('base')).toBe(whole.target.modes.get('base'))
        expect(target.modes.get(':.eu:')).toBe(whole.target.modes.get(':.eu:'))
      }
    }
  )
})

describe('another process that repairs what is not broken', () => {
  it.each(ways.filter(({ side }) => side === 'before'))(
    'costs a live run time, nothing else ($scope, $name)',
    async ({ scope, name }) => {
      const whole = worlds[name]()
      const { requests } = await sync(whole.source, whole.target, scope)
      for (let index = 0; index < requests + 10; index++) {
        const { source, target } = worlds[name]()
        const before = async (request: { index: number }) => {
          if (request.index === index) await repairImports(target.client(), { logger: quiet })
        }
        expect((await sync(source, target, scope, { before })).conflicts, `at ${index}`).toEqual([])
        expectClean(target)
        expect({ index, ...(target.snapshot() as object) }).toEqual({ index, ...(whole.target.snapshot() as object) })
      }
    }
  )

  it('leaves the end as it should be whenever it comes, and whatever it comes between', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom<Scope>('auto', 'subject'),
        fc.constantFrom<'world' | 'started'>('world', 'started'),
        fc.uniqueArray(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 1, max: 80 }),
        async (scope, name, repairs, death) => {
          const { source, target } = worlds[name]()
          const repairing: Promise<unknown>[] = []
          const before = (request: { index: number }) => {
            // Not awaited: its requests come between those of the run.
            if (repairs.includes(request.index)) repairing.push(repairImports(target.client(), { logger: quiet }))
            if (request.index >= death) throw unreachable()
          }
          await sync(source, target, scope, { before }).catch(() => {})
          await Promise.all(repairing)
          await repairImports(target.client(), { logger: quiet })
          expectClean(target)
          expect((await sync(source, target, scope)).conflicts).toEqual([])
          expectClean(target)
          // A repair between the note and the version, and then a crash between the version and its delete: 6 stays alive, a difference
          // that is reported. Nothing less than both makes it so.
          expect(target.live('mixed').map(({ id }) => id)).toContain(7)
          expect(target.live('user').map(({ id }) => id)).toEqual([3])
        }
      ),
      { numRuns: 150 }
    )
  })

  it('may be doing the same sync at the same time', async () => {
    await fc.assert(
      fc.asyncProperty(
        scopes,
        fc.constantFrom<'world' | 'started'>('world', 'started'),
        fc.array(fc.array(fc.nat(6), { minLength: 1, maxLength: 20 }), { minLength: 2, maxLength: 3 }),
        async (scope, name, paces) => {
          const { source, target } = worlds[name]()
          const runs = paces.map(pace => {
            const before = async ({ index }: { index: number }) => {
              for (let turn = pace[index % pace.length]!; turn > 0; turn--) await Promise.resolve()
            }
            return sync(source, target, scope, { before })
          })
          const conflicts = (await Promise.all(runs)).flatMap(run => run.conflicts)
          expectClean(target)
          // Whoever lost IMPORT too often gives up on a subject; the next run goes on there.
          for (const { kind } of conflicts) expect(['failed', 'blocked', 'version-taken']).toContain(kind)
          expect((await sync(source, target, scope)).conflicts).toEqual([])
          expectClean(target)
          expect(held(target, 'mixed').filter(({ deleted }) => !deleted)).toEqual(
            held(source, 'mixed').filter(({ deleted }) => !deleted)
          )
          for (const subject of ['base', 'user', 'gone', ':.eu:user'])
            expect(held(target, subject)).toEqual(held(source, subject))
          if (name === 'started')
            expect([target.modes.get('base'), target.modes.get(':.eu:')]).toEqual(['READONLY', 'READONLY'])
        }
      ),
      { numRuns: 150 }
    )
  })

  it('gives up on a subject after it lost IMPORT too often', async () => {
    const { source, target } = started()
    const client = target.client({
      before: ({ method, subject }) => {
        if (method === 'register' && subject === 'base') target.modes.delete('base')
      }
    })
    const plan = planOf(source, target, { importScope: 'subject' })
    const { outcomes } = await applyPlan({
      plan,
      target: client,
      ids: new IdMap(),
      concurrency: 3,
      logger: quiet,
      owner: 'test'
    })
    expect(outcomes.find(({ subject }) => subject === 'base')?.conflict).toMatchObject({ kind: 'failed' })
    expect(outcomes.find(({ subject }) => subject === 'user')?.conflict).toMatchObject({ kind: 'blocked' })
    expectClean(target)
  })
})

describe('a subject that is refused', () => {
  it('is as it was before, wherever the refusal came', async () => {
    for (const scope of ['auto', 'subject'] as const) {
      for (const name of ['world', 'started'] as const) {
        const { requests } = await sync(worlds[name]().source, worlds[name]().target, scope)
        for (let index = 0; index < requests; index++) {
          const { source, target } = worlds[name]()
          target.configs.set('gone', { alias: 'other' })
          const before = new Map(
            [...source.versions.keys()].map(subject => [subject, JSON.stringify(target.of(subject))])
          )
          const refuse = (request: { index: number; method: string; subject: string | undefined }) => {
            if (request.index === index && request.method === 'register' && !request.subject?.startsWith(':.twinlog:'))
              throw refusal(422, 42201, 'Invalid schema')
          }
          const { conflicts } = await sync(source, target, scope, { before: refuse })
          expectClean(target)
          for (const { subject } of conflicts) {
            expect(JSON.stringify(target.of(subject)), `${subject} at ${index}`).toBe(before.get(subject))
            if (subject === 'gone') expect(target.configs.get('gone')).toEqual({ alias: 'other' })
          }
          expect(target.modes.get('base')).toBe(name === 'started' ? 'READONLY' : undefined)
        }
      }
    }
  })

  it('is as it was before, whatever both sides held, and the others are copied', async () => {
    await fc.assert(
      fc.asyncProperty(
        histories,
        fc.constantFrom('preserve' as const, 'translate' as const),
        scopes,
        async (list, ids, importScope) => {
          const { source, target, refused } = bothSides(list)
          const state = (subject: string) =>
            JSON.stringify([held(target, subject), target.configs.get(subject), target.modes.get(subject)])
          const before = new Map(NAMES.map(subject => [subject, state(subject)]))
          const client = target.client({
            before: ({ method, detail }) => {
              const { schema } = detail as { schema?: string }
              if (method === 'register' && refused.has(schema ?? '')) throw refusal(422, 42201, 'Invalid schema')
            }
          })
          const plan = planOf(source, target, { ids, importScope })
          const result = await applyPlan({
            plan,
            target: client,
            ids: new IdMap(),
            concurrency: 3,
            logger: quiet,
            owner: 'test'
          })
          const conflicts = new Map(
            result.outcomes.flatMap(({ subject, conflict }) => (conflict ? [[subject, conflict]] : []))
          )
          expectClean(target)
          for (const { subject, steps } of plan.subjects) {
            const isRefused =
              steps.some(step => step.kind === 'register' && refused.has(step.from.schema)) ||
              (ids === 'translate' && before.get(subject)?.includes('READONLY') === true)
            expect(conflicts.has(subject), subject).toBe(isRefused || conflicts.get(subject)?.kind === 'blocked')
            if (conflicts.has(subject)) expect(state(subject), subject).toBe(before.get(subject))
            else if (ids === 'preserve') expect(held(target, subject), subject).toEqual(held(source, subject))
          }
        }
      ),
      { numRuns: 300 }
    )
  })
})

const NAMES = ['a', 'b', ':.eu:c', ':.eu:d']
const scopes = fc.constantFrom<Scope>('auto', 'subject')

const histories = fc.array(
  fc.record({
    versions: fc.array(
      fc.record({
        deleted: fc.boolean(),
        there: fc.constantFrom('no', 'same', 'dead'),
        refused: fc.boolean(),
        refers: fc.boolean()
      }),
      { maxLength: 4 }
    ),
    config: fc.boolean(),
    mode: fc.constantFrom(undefined, 'READWRITE' as const, 'READONLY' as const)
  }),
  { minLength: NAMES.length, maxLength: NAMES.length }
)

/** The target has the beginning of each history, perhaps with versions softly deleted that are live on the source. */
function bothSides(list: typeof histories extends fc.Arbitrary<infer T> ? T : never) {
  const source = new MemoryRegistry()
  const target = new MemoryRegistry()
  const refused = new Set<string>()
  let id = 0
  for (const [index, { versions, config, mode }] of list.entries()) {
    const subject = NAMES[index]!
    const base = NAMES.slice(0, index).find(
      other => other.startsWith(':') === subject.startsWith(':') && source.live(other).length > 0
    )
    let there = true
    for (const [position, one] of versions.entries()) {
      const schema = `"${++id}"`
      const to = one.refers && base !== undefined ? source.live(base)[0] : undefined
      const references = to === undefined ? [] : [{ name: 'r', subject: to.subject, version: to.version }]
      const version = { id, version: position + 1, schema, references, deleted: one.deleted }
      fill(source, subject, [version])
      const toIsThere = to === undefined || target.live(to.subject).some(other => other.version === to.version)
      there &&= one.there !== 'no' && toIsThere
      // A deleted version that a live one refers to could not have been deleted.
      if (there)
        fill(target, subject, [
          { ...version, deleted: one.deleted || (one.there === 'dead' && references.length === 0) }
        ])
      else if (one.refused) refused.add(schema)
    }
    if (config) target.configs.set(subject, { compatibilityLevel: 'FULL' })
    if (mode !== undefined) target.modes.set(subject, mode)
  }
  return { source, target, refused }
}

function held(registry: MemoryRegistry, subject: string) {
  return registry.of(subject).map(({ version, id, schema, deleted }) => ({ version, id, schema, deleted }))
}
