import { describe, expect, it } from 'vitest'
import { type IdEntry, IdMap } from '../../../src/schemas/id-map.js'

function keeper() {
  const told: IdEntry[] = []
  const waiting: { resolve: () => void; reject: (error: Error) => void }[] = []
  const keep = (entry: IdEntry) => {
    told.push(entry)
    return new Promise<void>((resolve, reject) => waiting.push({ resolve, reject }))
  }
  return { told, waiting, keep }
}

const turn = () => new Promise(resolve => setImmediate(resolve))

describe('the map of schema ids', () => {
  it('answers at once what was learned, and what was found when nobody keeps it', () => {
    const map = new IdMap()
    map.learn([{ sourceId: 1, targetId: 10 }])
    map.add(2, 20)
    expect([1, 2, 3].map(id => map.targetIdOf(id))).toEqual([10, 20, undefined])
  })

  it('answers a new translation only when all have kept it', async () => {
    const map = new IdMap()
    const [a, b] = [keeper(), keeper()]
    map.onTranslated(a.keep)
    map.onTranslated(b.keep)
    map.add(2, 20)
    map.add(2, 20)
    expect(a.told).toEqual([{ sourceId: 2, targetId: 20 }])
    a.waiting[0]?.resolve()
    await turn()
    expect(map.targetIdOf(2)).toBeUndefined()
    b.waiting[0]?.resolve()
    expect(await map.kept(2)).toBe(20)
    expect(map.targetIdOf(2)).toBe(20)
    expect(b.told).toHaveLength(1)
  })

  it('asks only those again who refused, and says why a translation is held back', async () => {
    const map = new IdMap()
    const [a, b] = [keeper(), keeper()]
    map.onTranslated(a.keep)
    map.onTranslated(b.keep)
    map.add(2, 20)
    a.waiting[0]?.resolve()
    b.waiting[0]?.reject(new Error('broker gone'))
    await turn()
    expect(map.targetIdOf(2)).toBeUndefined()
    const kept = map.kept(2)
    await turn()
    b.waiting[1]?.reject(new Error('broker gone'))
    await expect(kept).rejects.toMatchObject({
      retriable: true,
      schemaId: 2,
      message: expect.stringContaining('broker gone')
    })
    map.retry()
    b.waiting[2]?.resolve()
    await turn()
    expect(map.targetIdOf(2)).toBe(20)
    expect(a.told).toHaveLength(1)
  })

  it('tells a new keeper what was found before it came, but not what was learned', async () => {
    const map = new IdMap()
    map.learn([{ sourceId: 1, targetId: 10 }])
    map.add(2, 20)
    const a = keeper()
    map.onTranslated(a.keep)
    expect(a.told).toEqual([{ sourceId: 2, targetId: 20 }])
    expect([1, 2].map(id => map.targetIdOf(id))).toEqual([10, undefined])
    a.waiting[0]?.resolve()
    await turn()
    expect(map.targetIdOf(2)).toBe(20)
  })

  it('waits for a keeper that comes while another one is being asked', async () => {
    const map = new IdMap()
    const [a, b] = [keeper(), keeper()]
    map.onTranslated(a.keep)
    map.add(2, 20)
    map.onTranslated(b.keep)
    a.waiting[0]?.resolve()
    await turn()
    expect(b.told).toHaveLength(1)
    expect(map.targetIdOf(2)).toBeUndefined()
    b.waiting[0]?.resolve()
    await turn()
    expect(map.targetIdOf(2)).toBe(20)
  })

  it('does not wait for a keeper that has gone', async () => {
    const map = new IdMap()
    const [a, b] = [keeper(), keeper()]
    map.onTranslated(a.keep)
    const leave = map.onTranslated(b.keep)
    map.add(2, 20)
    a.waiting[0]?.resolve()
    b.waiting[0]?.reject(new Error('stopped'))
    await turn()
    leave()
    expect(map.targetIdOf(2)).toBe(20)
  })

  it('replaces a translation when the target gave the schema another id', async () => {
    const map = new IdMap()
    map.learn([{ sourceId: 2, targetId: 20 }])
    const a = keeper()
    map.onTranslated(a.keep)
    map.add(2, 21)
    expect(map.targetIdOf(2)).toBeUndefined()
    a.waiting[0]?.resolve()
    await turn()
    expect(map.targetIdOf(2)).toBe(21)
  })

  it('asks whoever refused again when the translation is found again', async () => {
    const map = new IdMap()
    const a = keeper()
    map.onTranslated(a.keep)
    map.add(2, 20)
    a.waiting[0]?.reject(new Error('broker gone'))
    await turn()
    map.add(2, 20)
    a.waiting[1]?.resolve()
    await turn()
    expect(map.targetIdOf(2)).toBe(20)
  })

  it('believes what the registries have now rather than what was kept once', () => {
    const map = new IdMap()
    map.add(2, 21)
    map.learn([{ sourceId: 2, targetId: 20 }])
    expect(map.targetIdOf(2)).toBe(21)
  })

  it('knows nothing of an id that nobody found', async () => {
    expect(await new IdMap().kept(4)).toBeUndefined()
  })
})
