import { describe, expect, it } from 'vitest'
import { applyPlan } from '../../../src/schemas/apply.js'
import { createGate, type GateOptions } from '../../../src/schemas/gate.js'
import { IdMap } from '../../../src/schemas/id-map.js'
import { NameMap, type NameOptions } from '../../../src/schemas/names.js'
import type { SchemaConflict } from '../../../src/schemas/plan-types.js'
import {
  guidOf,
  type MemoryClientHooks,
  MemoryRegistry,
  type MemoryRegistryOptions,
  unreachable
} from './memory-registry.js'
import { fill, planOf, quiet } from './plan-of.js'

interface World {
  ids?: 'preserve' | 'translate'
  subjectsOf?: 'topic' | 'any'
  names?: NameOptions
  registry?: MemoryRegistryOptions
  sourceHooks?: MemoryClientHooks
  targetHooks?: MemoryClientHooks
  sync?: GateOptions['syncSubjects']
}

function world(o: World = {}) {
  const source = new MemoryRegistry(o.registry)
  const target = new MemoryRegistry(o.registry)
  const sourceClient = source.client(o.sourceHooks)
  const targetClient = target.client(o.targetHooks)
  const map = new IdMap()
  const ids = o.ids ?? 'preserve'
  const synced: string[][] = []
  let time = 0
  const sync = async (subjects: string[]): Promise<SchemaConflict[]> => {
    const plan = planOf(source, target, { ids })
    plan.subjects = plan.subjects.filter(({ subject }) => subjects.includes(subject))
    const result = await applyPlan({
      plan,
      target: target.client(),
      ids: map,
      concurrency: 4,
      logger: quiet,
      owner: 'test'
    })
    return result.outcomes.flatMap(({ conflict }) => conflict ?? [])
  }
  const gate = createGate({
    source: sourceClient,
    target: targetClient,
    ids,
    map,
    names: new NameMap(o.names ?? {}),
    syncSubjects: async (subjects, call) => {
      synced.push([...subjects])
      return (o.sync ?? sync)(subjects, call)
    },
    subjectsOf: o.subjectsOf ?? 'topic',
    now: () => time
  })
  return { source, target, sourceClient, targetClient, map, gate, synced, at: (now: number) => (time = now) }
}

