import { describe, expect, it } from 'vitest'
import type { SchemaIdEntry } from '../../../../src/lineage/state-values.js'
import { IdMap } from '../../../../src/mirror/schemas/id-map.js'
import { FakeGate } from './fake-gate.js'

/** A state topic whose appends are let through one by one. */
class FakeState {
  readonly schemaIds = new Map<number, number>()
  readonly appends: SchemaIdEntry[][] = []
  /** What another process has written meanwhile. */
  elsewhere: [number, number][] = []
  readonly #waiting: { resolve: () => void; reject: (error: Error) => void; entries: readonly SchemaIdEntry[] }[] = []

  async refreshSchemaIds(): Promise<void> {
    for (const [sourceId, targetId] of this.elsewhere.splice(0)) this.schemaIds.set(sourceId, targetId)
  }

  writeSchemaIds(entries: readonly SchemaIdEntry[]): Promise<void> {
    this.appends.push([...entries])
    return new Promise((resolve, reject) => void this.#waiting.push({ resolve, reject, entries }))
  }

  async answer(error?: Error): Promise<void> {
    await turns()
    const next = this.#waiting.shift()
    if (!next) throw new Error('nothing is being written')
    if (error) next.reject(error)
    else {
      for (const { sourceId, targetId } of next.entries) this.schemaIds.set(sourceId, targetId)
      next.resolve()
    }
    await turns()
  }
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve()
}

function mapOf(known: [number, number][] = []) {
  const gate = new FakeGate('translate')
  const state = new FakeState()
  for (const [source, target] of known) state.schemaIds.set(source, target)
  const changed: object[] = []
  const map = new IdMap({ gate, state, changed: entry => void changed.push(entry) })
  return { gate, state, map, changed }
}

describe('the map of schema ids', () => {
  it('is told to the gate, which tells what comes to it, until the end', () => {
    const { gate, map } = mapOf([[7, 12]])
    expect(gate.learnt).toEqual([{ sourceId: 7, targetId: 12 }])
    expect([gate.targetIdOf(7), gate.listeners]).toEqual([12, 1])
    map.end()
    expect(gate.listeners).toBe(0)
  })

  it('has an entry written before it is used', async () => {
    const { gate, state } = mapOf()
    const arrived = gate.arrive(7, 12)
    await turns()
    expect([gate.targetIdOf(7), state.appends]).toEqual([undefined, [[{ sourceId: 7, targetId: 12 }]]])
    await state.answer()
    await arrived
    expect(gate.targetIdOf(7)).toBe(12)
  })

  it('writes what comes together in few appends, and what it has not at all', async () => {
    const { state, map } = mapOf([[1, 1]])
    const entries = Array.from({ length: 100 }, (_unused, index) => ({ sourceId: index + 1, targetId: index + 1 }))
    const kept = Promise.all(entries.map(entry => map.keep(entry)))
    await state.answer()
    await state.answer()
    await kept
    expect(state.appends.map(({ length }) => length)).toEqual([1, 98])
  })

  it('keeps an entry back that could not be written, and only that', async () => {
    const { state, map } = mapOf()
    const first = map.keep({ sourceId: 1, targetId: 2 })
    const second = map.keep({ sourceId: 3, targetId: 4 })
    first.catch(() => undefined)
    await state.answer(new Error('no'))
    await state.answer()
    await expect(first).rejects.toThrow('no')
    await second
    const again = map.keep({ sourceId: 1, targetId: 2 })
    await state.answer()
    await again
    expect([...state.schemaIds]).toEqual([
      [3, 4],
      [1, 2]
    ])
  })

  it('looks first what other processes of the link have written', async () => {
    const { state, map, changed } = mapOf()
    state.elsewhere = [
      [1, 2],
      [3, 9]
    ]
    const same = map.keep({ sourceId: 1, targetId: 2 })
    const other = map.keep({ sourceId: 3, targetId: 4 })
    await same
    await state.answer()
    await other
    expect(state.appends).toEqual([[{ sourceId: 3, targetId: 4 }]])
    expect(changed).toEqual([{ sourceId: 3, targetId: 4, before: 9 }])
  })

  it('says when the target registry gives a schema another id than it had: the new one counts', async () => {
    const { state, map, changed } = mapOf([[7, 12]])
    const kept = map.keep({ sourceId: 7, targetId: 15 })
    await state.answer()
    await kept
    expect(changed).toEqual([{ sourceId: 7, targetId: 15, before: 12 }])
    expect(state.schemaIds.get(7)).toBe(15)
  })
})
