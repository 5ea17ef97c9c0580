import { describe, expect, it } from 'vitest'
import { applyPlan } from '../../../src/schemas/apply.js'
import { IdMap } from '../../../src/schemas/id-map.js'
import { repairImports } from '../../../src/schemas/import-repair.js'
import type { SchemaPlan } from '../../../src/schemas/plan-types.js'
import { type MemoryClient, MemoryRegistry, refusal, unreachable } from './memory-registry.js'
import { fill, planOf, quiet } from './plan-of.js'

const run = (
  plan: SchemaPlan,
  target: MemoryClient,
  o: { ids?: IdMap; concurrency?: number; signal?: AbortSignal; progress?: (done: number, total: number) => void } = {}
) =>
  applyPlan({
    plan,
    target,
    ids: o.ids ?? new IdMap(),
    concurrency: o.concurrency ?? 4,
    logger: quiet,
    owner: 'test',
    ...o
  })

const methods = (client: MemoryClient) => client.log.map(({ method }) => method)

function orders(): MemoryRegistry {
  const source = new MemoryRegistry()
  fill(source, 'base', [{ id: 7, version: 2 }])
  fill(source, 'orders-value', [
    { id: 11, version: 1, deleted: true },
    { id: 12, version: 3, references: [{ name: 'base', subject: 'base', version: 2 }] },
    { id: 20, version: 4 }
  ])
  fill(source, ':.eu:orders-value', [{ id: 11, version: 1, schema: '"eu"' }])
  return source
}