describe('the schemas of a topic', () => {
  it.each([
    ['its value', 'orders', 1, true],
    ['its key', 'orders', 2, true],
    ['a record of it', 'orders', 3, true],
    ['a deleted version', 'orders', 4, true],
    ['a deleted subject', 'orders', 5, true],
    ['another topic', 'payments', 1, false],
    ['an unknown id', 'orders', 99, false],
    ['another context', 'orders', 7, false]
  ])('%s', async (_what, topic, id, known) => {
    for (const listsAll of [true, false]) {
      const { source, gate } = world({ registry: { listsAll } })
      fill(source, 'orders-value', [
        { id: 1, version: 1 },
        { id: 4, version: 2, deleted: true }
      ])
      fill(source, 'orders-key', [{ id: 2, version: 1 }])
      fill(source, 'orders-com.acme.Order', [{ id: 3, version: 1 }])
      fill(source, 'orders-old', [{ id: 5, version: 1, deleted: true }])
      fill(source, ':.eu:orders-value', [{ id: 7, version: 1 }])
      expect(await gate.knows(topic, id, 0)).toBe(known)
    }
  })

  it('are those of the context that is copied', async () => {
    const { source, gate } = world({ names: { sourceContext: '.eu' } })
    fill(source, ':.eu:orders-value', [{ id: 7, version: 1 }])
    fill(source, 'orders-value', [{ id: 8, version: 1 }])
    expect([await gate.knows('orders', 7, 0), await gate.knows('orders', 8, 0)]).toEqual([true, false])
  })

  it('say nothing of the other part of a record', async () => {
    const { source, gate } = world()
    fill(source, 'orders-value', [{ id: 1, version: 1 }])
    fill(source, 'orders-key', [{ id: 2, version: 1 }])
    fill(source, 'orders-com.acme.Order', [{ id: 3, version: 1 }])
    const known = (part: 'key' | 'value') => Promise.all([1, 2, 3].map(async id => gate.knows('orders', id, 0, part)))
    expect(await known('key')).toEqual([false, true, true])
    expect(await known('value')).toEqual([true, false, true])
  })

  it('are known at once and for good, without a request', async () => {
    const { source, sourceClient, gate } = world()
    fill(source, 'orders-value', [{ id: 1, version: 1 }])
    expect(await gate.knows('orders', 1, 0)).toBe(true)
    source.versions.clear()
    const before = sourceClient.requests
    expect(gate.knows('orders', 1, 1_000)).toBe(true)
    expect(sourceClient.requests).toBe(before)
  })

  it('a "no" counts for what was read before it was asked for', async () => {
    const { source, gate, at } = world()
    at(10)
    expect(await gate.knows('orders', 1, 5)).toBe(false)
    fill(source, 'orders-value', [{ id: 1, version: 1 }])
    expect(gate.knows('orders', 1, 9)).toBe(false)
    at(20)
    expect(await gate.knows('orders', 1, 15)).toBe(true)
  })

  it('are not answered by a look that began before the record was read', async () => {
    let open = () => {}
    const wait = new Promise<void>(resolve => (open = resolve))
    let first = true
    const { source, gate, at } = world({
      sourceHooks: {
        after: async () => {
          if (first) {
            first = false
            await wait
          }
        }
      }
    })
    fill(source, 'orders-key', [{ id: 9, version: 1 }])
    at(10)
    const early = gate.knows('orders', 1, 5)
    await new Promise(resolve => setImmediate(resolve))
    fill(source, 'orders-value', [{ id: 1, version: 1 }])
    at(20)
    const late = gate.knows('orders', 1, 15)
    open()
    expect(await early).toBe(false)
    expect(await late).toBe(true)
  })

  it.each([
    [true, 20, 3],
    [false, 20, 3],
    [true, 1, 2],
    [false, 1, 2]
  ])(
    'cost at most three requests a read of a lane, shared by all lanes (lists: %s, %i ids: %i requests)',
    async (listsAll, ids, most) => {
      const { source, sourceClient, gate, at } = world({ registry: { listsAll } })
      fill(
        source,
        'orders-value',
        [1, 2, 3].map(version => ({ id: version, version }))
      )
      fill(source, 'orders-key', [{ id: 4, version: 1 }])
      await gate.knows('orders', 1, 0)
      for (let read = 1; read < 4; read++) {
        const before = sourceClient.requests
        at(read * 10)
        const lanes = Array.from({ length: 8 }, () =>
          Array.from({ length: ids }, async (_, index) => gate.knows('orders', 1_000 + index, read * 10 - 1))
        )
        expect(await Promise.all(lanes.flat())).not.toContain(true)
        expect(sourceClient.requests - before).toBeLessThanOrEqual(most)
      }
    }
  )

  it('ask for a subject only what is new in it', async () => {
    const { source, sourceClient, gate, at } = world({ registry: { listsAll: false } })
    fill(
      source,
      'orders-value',
      [1, 2, 3].map(version => ({ id: version, version }))
    )
    await gate.knows('orders', 1, 0)
    fill(source, 'orders-value', [{ id: 9, version: 4 }])
    at(10)
    sourceClient.log.length = 0
    expect(await Promise.all([9, 100, 101, 102, 103].map(async id => gate.knows('orders', id, 5)))).toEqual([
      true,
      false,
      false,
      false,
      false
    ])
    expect(sourceClient.log.filter(({ method }) => method === 'version').map(({ detail }) => detail)).toEqual([
      { version: 4, deleted: true }
    ])
  })

  it('cannot be told while the source registry is away; what is known is still answered', async () => {
    let away = false
    const { source, sourceClient, gate, at } = world({
      sourceHooks: {
        before: () => {
          if (away) throw unreachable()
        }
      }
    })
    fill(source, 'orders-value', [
      { id: 1, version: 1 },
      { id: 2, version: 2 }
    ])
    at(10)
    expect(await gate.knows('orders', 1, 0)).toBe(true)
    away = true
    fill(source, 'orders-value', [{ id: 3, version: 3 }])
    at(20)
    const failing = [gate.knows('orders', 3, 15), gate.knows('orders', 4, 15)]
    for (const each of failing)
      await expect(each).rejects.toMatchObject({ code: 'TWINLOG_UNREACHABLE', retriable: true })
    expect(gate.knows('orders', 2, 20)).toBe(true)
    const before = sourceClient.requests
    await expect(gate.knows('orders', 3, 15)).rejects.toMatchObject({ retriable: true })
    expect(sourceClient.requests).toBe(before)
    away = false
    at(1_030)
    expect(await gate.knows('orders', 3, 15)).toBe(true)
  })

  it('with subjectsOf any are those of every selected subject', async () => {
    for (const listsAll of [true, false]) {
      const { source, sourceClient, gate, at } = world({
        subjectsOf: 'any',
        names: { subjects: /com\..*/ },
        registry: { listsAll }
      })
      for (let id = 1; id <= 200; id++) fill(source, `com.acme.R${id}`, [{ id, version: 1 }])
      fill(source, 'other', [{ id: 300, version: 1 }])
      fill(source, 'orders-value', [{ id: 301, version: 1 }])
      expect(await Promise.all([7, 300, 301, 302].map(async id => gate.knows('orders', id, 0)))).toEqual([
        true,
        false,
        true,
        false
      ])
      at(10)
      sourceClient.log.length = 0
      expect(await gate.knows('orders', 400, 5)).toBe(false)
      expect(sourceClient.requests).toBeLessThanOrEqual(2)
    }
  })

  it('with subjectsOf any are not missed because the registry tells only one of two ids of a content', async () => {
    const { source, gate } = world({ subjectsOf: 'any', names: { subjects: 'a' } })
    fill(source, 'a', [{ id: 1, version: 1, schema: '"same"' }])
    fill(source, 'b', [{ id: 2, version: 1, schema: '"same"' }])
    const client = source.client()
    const usesOf = client.usesOf.bind(client)
    client.usesOf = async (id, o) => (id === 1 ? usesOf(2, o) : usesOf(id, o))
    const one = createGate({
      source: client,
      target: client,
      ids: 'preserve',
      map: new IdMap(),
      names: new NameMap({ subjects: 'a' }),
      syncSubjects: async () => [],
      subjectsOf: 'any'
    })
    expect(await one.knows('t', 1, 0)).toBe(true)
    expect(await gate.knows('t', 2, 0)).toBe(false)
  })

  it('of an empty list are not believed before the registry has shown that it lists anything', async () => {
    const { source, gate } = world()
    fill(source, 'orders-value', [{ id: 1, version: 1 }])
    const client = source.client()
    client.allVersions = async () => []
    const odd = createGate({
      source: client,
      target: client,
      ids: 'preserve',
      map: new IdMap(),
      names: new NameMap({}),
      syncSubjects: async () => [],
      subjectsOf: 'topic'
    })
    expect(await odd.knows('orders', 1, 0)).toBe(true)
    expect(await gate.knows('orders', 1, 0)).toBe(true)
  })
})

