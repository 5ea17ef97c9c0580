import { afterEach, describe, expect, it } from 'vitest'
import { applyPlan } from '../../../src/schemas/apply.js'
import { createRegistryClient } from '../../../src/schemas/client/client.js'
import { createGate } from '../../../src/schemas/gate.js'
import { IdMap } from '../../../src/schemas/id-map.js'
import { repairImports } from '../../../src/schemas/import-repair.js'
import { NameMap } from '../../../src/schemas/names.js'
import { type FakeRegistry, startFakeRegistry } from '../../support/registry/fake.js'
import { MemoryRegistry } from './memory-registry.js'
import { fill, planOf, quiet } from './plan-of.js'

// The same as on the registry in memory, but over HTTP and by the rules of the fake that the conformance table is run against.

const open: FakeRegistry[] = []

afterEach(async () => {
  for (const registry of open.splice(0)) await registry.close()
})

async function start(): Promise<FakeRegistry> {
  const registry = await startFakeRegistry()
  open.push(registry)
  return registry
}

const clientOf = ({ url }: FakeRegistry) => createRegistryClient({ url, retries: 0 }, { logger: quiet })

const record = (name: string, type: string) =>
  JSON.stringify({ type: 'record', name, namespace: 'acme', fields: [{ name: 'a', type }] })

function orders(): MemoryRegistry {
  const source = new MemoryRegistry()
  fill(source, 'base', [{ id: 7, version: 2, schema: record('Base', 'int') }])
  fill(source, 'orders-value', [
    { id: 11, version: 1, deleted: true, schema: record('Order', 'int') },
    {
      id: 12,
      version: 3,
      schema: record('Order', 'Base'),
      references: [{ name: 'acme.Base', subject: 'base', version: 2 }]
    }
  ])
  fill(source, ':.eu:orders-value', [{ id: 11, version: 1, schema: record('Order', 'string') }])
  return source
}

/** The plan is made by what the registry holds. */
async function heldBy(registry: FakeRegistry): Promise<MemoryRegistry> {
  const held = new MemoryRegistry()
  for (const version of (await clientOf(registry).allVersions({ deleted: true })) ?? []) held.put(version)
  return held
}

async function sync(
  source: MemoryRegistry,
  registry: FakeRegistry,
  importScope: 'auto' | 'subject',
  ids: 'preserve' | 'translate' = 'preserve'
) {
  const target = clientOf(registry)
  await repairImports(target, { logger: quiet })
  const plan = planOf(source, await heldBy(registry), { importScope, ids })
  const map = new IdMap()
  const { outcomes } = await applyPlan({ plan, target, ids: map, concurrency: 3, logger: quiet, owner: 'test' })
  return { conflicts: outcomes.flatMap(({ conflict }) => conflict ?? []), map }
}

const withoutModes = (registry: FakeRegistry) => ({ ...registry.dump(), modes: {} })

describe('a plan against a registry over HTTP', () => {
  it.each(['auto', 'subject'] as const)(
    'is done, and can be done again after a cut at a request (%s)',
    async importScope => {
      const source = orders()
      const whole = await start()
      expect((await sync(source, whole, importScope)).conflicts).toEqual([])
      const requests = whole.requests.count
      expect((await heldBy(whole)).snapshot()).toEqual(source.snapshot())
      expect(JSON.stringify(whole.dump())).not.toContain('IMPORT')
      // Every request is cut in apply-crash.test.ts; here some are, as HTTP takes its time.
      for (let index = 0; index < requests; index += 7) {
        const cut = index % 2 === 0 ? 'drop-before' : 'drop-after'
        const registry = await start()
        registry.inject(request => {
          if (request.index < index) return undefined
          return request.index === index ? cut : 'drop-before'
        })
        await expect(sync(source, registry, importScope)).rejects.toMatchObject({ code: 'TWINLOG_UNREACHABLE' })
        registry.inject()
        await repairImports(clientOf(registry), { logger: quiet })
        expect(JSON.stringify(registry.dump())).not.toMatch(/IMPORT|twinlog/)
        expect((await sync(source, registry, importScope)).conflicts).toEqual([])
        expect(withoutModes(registry)).toEqual(withoutModes(whole))
        expect(JSON.stringify(registry.dump())).not.toContain('IMPORT')
        await registry.close()
      }
    }
  )

  it('translates ids, and a gate answers with them', async () => {
    const source = orders()
    const registry = await start()
    await clientOf(registry).register('zeta', { schemaType: 'AVRO', schema: record('Zeta', 'int'), references: [] })
    const { conflicts, map } = await sync(source, registry, 'auto', 'translate')
    expect(conflicts).toEqual([])
    for (const version of source.all().filter(({ subject }) => !subject.startsWith(':.'))) {
      const content = await clientOf(registry).schemaById(map.targetIdOf(version.id) ?? 0)
      expect(content?.schema).toBe(version.schema)
    }
  })

  it('is brought by a gate, one subject at a time', async () => {
    const [from, to] = [await start(), await start()]
    const names = new NameMap({})
    const [source, target] = [clientOf(from), clientOf(to)]
    const { id } = await source.register('orders-value', {
      schemaType: 'AVRO',
      schema: record('Order', 'int'),
      references: []
    })
    await source.register('other-value', { schemaType: 'AVRO', schema: record('Other', 'int'), references: [] })
    const map = new IdMap()
    const gate = createGate({
      source,
      target,
      ids: 'preserve',
      map,
      names,
      subjectsOf: 'topic',
      syncSubjects: async subjects => {
        const plan = planOf(await heldBy(from), await heldBy(to))
        plan.subjects = plan.subjects.filter(({ subject }) => subjects.includes(subject))
        const { outcomes } = await applyPlan({ plan, target, ids: map, concurrency: 3, logger: quiet, owner: 'test' })
        return outcomes.flatMap(({ conflict }) => conflict ?? [])
      }
    })
    expect(await gate.knows('orders', id, performance.now(), 'value')).toBe(true)
    expect(await gate.knows('orders', id, performance.now(), 'key')).toBe(false)
    expect(await gate.knows('orders', 77, performance.now(), 'value')).toBe(false)
    // A server of 7.9 has no GUIDs.
    expect(await gate.knowsGuid('orders', '00000000-0000-0000-0000-000000000000', performance.now())).toBe(false)
    await gate.bring('orders', id)
    expect(gate.targetIdOf(id)).toBe(id)
    expect(await target.subjects()).toEqual(['orders-value'])
  })
})
