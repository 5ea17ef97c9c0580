import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { inOrder } from '../../../src/schemas/in-order.js'

interface Item {
  name: string
  after: string[]
  fails: boolean
}

const items = fc
  .array(
    fc.record({
      name: fc.integer({ min: 0, max: 11 }),
      after: fc.array(fc.integer({ min: 0, max: 13 }), { maxLength: 4 }),
      fails: fc.boolean()
    }),
    {
      maxLength: 14
    }
  )
  .map(list =>
    list.map(
      ({ name, after, fails }): Item => ({
        name: `s${name}`,
        after: after.map(other => `s${other}`),
        fails: fails && name % 3 === 0
      })
    )
  )

describe('items that come after others', () => {
  it('are run after what they need, once, never two of one name, never more than allowed, or are blocked', async () => {
    await fc.assert(
      fc.asyncProperty(items, fc.integer({ min: 1, max: 5 }), fc.scheduler(), async (list, concurrency, scheduler) => {
        const running: Item[] = []
        const ended = new Map<Item, boolean>()
        const blocked = new Map<Item, string | undefined>()
        let most = 0
        const done = inOrder(list, {
          concurrency,
          run: async item => {
            expect(running.map(other => other.name)).not.toContain(item.name)
            for (const need of list.filter(other => item.after.includes(other.name) && other.name !== item.name))
              expect(ended.get(need)).toBe(true)
            running.push(item)
            most = Math.max(most, running.length)
            await scheduler.schedule(Promise.resolve())
            running.splice(running.indexOf(item), 1)
            ended.set(item, !item.fails)
            return !item.fails
          },
          blocked: (item, by) => {
            expect(blocked.has(item)).toBe(false)
            blocked.set(item, by)
          }
        })
        await scheduler.waitFor(done)
        expect(most).toBeLessThanOrEqual(concurrency)
        expect(ended.size + blocked.size).toBe(list.length)
        for (const item of list) expect(ended.has(item)).not.toBe(blocked.has(item))
        for (const [item, by] of blocked) {
          if (by === undefined) continue
          const named = list.filter(other => other.name === by)
          expect(
            named.some(other => ended.get(other) === false || blocked.has(other)),
            `${item.name} blocked by ${by}`
          ).toBe(true)
        }
      }),
      { numRuns: 300 }
    )
  })

  it('run at once what only waits for something that is done, without waiting for a slow neighbour', async () => {
    const order: string[] = []
    let free = () => {}
    const slow = new Promise<void>(resolve => (free = resolve))
    const done = inOrder(
      [
        { name: 'slow', after: [] },
        { name: 'base', after: [] },
        { name: 'user', after: ['base'] },
        { name: 'last', after: ['slow', 'user'] }
      ],
      {
        concurrency: 2,
        run: async ({ name }) => {
          if (name === 'slow') await slow
          order.push(name)
          if (name === 'user') free()
          return true
        },
        blocked: () => expect.unreachable()
      }
    )
    await done
    expect(order).toEqual(['base', 'user', 'slow', 'last'])
  })

  it('use the whole width for thousands of items', async () => {
    let running = 0
    let sum = 0
    const list = Array.from({ length: 2_000 }, (_, index) => ({
      name: `s${index}`,
      after: index % 10 === 0 ? [] : [`s${index - (index % 10)}`]
    }))
    await inOrder(list, {
      concurrency: 8,
      run: async () => {
        running++
        await new Promise(resolve => setImmediate(resolve))
        sum += running
        running--
        return true
      },
      blocked: () => expect.unreachable()
    })
    expect(sum / 2_000).toBeGreaterThan(5)
  })

  it('begin nothing more after an error, and throw it when the rest has ended', async () => {
    const begun: string[] = []
    let other = false
    const list = ['a', 'b', 'c', 'd'].map(name => ({ name, after: [] }))
    const run = async ({ name }: { name: string }) => {
      begun.push(name)
      if (name === 'a') throw new Error('unreachable')
      await new Promise(resolve => setTimeout(resolve, 5))
      other = true
      return true
    }
    await expect(inOrder(list, { concurrency: 2, run, blocked: () => {} })).rejects.toThrow('unreachable')
    expect(begun).toEqual(['a', 'b'])
    expect(other).toBe(true)
  })

  it('begin nothing more when the signal aborts', async () => {
    const controller = new AbortController()
    const begun: string[] = []
    const list = ['a', 'b', 'c'].map(name => ({ name, after: [] }))
    const run = async ({ name }: { name: string }) => {
      begun.push(name)
      controller.abort()
      return true
    }
    await inOrder(list, { concurrency: 1, run, blocked: () => expect.unreachable(), signal: controller.signal })
    expect(begun).toEqual(['a'])
  })
})