describe('a schema that is brought', () => {
  it.each(['preserve', 'translate'] as const)('is there afterwards, with its subjects alone (%s)', async ids => {
    const { source, target, gate, synced } = world({ ids })
    fill(target, 'first', [{ id: 1, version: 1, schema: '"first"' }])
    fill(source, 'orders-value', [
      { id: 11, version: 1 },
      { id: 12, version: 2 }
    ])
    fill(source, 'payments-value', [{ id: 13, version: 1 }])
    await gate.knows('orders', 11, 0)
    expect(gate.targetIdOf(11)).toBeUndefined()
    const many = [gate.bring('orders', 11), gate.bring('orders', 11), gate.bring('orders', 12)]
    await Promise.all(many)
    expect(synced).toEqual([['orders-value']])
    expect(target.of('orders-value')).toHaveLength(2)
    expect(gate.targetIdOf(11)).toBe(ids === 'preserve' ? 11 : 2)
    expect(gate.targetIdOf(12)).toBe(ids === 'preserve' ? 12 : 3)
    expect(target.versions.has('payments-value')).toBe(false)
    await gate.bring('orders', 12)
    expect(synced).toHaveLength(1)
  })

  it('is not copied when the target has it under its id', async () => {
    const { source, target, gate, synced } = world()
    fill(source, 'orders-value', [{ id: 11, version: 1 }])
    fill(target, 'other', [{ id: 11, version: 1 }])
    await gate.knows('orders', 11, 0)
    await gate.bring('orders', 11)
    expect(synced).toEqual([])
    expect(gate.targetIdOf(11)).toBe(11)
  })

  it('is looked for in the context that it is copied to', async () => {
    const { source, target, gate } = world({ names: { targetContext: '.dr' } })
    fill(source, 'orders-value', [{ id: 11, version: 1 }])
    fill(target, 'x', [{ id: 11, version: 1, schema: '"other"' }])
    fill(target, ':.dr:orders-value', [{ id: 11, version: 1 }])
    await gate.knows('orders', 11, 0)
    await gate.bring('orders', 11)
    expect(gate.targetIdOf(11)).toBe(11)
  })

  it('is refused when the target has another schema by that number', async () => {
    const { source, target, gate } = world()
    fill(source, 'orders-value', [{ id: 11, version: 1 }])
    fill(target, 'other', [{ id: 11, version: 1, schema: '"other"' }])
    await gate.knows('orders', 11, 0)
    await expect(gate.bring('orders', 11)).rejects.toMatchObject({
      code: 'TWINLOG_SCHEMA_ID_CONFLICT',
      retriable: false,
      schemaId: 11
    })
    expect(gate.targetIdOf(11)).toBeUndefined()
  })

  it('is found on the target though the sync had nothing to tell (translate)', async () => {
    const { source, target, gate } = world({ ids: 'translate', sync: async () => [] })
    fill(source, 'orders-value', [{ id: 11, version: 1 }])
    fill(target, 'orders-value', [{ id: 3, version: 1, schema: source.of('orders-value')[0]!.schema }])
    await gate.knows('orders', 11, 0)
    await gate.bring('orders', 11)
    expect(gate.targetIdOf(11)).toBe(3)
  })

  it('says which subject to select', async () => {
    const { source, gate } = world({ names: { subjects: /payments.*/ } })
    fill(source, 'orders-value', [{ id: 11, version: 1 }])
    expect(await gate.knows('orders', 11, 0)).toBe(true)
    await expect(gate.bring('orders', 11)).rejects.toMatchObject({
      subject: 'orders-value',
      retriable: false,
      message: expect.stringContaining('"orders-value"')
    })
  })

  it.each([
    [{ kind: 'id-taken', message: 'taken' }, 'TWINLOG_SCHEMA_ID_CONFLICT', false],
    [{ kind: 'read-only', message: 'read-only' }, 'TWINLOG_SCHEMA_REGISTRY', false],
    [{ kind: 'failed', message: 'busy', retriable: true }, 'TWINLOG_SCHEMA_REGISTRY', true]
  ] as const)('says why it cannot be there (%o)', async (conflict, code, retriable) => {
    const { source, gate, at } = world({ sync: async () => [{ subject: 'orders-value', ...conflict }] })
    fill(source, 'orders-value', [{ id: 11, version: 1 }])
    await gate.knows('orders', 11, 0)
    await expect(gate.bring('orders', 11)).rejects.toMatchObject({
      code,
      retriable,
      message: expect.stringContaining(conflict.message)
    })
    at(500)
  })

  it('is tried again a second after it failed, not sooner', async () => {
    let fails = true
    const { source, target, gate, synced, at } = world({
      sync: async () => {
        if (fails) throw unreachable()
        fill(target, 'orders-value', [{ id: 11, version: 1 }])
        return []
      }
    })
    fill(source, 'orders-value', [{ id: 11, version: 1 }])
    await gate.knows('orders', 11, 0)
    for (const now of [0, 500, 999]) {
      at(now)
      await expect(gate.bring('orders', 11)).rejects.toMatchObject({ code: 'TWINLOG_UNREACHABLE' })
    }
    expect(synced).toHaveLength(1)
    fails = false
    at(1_000)
    await gate.bring('orders', 11)
    expect(gate.targetIdOf(11)).toBe(11)
  })

  it('goes on for the others when one caller stops waiting', async () => {
    const { source, gate } = world()
    fill(source, 'orders-value', [{ id: 11, version: 1 }])
    await gate.knows('orders', 11, 0)
    const controller = new AbortController()
    const [one, other] = [gate.bring('orders', 11, { signal: controller.signal }), gate.bring('orders', 11)]
    controller.abort()
    await expect(one).rejects.toMatchObject({ code: 'TWINLOG_ABORTED' })
    await other
    expect(gate.targetIdOf(11)).toBe(11)
  })

  it('waits until its translation is kept', async () => {
    const { source, gate, at } = world({ ids: 'translate' })
    fill(source, 'orders-value', [{ id: 11, version: 1 }])
    let works = false
    const kept: number[] = []
    gate.onTranslated(async ({ sourceId }) => {
      if (!works) throw new Error('state topic away')
      kept.push(sourceId)
    })
    await gate.knows('orders', 11, 0)
    await expect(gate.bring('orders', 11)).rejects.toMatchObject({
      retriable: true,
      message: expect.stringContaining('state topic away')
    })
    expect(gate.targetIdOf(11)).toBeUndefined()
    works = true
    at(1_000)
    await gate.bring('orders', 11)
    expect(gate.targetIdOf(11)).toBe(1)
    expect(kept).toEqual([11])
  })

  it('gathers what is asked for while a sync runs', async () => {
    const { source, gate, synced } = world()
    for (let id = 1; id <= 20; id++) fill(source, `t${id}-value`, [{ id, version: 1 }])
    for (let id = 1; id <= 20; id++) await gate.knows(`t${id}`, id, 0)
    await Promise.all(Array.from({ length: 20 }, (_, index) => gate.bring(`t${index + 1}`, index + 1)))
    expect(synced.length).toBeLessThanOrEqual(3)
    expect(synced.flat()).toHaveLength(20)
  })
})

