import { describe, expect, it } from 'vitest'
import { isNoteThere, writeNote } from '../../../src/schemas/import-note.js'
import { repairImports } from '../../../src/schemas/import-repair.js'
import { ImportScope } from '../../../src/schemas/import-scope.js'
import { MemoryRegistry, refusal, unreachable } from './memory-registry.js'
import { fill, quiet } from './plan-of.js'

const repair = (registry: MemoryRegistry, o: { signal?: AbortSignal } = {}) =>
  repairImports(registry.client(), { logger: quiet, ...o })

describe('a repair', () => {
  it('costs one request when there is nothing to do', async () => {
    const registry = new MemoryRegistry()
    fill(registry, 'a', [{ id: 1, version: 1 }])
    const client = registry.client()
    expect(await repairImports(client, { logger: quiet })).toEqual([])
    expect(client.log.map(({ method, detail }) => [method, detail])).toEqual([
      ['subjects', { prefix: ':.twinlog:import-', deleted: true, signal: undefined }]
    ])
  })

  it.each([
    ['the registry', undefined, 'READONLY', ''],
    ['a context', ':.eu:', undefined, ':.eu:'],
    ['a subject', 'a', 'READWRITE', 'a']
  ] as const)('gives %s its previous mode back', async (_what, scope, previousMode, key) => {
    const registry = new MemoryRegistry()
    await writeNote(registry.client(), { kind: 'import', scope, previousMode }, 'gone')
    registry.modes.set(key, 'IMPORT')
    expect(await repair(registry)).toEqual([{ scope, mode: previousMode }])
    expect(registry.modes.get(key)).toBe(previousMode)
    expect(registry.notes).toEqual([])
  })

  it('leaves alone what is not in IMPORT any more', async () => {
    const registry = new MemoryRegistry()
    await writeNote(registry.client(), { kind: 'import', scope: 'a', previousMode: 'READWRITE' }, 'gone')
    registry.modes.set('a', 'READONLY')
    expect(await repair(registry)).toEqual([])
    expect(registry.modes.get('a')).toBe('READONLY')
    expect(registry.notes).toEqual([])
  })

  it('only removes a note that was being removed', async () => {
    const registry = new MemoryRegistry()
    const note = await writeNote(registry.client(), { kind: 'import', scope: 'a', previousMode: undefined }, 'gone')
    await registry.client().deleteSubject(note)
    registry.modes.set('a', 'IMPORT')
    expect(await repair(registry)).toEqual([])
    expect(registry.modes.get('a')).toBe('IMPORT')
    expect(registry.notes).toEqual([])
  })

  it.each([
    'no JSON',
    '{"type":"object"}',
    '{"const":{"scope":7,"previousMode":null}}',
    '{"const":{"scope":"a","previousMode":"ODD"}}'
  ])('reports a note that it cannot read, and goes on (%s)', async schema => {
    const registry = new MemoryRegistry()
    fill(registry, ':.twinlog:import-0', [{ id: 1, version: 1, schema }])
    await writeNote(registry.client(), { kind: 'import', scope: 'a', previousMode: undefined }, 'gone')
    registry.modes.set('a', 'IMPORT')
    const warnings: object[] = []
    const logger = { ...quiet, warn: (fields: object) => warnings.push(fields) }
    expect(await repairImports(registry.client(), { logger })).toHaveLength(1)
    expect(registry.notes).toEqual([':.twinlog:import-0'])
    expect(warnings).toContainEqual(expect.objectContaining({ subject: ':.twinlog:import-0' }))
  })

  it('goes on with the others when one scope cannot be put back, and keeps the note of that one', async () => {
    const registry = new MemoryRegistry()
    const client = registry.client({
      before: ({ method, subject }) => {
        if (method === 'deleteMode' && subject === 'a') throw refusal(422, 42205, 'Mode changes are not allowed')
      }
    })
    const note = await writeNote(client, { kind: 'import', scope: 'a', previousMode: undefined }, 'gone')
    await writeNote(client, { kind: 'import', scope: 'b', previousMode: undefined }, 'gone')
    registry.modes.set('a', 'IMPORT')
    registry.modes.set('b', 'IMPORT')
    expect(await repairImports(client, { logger: quiet })).toEqual([{ scope: 'b', mode: undefined }])
    expect(registry.notes).toEqual([note])
  })

  it('cannot see a mode below READONLY_OVERRIDE, and keeps the note until it can', async () => {
    const registry = new MemoryRegistry()
    await writeNote(registry.client(), { kind: 'import', scope: 'a', previousMode: undefined }, 'gone')
    registry.modes.set('a', 'IMPORT')
    registry.modes.set('', 'READONLY_OVERRIDE')
    expect(await repair(registry)).toEqual([])
    expect(registry.notes).toHaveLength(1)
    registry.modes.delete('')
    expect(await repair(registry)).toHaveLength(1)
    expect(registry.modes.size).toBe(0)
  })

  it('does not delete a version that is another one by now', async () => {
    const registry = new MemoryRegistry()
    fill(registry, 'a', [
      { id: 5, version: 2 },
      { id: 6, version: 3 },
      { id: 7, version: 4 }
    ])
    const versions = [
      { version: 2, id: 4 },
      { version: 3, id: 6 },
      { version: 9, id: 9 }
    ]
    await writeNote(registry.client(), { kind: 'deletes', subject: 'a', versions }, 'gone')
    await repair(registry)
    expect(registry.of('a').map(({ deleted }) => deleted)).toEqual([false, true, false])
    expect(registry.notes).toEqual([])
  })

  it('finishes deletes of a subject that is READONLY again', async () => {
    const registry = new MemoryRegistry()
    fill(registry, 'a', [
      { id: 5, version: 2 },
      { id: 6, version: 3 }
    ])
    registry.modes.set('a', 'READONLY')
    await writeNote(registry.client(), { kind: 'deletes', subject: 'a', versions: [{ version: 2, id: 5 }] }, 'gone')
    await repair(registry)
    expect(registry.of('a').map(({ deleted }) => deleted)).toEqual([true, false])
    expect(registry.modes.get('a')).toBe('READONLY')
    expect(registry.notes).toEqual([])
  })

  it('throws when the registry cannot be reached, and when it is aborted', async () => {
    const registry = new MemoryRegistry()
    await writeNote(registry.client(), { kind: 'import', scope: 'a', previousMode: undefined }, 'gone')
    registry.modes.set('a', 'IMPORT')
    const client = registry.client({
      before: ({ method }) => {
        if (method === 'deleteMode') throw unreachable()
      }
    })
    await expect(repairImports(client, { logger: quiet })).rejects.toMatchObject({ code: 'TWINLOG_UNREACHABLE' })
    await expect(repair(registry, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'TWINLOG_ABORTED' })
    expect(registry.notes).toHaveLength(1)
  })
})