describe('a plan that preserves ids', () => {
  it.each(['auto', 'subject', 'context'] as const)(
    'is copied with ids, versions, references and deletes (%s)',
    async importScope => {
      const source = orders()
      const target = new MemoryRegistry()
      fill(target, 'zeta', [{ id: 1, version: 1 }])
      fill(source, 'zeta', [
        { id: 1, version: 1 },
        { id: 2, version: 2 }
      ])
      const client = target.client()
      const ids = new IdMap()
      const result = await run(planOf(source, target, { importScope }), client, { ids })
      expect(result.outcomes.filter(({ conflict }) => conflict)).toEqual([])
      expect(target.snapshot()).toEqual({
        ...(source.snapshot() as object),
        modes: importScope === 'context' ? [['', 'READWRITE']] : []
      })
      expect(target.notes).toEqual([])
      expect([7, 11, 12, 20, 2].map(id => ids.targetIdOf(id))).toEqual([7, 11, 12, 20, 2])
      expect(result.registered).toHaveLength(6)
    }
  )

  it('costs no request but the registrations where the context is entered as a whole', async () => {
    const source = new MemoryRegistry()
    for (let index = 0; index < 50; index++)
      fill(
        source,
        `s${index}`,
        [1, 2, 3].map(version => ({ id: index * 3 + version, version }))
      )
    const target = new MemoryRegistry()
    const client = target.client()
    const told: [number, number][] = []
    await run(planOf(source, target), client, { progress: (done, total) => told.push([done, total]) })
    expect(told).toEqual(Array.from({ length: 50 }, (_, index) => [index + 1, 50]))
    expect(target.snapshot()).toEqual({ ...(source.snapshot() as object), modes: [['', 'READWRITE']] })
    expect(client.requests - 150).toBeLessThanOrEqual(12)
  })

  it('enters the registry with force, because without it softly deleted subjects of other contexts would go', async () => {
    const source = new MemoryRegistry()
    fill(source, 'a', [{ id: 1, version: 1 }])
    const target = new MemoryRegistry()
    fill(target, ':.old:s', [{ id: 1, version: 1, deleted: true }])
    await run(planOf(source, target), target.client())
    expect(target.of(':.old:s')).toHaveLength(1)
    expect(target.of('a')).toHaveLength(1)
  })

  it('goes subject by subject when the context has got subjects since the plan was made', async () => {
    const source = orders()
    const target = new MemoryRegistry()
    const plan = planOf(source, target)
    fill(target, 'newcomer', [{ id: 1, version: 1 }])
    fill(target, ':.eu:newcomer', [{ id: 1, version: 1 }])
    const client = target.client()
    const result = await run(plan, client)
    expect(result.outcomes.filter(({ conflict }) => conflict)).toEqual([])
    expect(target.live('orders-value').map(({ id }) => id)).toEqual([12, 20])
    const entered = client.log.filter(
      ({ method, detail }) => method === 'putMode' && (detail as { mode: string }).mode === 'IMPORT'
    )
    expect(entered.map(({ subject }) => subject)).toEqual(
      expect.arrayContaining(['base', 'orders-value', ':.eu:orders-value'])
    )
  })

  it('uses the IMPORT mode of the operator and leaves it', async () => {
    const source = orders()
    const target = new MemoryRegistry()
    target.modes.set('', 'IMPORT')
    target.modes.set(':.eu:', 'IMPORT')
    const client = target.client()
    await run(planOf(source, target), client)
    expect(target.snapshot()).toEqual({
      ...(source.snapshot() as object),
      modes: [
        ['', 'IMPORT'],
        [':.eu:', 'IMPORT']
      ]
    })
    expect(methods(client)).not.toContain('putMode')
  })

  it.each(['READWRITE', 'READONLY', undefined] as const)('gives a subject its own mode back (%s)', async mode => {
    const source = new MemoryRegistry()
    fill(source, 'a', [
      { id: 1, version: 1 },
      { id: 2, version: 2 }
    ])
    const target = new MemoryRegistry()
    fill(target, 'a', [{ id: 1, version: 1 }])
    if (mode) target.modes.set('a', mode)
    await run(planOf(source, target), target.client())
    expect(target.live('a').map(({ id }) => id)).toEqual([1, 2])
    expect(target.modes.get('a')).toBe(mode)
    expect(target.notes).toEqual([])
  })

  it('enters a subject that has a mode of its own in a context that is in IMPORT', async () => {
    const source = orders()
    const target = new MemoryRegistry()
    target.modes.set('base', 'READWRITE')
    const result = await run(planOf(source, target), target.client())
    expect(result.outcomes.filter(({ conflict }) => conflict)).toEqual([])
    expect(target.live('base')).toHaveLength(1)
    expect(target.modes.get('base')).toBe('READWRITE')
  })

  it('writes nothing where there are no contexts and no IMPORT', async () => {
    const target = new MemoryRegistry({ confluent: false })
    const client = target.client()
    await expect(run(planOf(orders(), target), client)).rejects.toMatchObject({ code: 'TWINLOG_UNSUPPORTED' })
    expect(target.versions.size).toBe(0)
    expect(methods(client).every(method => ['contexts', 'mode'].includes(method))).toBe(true)
  })

  it('stops at a registry that answers 200 with another id, and takes back what that added', async () => {
    const target = new MemoryRegistry({ confluent: false })
    target.modes.set('', 'IMPORT')
    fill(target, 'zeta', [{ id: 1, version: 1 }])
    const before = target.snapshot()
    const client = target.client()
    const result = await run(planOf(orders(), target), client)
    expect(result.stopped).toMatchObject({ code: 'TWINLOG_SCHEMA_ID_CONFLICT' })
    expect(result.outcomes.map(({ conflict }) => conflict?.kind).sort()).toEqual(['blocked', 'blocked', 'id-differs'])
    expect(target.snapshot()).toEqual(before)
    expect(methods(client).filter(method => method === 'register')).toHaveLength(1)
    expect(result.ids.size).toBe(0)
  })

  it('does not take back a version that was there before, when the registry answers with its id', async () => {
    const target = new MemoryRegistry({ confluent: false })
    target.modes.set('', 'IMPORT')
    const source = new MemoryRegistry()
    fill(source, 'a', [
      { id: 5, version: 1, schema: '"old"' },
      { id: 6, version: 2, schema: '"same"' }
    ])
    fill(target, 'a', [{ id: 1, version: 1, schema: '"same"' }])
    const plan = planOf(source, target)
    const before = target.snapshot()
    const result = await run(plan, target.client())
    expect(result.outcomes[0]?.conflict?.kind).toBe('id-differs')
    expect(target.snapshot()).toEqual(before)
  })

  it('finds a version number that was taken since the plan was made before it overwrites it', async () => {
    const source = new MemoryRegistry()
    fill(source, 'a', [
      { id: 1, version: 1 },
      { id: 2, version: 2 }
    ])
    const target = new MemoryRegistry()
    fill(target, 'a', [{ id: 1, version: 1 }])
    const plan = planOf(source, target)
    fill(target, 'a', [{ id: 9, version: 2 }])
    const before = target.snapshot()
    const result = await run(plan, target.client())
    expect(result.outcomes[0]?.conflict).toMatchObject({ kind: 'version-taken', version: 2 })
    expect(target.snapshot()).toEqual(before)
  })

  it('reports a subject that has been registered since the plan was made', async () => {
    const source = new MemoryRegistry()
    fill(source, 'a', [{ id: 1, version: 1 }])
    const target = new MemoryRegistry()
    const plan = planOf(source, target, { importScope: 'subject' })
    fill(target, 'a', [{ id: 9, version: 1 }])
    const before = target.snapshot()
    const result = await run(plan, target.client())
    expect(result.outcomes[0]?.conflict).toMatchObject({ kind: 'version-taken' })
    expect(target.snapshot()).toEqual(before)
    expect(target.notes).toEqual([])
  })

  it('reports a refused subject, blocks what comes after it, and goes on with the rest', async () => {
    const source = orders()
    const target = new MemoryRegistry()
    fill(target, 'other', [{ id: 7, version: 1, schema: '"taken"' }])
    const result = await run(planOf(source, target), target.client())
    const kinds = new Map(result.outcomes.map(({ subject, conflict }) => [subject, conflict?.kind]))
    expect(kinds).toEqual(
      new Map([
        ['base', 'id-taken'],
        ['orders-value', 'blocked'],
        [':.eu:orders-value', undefined]
      ])
    )
    expect([...target.versions.keys()].sort()).toEqual([':.eu:orders-value', 'other'])
  })

  it.each(['auto', 'subject'] as const)(
    'takes a subject back that was refused in the middle, config and mode included (%s)',
    async importScope => {
      const source = new MemoryRegistry()
      fill(
        source,
        'a',
        [1, 2, 3].map(version => ({ id: version, version }))
      )
      const target = new MemoryRegistry()
      target.configs.set('a', { compatibilityLevel: 'FULL', normalize: true })
      if (importScope === 'subject') target.modes.set('a', 'READONLY')
      const before = target.snapshot()
      const client = target.client({
        before: ({ method, detail }) => {
          if (method === 'register' && (detail as { version?: number }).version === 3)
            throw refusal(422, 42201, 'Invalid schema')
        }
      })
      const result = await run(planOf(source, target, { importScope }), client)
      expect(result.outcomes).toEqual([
        { subject: 'a', done: 0, conflict: expect.objectContaining({ kind: 'invalid', version: 3, id: 3 }) }
      ])
      expect(target.snapshot()).toEqual(
        importScope === 'auto' ? { ...(before as object), modes: [['', 'READWRITE']] } : before
      )
      expect(result.ids.size).toBe(0)
      expect(target.notes).toEqual([])
    }
  )

  it('keeps what was copied when the registry fails for a while, so that the next run goes on there', async () => {
    const source = new MemoryRegistry()
    fill(
      source,
      'a',
      [1, 2, 3].map(version => ({ id: version, version }))
    )
    fill(source, 'b', [{ id: 9, version: 1 }])
    const target = new MemoryRegistry()
    const client = target.client({
      before: ({ method, detail }) => {
        if (method === 'register' && (detail as { version?: number }).version === 3) throw refusal(503, 50301, 'busy')
      }
    })
    const result = await run(planOf(source, target), client)
    expect(result.outcomes.find(({ subject }) => subject === 'a')).toMatchObject({
      done: 2,
      conflict: { kind: 'failed', retriable: true }
    })
    expect(target.live('a')).toHaveLength(2)
    expect(target.live('b')).toHaveLength(1)
    await run(planOf(source, target), target.client())
    expect(target.live('a')).toHaveLength(3)
  })

  it('ends when one subject after the other fails', async () => {
    const source = new MemoryRegistry()
    for (let index = 1; index <= 100; index++) fill(source, `s${index}`, [{ id: index, version: 1 }])
    const client = new MemoryRegistry().client({
      before: ({ method, subject }) => {
        if (method === 'register' && !subject?.startsWith(':.twinlog:')) throw refusal(503, 50301, 'busy')
      }
    })
    const failed = run(planOf(source, new MemoryRegistry()), client)
    await expect(failed).rejects.toMatchObject({ code: 'TWINLOG_SCHEMA_REGISTRY', retriable: true })
    expect(methods(client).filter(method => method === 'register').length).toBeLessThan(20)
  })

  it('ends with the error when the target cannot be reached, and leaves a note about what it could not put back', async () => {
    const source = orders()
    const target = new MemoryRegistry()
    let dead = false
    const client = target.client({
      before: ({ method, subject }) => {
        if (method === 'register' && subject === 'orders-value') dead = true
        if (dead) throw unreachable()
      }
    })
    await expect(run(planOf(source, target), client)).rejects.toMatchObject({ code: 'TWINLOG_UNREACHABLE' })
    expect(target.modes.get('')).toBe('IMPORT')
    expect(target.notes.length).toBeGreaterThan(0)
    await repairImports(target.client(), { logger: quiet })
    expect(target.modes.get('')).toBe('READWRITE')
    expect(target.notes).toEqual([])
  })

  it.each(['auto', 'subject'] as const)(
    'puts everything back when it is aborted, and begins nothing more (%s)',
    async importScope => {
      const source = orders()
      const target = new MemoryRegistry()
      const controller = new AbortController()
      const client = target.client({
        after: ({ method, subject }) => {
          if (method === 'register' && subject === 'base') controller.abort()
        }
      })
      const aborted = run(planOf(source, target, { importScope }), client, {
        signal: controller.signal,
        concurrency: 1
      })
      await expect(aborted).rejects.toMatchObject({ code: 'TWINLOG_ABORTED' })
      expect([...target.modes.values()]).not.toContain('IMPORT')
      expect(target.notes).toEqual([])
      expect([...target.versions.keys()]).toEqual(['base'])
    }
  )

  it('reports every subject when the registry is in READONLY_OVERRIDE', async () => {
    const target = new MemoryRegistry()
    target.modes.set('', 'READONLY_OVERRIDE')
    const result = await run(planOf(orders(), target), target.client())
    expect(result.outcomes.map(({ conflict }) => conflict?.kind)).toEqual(['read-only', 'read-only', 'read-only'])
    expect(target.versions.size).toBe(0)
  })

  it('says what to do where modes are fixed', async () => {
    const target = new MemoryRegistry()
    const client = target.client({
      before: ({ method }) => {
        if (method === 'putMode') throw refusal(422, 42205, 'Mode changes are not allowed')
      }
    })
    await expect(run(planOf(orders(), target), client)).rejects.toMatchObject({ code: 'TWINLOG_UNSUPPORTED' })
    expect(target.notes).toEqual([])
  })

  it('applies config after the versions, modes last, and deletes in two steps', async () => {
    const source = new MemoryRegistry()
    fill(source, 'a', [{ id: 1, version: 1 }])
    const target = new MemoryRegistry()
    fill(target, 'gone', [{ id: 4, version: 1 }])
    const plan = planOf(source, target, {
      extra: () => [
        { kind: 'config', config: { compatibilityLevel: 'FULL' } },
        { kind: 'mode', mode: 'READONLY' }
      ]
    })
    plan.subjects.push({
      from: undefined,
      subject: 'gone',
      steps: [{ kind: 'delete-subject', permanent: true }],
      after: [],
      targetHas: 'live'
    })
    plan.levels.push({
      scope: undefined,
      steps: [
        { kind: 'config', config: { compatibilityLevel: 'NONE' } },
        { kind: 'mode', mode: 'READONLY' }
      ]
    })
    const client = target.client()
    const result = await run(plan, client, { concurrency: 1 })
    expect(result.outcomes.filter(({ conflict }) => conflict)).toEqual([])
    expect(target.snapshot()).toMatchObject({
      versions: source.all().map(version => [version]),
      modes: [
        ['', 'READONLY'],
        ['a', 'READONLY']
      ],
      configs: [
        ['', { compatibilityLevel: 'NONE' }],
        ['a', { compatibilityLevel: 'FULL' }]
      ]
    })
  })

  it('does not undo versions because of a config that is refused', async () => {
    const source = new MemoryRegistry()
    fill(source, 'a', [{ id: 1, version: 1 }])
    const target = new MemoryRegistry()
    const plan = planOf(source, target, { extra: () => [{ kind: 'config', config: { compatibilityLevel: 'BOGUS' } }] })
    const client = target.client({
      before: ({ method }) => {
        if (method === 'putConfig') throw refusal(422, 42203, 'Invalid compatibility level')
      }
    })
    const result = await run(plan, client)
    expect(result.outcomes).toEqual([{ subject: 'a', done: 1, conflict: expect.objectContaining({ kind: 'invalid' }) }])
    expect(target.live('a')).toHaveLength(1)
  })
})