describe('a schema that a header names by its GUID', () => {
  it('is known and brought by the id that the registry has for it', async () => {
    const { source, target, gate, sourceClient } = world({ registry: { guids: true } })
    fill(source, 'orders-value', [{ id: 11, version: 1 }])
    fill(source, 'payments-value', [{ id: 12, version: 1 }])
    const guid = guidOf(source.of('orders-value')[0]!)
    expect(await gate.knowsGuid('orders', guid, 0)).toBe(true)
    expect(await gate.knowsGuid('payments', guid, 0)).toBe(false)
    expect(await gate.knowsGuid('orders', guid, 0, 'key')).toBe(false)
    expect(await gate.knowsGuid('orders', guidOf(source.of('payments-value')[0]!), 0)).toBe(false)
    const before = sourceClient.requests
    expect(gate.knowsGuid('orders', guid, 100)).toBe(true)
    expect(sourceClient.requests).toBe(before)
    expect(gate.hasGuid(guid)).toBe(false)
    await gate.bringGuid('orders', guid)
    expect(gate.hasGuid(guid)).toBe(true)
    expect(target.live('orders-value')).toHaveLength(1)
  })

  it('is asked for anew for what was read since', async () => {
    const { source, gate, at } = world({ registry: { guids: true } })
    const guid = guidOf({ schemaType: 'AVRO', schema: '{"type":"fixed","size":11,"name":"s"}', references: [] })
    at(10)
    expect(await gate.knowsGuid('orders', guid, 5)).toBe(false)
    fill(source, 'orders-value', [{ id: 11, version: 1 }])
    expect(gate.knowsGuid('orders', guid, 8)).toBe(false)
    at(20)
    expect(await gate.knowsGuid('orders', guid, 15)).toBe(true)
  })

  it('cannot be known where the source is too old for it, and that costs a request a minute', async () => {
    const { sourceClient, gate, at } = world()
    expect(await gate.knowsGuid('orders', 'g1', 0)).toBe(false)
    at(100)
    expect(gate.knowsGuid('orders', 'g2', 100)).toBe(false)
    expect(sourceClient.requests).toBe(1)
    at(60_001)
    expect(await gate.knowsGuid('orders', 'g2', 60_001)).toBe(false)
    expect(sourceClient.requests).toBe(2)
  })

  it('says when its copy has another GUID', async () => {
    const { source, gate } = world({ ids: 'translate', registry: { guids: true }, sync: async () => [] })
    fill(source, 'orders-value', [{ id: 11, version: 1 }])
    gate.learn([{ sourceId: 11, targetId: 4 }])
    const guid = guidOf(source.of('orders-value')[0]!)
    expect(await gate.knowsGuid('orders', guid, 0)).toBe(true)
    await expect(gate.bringGuid('orders', guid)).rejects.toMatchObject({
      code: 'TWINLOG_SCHEMA_ID_CONFLICT',
      retriable: false
    })
  })
})