describe('a scope in IMPORT', () => {
  it('is noted before it is entered and until it is left', async () => {
    const registry = new MemoryRegistry()
    const order: string[] = []
    const client = registry.client({
      after: ({ method, subject }) => {
        order.push(
          `${method} ${subject?.startsWith(':.twinlog:') ? 'note' : subject} ${registry.modes.get('a')} ${registry.notes.length}`
        )
      }
    })
    const scope = new ImportScope({ target: client, scope: 'a', owner: 'test' })
    await scope.enter({ force: false })
    await scope.leave()
    expect(order).toEqual([
      'mode a undefined 0',
      'register note undefined 1',
      'putMode a IMPORT 1',
      'versions note IMPORT 1',
      'deleteMode a undefined 1',
      'deleteSubject note undefined 1',
      'deleteSubject note undefined 0'
    ])
  })

  it('is noted again when a repair removed the note before it was entered', async () => {
    const registry = new MemoryRegistry()
    const client = registry.client({
      before: async ({ method }) => {
        if (method === 'putMode') await repair(registry)
      }
    })
    const scope = new ImportScope({ target: client, scope: 'a', owner: 'test' })
    await scope.enter({ force: false })
    expect(registry.modes.get('a')).toBe('IMPORT')
    expect(await isNoteThere(registry.client(), registry.notes[0]!)).toBe(true)
    await scope.leave()
    expect(registry.modes.size + registry.notes.length).toBe(0)
  })

  it('is put back when nobody knows whether it was entered', async () => {
    const registry = new MemoryRegistry()
    const client = registry.client({
      after: ({ method, detail }) => {
        if (method === 'putMode' && (detail as { mode: string }).mode === 'IMPORT') throw unreachable()
      }
    })
    registry.modes.set('a', 'READWRITE')
    const scope = new ImportScope({ target: client, scope: 'a', owner: 'test' })
    await expect(scope.enter({ force: false })).rejects.toMatchObject({ code: 'TWINLOG_UNREACHABLE' })
    await scope.leave()
    expect(registry.modes.get('a')).toBe('READWRITE')
    expect(registry.notes).toEqual([])
  })

  it('that somebody else gave another mode meanwhile keeps that', async () => {
    const registry = new MemoryRegistry()
    const scope = new ImportScope({ target: registry.client(), scope: ':.eu:', owner: 'test' })
    await scope.enter({ force: false })
    registry.modes.set(':.eu:', 'READONLY')
    await scope.leave({ careful: true })
    expect(registry.modes.get(':.eu:')).toBe('READONLY')
    expect(registry.notes).toEqual([])
  })

  it('that goes back to IMPORT by itself is an error, and its note stays', async () => {
    const registry = new MemoryRegistry()
    const client = registry.client({
      after: ({ method, subject }) => {
        if (method === 'deleteMode' && subject === ':.eu:') registry.modes.set(':.eu:', 'IMPORT')
      }
    })
    const scope = new ImportScope({ target: client, scope: ':.eu:', owner: 'test' })
    await scope.enter({ force: false })
    await expect(scope.leave({ careful: true })).rejects.toMatchObject({
      code: 'TWINLOG_SCHEMA_REGISTRY',
      retriable: true
    })
    expect(registry.notes).toHaveLength(1)
  })
})
