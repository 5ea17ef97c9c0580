import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { listAll, listRaw, type Page, pagingMemory } from '../../../src/schemas/client/paging.js'

/** A server with a sorted list. `cut`: its own maximum, `honours`: which parameters it knows. */
class Lister {
  asked = 0
  constructor(
    public list: number[],
    readonly o: { cut?: number; offset?: boolean; limit?: boolean } = {},
    readonly between: (asked: number) => void = () => {}
  ) {}

  ask = async (page?: Page): Promise<number[]> => {
    if (this.asked > 0) this.between(this.asked)
    this.asked++
    const { cut = Infinity, offset = true, limit = true } = this.o
    const from = offset ? (page?.offset ?? 0) : 0
    const most = limit ? Math.min(page?.limit ?? Infinity, cut) : cut
    return this.list.slice(from, from + most)
  }
}

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i * 10)
const all = (server: Lister, limit: number, memory = pagingMemory()) => listAll(server.ask, String, limit, memory)

describe('listAll', () => {
  it('asks once for a short list', async () => {
    const server = new Lister(numbers(99))
    expect(await all(server, 1_000)).toEqual(numbers(99))
    expect(server.asked).toBe(1)
  })

  it('asks once for an empty list', async () => {
    const server = new Lister([])
    expect(await all(server, 1_000)).toEqual([])
    expect(server.asked).toBe(1)
  })

  it('takes a page that is shorter than an earlier one for the end, without asking further', async () => {
    const server = new Lister(numbers(2_300))
    expect(await all(server, 1_000)).toEqual(numbers(2_300))
    // 0 to 999, 999 to 1998, 1998 to 2299
    expect(server.asked).toBe(3)
  })

  it('finds the end of a list that fills its last page', async () => {
    expect(await all(new Lister(numbers(1_000)), 1_000)).toEqual(numbers(1_000))
    expect(await all(new Lister(numbers(1_999)), 1_000)).toEqual(numbers(1_999))
  })

  it('gets the whole list from a server that cuts shorter than asked for', async () => {
    const server = new Lister(numbers(1_234), { cut: 500 })
    expect(await all(server, 10_000)).toEqual(numbers(1_234))
  })

  it('gets the whole list from a server that ignores both parameters', async () => {
    for (const count of [99, 100, 500, 1_000, 1_001]) {
      const server = new Lister(numbers(count), { offset: false, limit: false })
      expect(await all(server, 1_000)).toEqual(numbers(count))
    }
  })

  it('asks once where more comes back than was asked for', async () => {
    const server = new Lister(numbers(1_001), { offset: false, limit: false })
    expect(await all(server, 1_000)).toEqual(numbers(1_001))
    expect(server.asked).toBe(1)
  })

  it('does not ask a server again that was seen to ignore the offset', async () => {
    const server = new Lister(numbers(500), { offset: false, limit: false })
    const memory = pagingMemory()
    await all(server, 1_000, memory)
    const before = server.asked
    await all(server, 1_000, memory)
    expect(server.asked - before).toBe(1)
  })

  it('asks without parameters where the limit is honoured but not the offset', async () => {
    const server = new Lister(numbers(2_500), { offset: false })
    expect(await all(server, 1_000)).toEqual(numbers(2_500))
  })

  it('hands on that there is no such list', async () => {
    expect(await listAll(async () => undefined, String, 10, pagingMemory())).toBeUndefined()
  })

  it('misses nothing when an entry of an earlier page is deleted between two requests', async () => {
    const server = new Lister(numbers(250), {}, asked => {
      if (asked === 1) server.list = server.list.filter(n => n !== 30 && n !== 40)
    })
    const found = new Set(await all(server, 100))
    for (const n of server.list) expect(found).toContain(n)
  })

  it('gives up, retriable, on a list that never holds still', async () => {
    let next = 0
    const ask = async () => Array.from({ length: 10 }, () => next++)
    await expect(listAll(ask, String, 10, pagingMemory())).rejects.toMatchObject({
      code: 'TWINLOG_SCHEMA_REGISTRY',
      retriable: true
    })
  })

  it('finds every entry that is there all the time, whatever comes and goes between pages', async () => {
    const change = fc.record({ remove: fc.array(fc.nat(60)), add: fc.array(fc.nat(900)) })
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 60 }),
        fc.integer({ min: 2, max: 30 }),
        fc.array(change, { maxLength: 4 }),
        async (count, limit, changes) => {
          const always = new Set(numbers(count))
          const server = new Lister(numbers(count), {}, asked => {
            const { remove = [], add = [] } = changes[asked - 1] ?? {}
            for (const index of remove) always.delete(index * 10)
            const gone = new Set(remove.map(index => index * 10))
            const left = server.list.filter(n => !gone.has(n))
            server.list = [...new Set([...left, ...add])].sort((a, b) => a - b)
          })
          const found = new Set(await all(server, limit))
          for (const n of always) expect(found).toContain(n)
        }
      ),
      { numRuns: 300 }
    )
  })
})

describe('listRaw', () => {
  const raw = (server: Lister, limit: number) => listRaw(server.ask, limit, pagingMemory())

  it('keeps entries that are alike', async () => {
    const server = new Lister(Array.from({ length: 150 }, () => 7))
    expect(await raw(server, 100)).toHaveLength(150)
  })

  it('gets the whole list whatever the server makes of the parameters', async () => {
    for (const o of [{}, { offset: false, limit: false }, { offset: false }, { cut: 120 }]) {
      for (const count of [0, 5, 120, 200, 201, 500]) {
        expect(await raw(new Lister(numbers(count), o), 200)).toEqual(numbers(count))
      }
    }
  })
})