describe('a plan that translates ids', () => {
  it('registers without ids, with references by the versions of the target, and learns the ids', async () => {
    const source = orders()
    const target = new MemoryRegistry()
    fill(target, 'base', [{ id: 40, version: 1, schema: '"before"' }])
    const ids = new IdMap()
    const client = target.client()
    const result = await run(planOf(source, target, { ids: 'translate' }), client, { ids })
    expect(result.outcomes.filter(({ conflict }) => conflict)).toEqual([])
    expect(target.live('base').map(({ version }) => version)).toEqual([1, 2])
    expect(target.live('orders-value').map(({ references }) => references)).toEqual([
      [{ name: 'base', subject: 'base', version: 2 }],
      []
    ])
    expect(target.of('orders-value')[0]).toMatchObject({ deleted: true, schema: source.of('orders-value')[0]!.schema })
    for (const version of source.all().filter(({ subject }) => !subject.startsWith(':.')))
      expect(ids.targetIdOf(version.id)).toBe(
        target.all().find(({ subject, schema }) => subject === version.subject && schema === version.schema)?.id
      )
    expect(result.ids.size).toBe(4)
    expect(methods(client)).not.toContain('putMode')
  })

  it('takes versions that are there already from the plan', async () => {
    const source = orders()
    const target = new MemoryRegistry()
    fill(target, 'base', [{ id: 40, version: 5, schema: source.of('base')[0]!.schema }])
    await run(planOf(source, target, { ids: 'translate' }), target.client())
    expect(target.live('orders-value')[0]?.references).toEqual([{ name: 'base', subject: 'base', version: 5 }])
  })

  it('looks up each version that is referred to once', async () => {
    const source = new MemoryRegistry()
    fill(source, 'base', [{ id: 1, version: 1 }])
    for (let index = 2; index < 12; index++)
      fill(source, `s${index}`, [{ id: index, version: 1, references: [{ name: 'b', subject: 'base', version: 1 }] }])
    const client = new MemoryRegistry().client()
    await run(planOf(source, new MemoryRegistry(), { ids: 'translate' }), client, { concurrency: 8 })
    expect(methods(client).filter(method => method !== 'register')).toEqual(['lookup'])
  })

  it('keeps a version alive that is live on the source under a later number', async () => {
    const source = new MemoryRegistry()
    fill(source, 'a', [
      { id: 1, version: 1, schema: '"x"', deleted: true },
      { id: 2, version: 2, schema: '"y"' },
      { id: 3, version: 3, schema: '"x"' }
    ])
    const target = new MemoryRegistry()
    await run(planOf(source, target, { ids: 'translate' }), target.client())
    expect(target.live('a').map(({ schema }) => schema)).toEqual(['"x"', '"y"'])
  })

  it('takes back what it added to a subject that is refused in the middle, and nothing else', async () => {
    const source = new MemoryRegistry()
    fill(
      source,
      'a',
      [1, 2, 3].map(version => ({ id: version, version, schema: `"s${version}"` }))
    )
    const target = new MemoryRegistry({ incompatible: (_subject, { schema }) => schema === '"s3"' })
    fill(target, 'a', [{ id: 8, version: 1, schema: '"own"' }])
    target.configs.set('a', { compatibilityLevel: 'FULL' })
    const plan = planOf(source, target, { ids: 'translate' })
    plan.subjects[0]!.steps.unshift({ kind: 'config', config: { compatibilityLevel: 'BACKWARD' } })
    const before = target.snapshot()
    const result = await run(plan, target.client())
    expect(result.outcomes[0]?.conflict?.kind).toBe('incompatible')
    expect(target.snapshot()).toEqual(before)
    expect(result.ids.size).toBe(0)
  })

  it('does not let a version be incompatible with one that is deleted on the source, and keeps config and mode', async () => {
    const source = new MemoryRegistry()
    fill(source, 'a', [
      { id: 1, version: 1, schema: '"mistake"', deleted: true },
      { id: 2, version: 2, schema: '"right"' }
    ])
    const target: MemoryRegistry = new MemoryRegistry({
      incompatible: (subject, { schema }) =>
        schema === '"right"' && target.live(subject).some(other => other.schema === '"mistake"')
    })
    target.configs.set('a', { compatibilityLevel: 'FULL' })
    target.modes.set('a', 'READWRITE')
    const result = await run(planOf(source, target, { ids: 'translate' }), target.client())
    expect(result.outcomes).toEqual([{ subject: 'a', done: 2 }])
    expect(target.of('a').map(({ schema, deleted }) => [schema, deleted])).toEqual([
      ['"mistake"', true],
      ['"right"', false]
    ])
    expect(target.configs.get('a')).toEqual({ compatibilityLevel: 'FULL' })
    expect(target.modes.get('a')).toBe('READWRITE')
  })

  it('reports a reference that the target lacks', async () => {
    const source = orders()
    const target = new MemoryRegistry()
    const plan = planOf(source, target, { ids: 'translate' })
    plan.subjects = plan.subjects.filter(({ subject }) => subject === 'orders-value')
    const result = await run(plan, target.client())
    expect(result.outcomes[0]?.conflict).toMatchObject({ kind: 'missing-reference', version: 3 })
    expect(target.versions.size).toBe(0)
  })
})
