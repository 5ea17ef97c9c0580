import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { TwinlogError } from '../../../src/errors.js'
import { PollLoop } from '../../../src/schemas/poll-loop.js'
import { RunQueue } from '../../../src/schemas/run-queue.js'

describe('the queue of runs', () => {
  it('does one piece of work at a time, in order, also when one fails', async () => {
    const queue = new RunQueue()
    const seen: string[] = []
    const work = (name: string, fails = false) =>
      queue.run(async () => {
        seen.push(`${name} begins`)
        await sleep(5)
        seen.push(`${name} ends`)
        if (fails) throw new Error(name)
        return name
      }, undefined)
    const [a, b, c] = await Promise.allSettled([work('a'), work('b', true), work('c')])
    expect([a.status, b.status, c.status]).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(seen).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends'])
  })

  it('lets a caller give up while it waits, and never begins its work', async () => {
    const queue = new RunQueue()
    const first = queue.run(() => sleep(20, 'first'), undefined)
    const controller = new AbortController()
    let began = false
    const second = queue.run(async () => (began = true), controller.signal)
    controller.abort()
    await expect(second).rejects.toMatchObject({ code: 'TWINLOG_ABORTED' })
    expect(await first).toBe('first')
    await queue.run(async () => undefined, undefined)
    expect(began).toBe(false)
    await expect(queue.run(async () => 1, AbortSignal.abort())).rejects.toMatchObject({ code: 'TWINLOG_ABORTED' })
  })

  it('waits with stop() for the work that it ends', async () => {
    const queue = new RunQueue()
    let tidied = false
    const run = queue.run(async signal => {
      await new Promise(resolve => signal.addEventListener('abort', resolve))
      await sleep(10)
      tidied = true
      throw signal.reason
    }, undefined)
    const waiting = queue.run(async () => 'never', undefined)
    const results = Promise.allSettled([run, waiting])
    await sleep(1)
    await queue.stop()
    expect(tidied).toBe(true)
    expect((await results).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    expect(await queue.run(async () => 'again', undefined)).toBe('again')
  })
})

describe('the loop', () => {
  const retriable = new TwinlogError('TWINLOG_UNREACHABLE', 'away', { retriable: true })

  it('resolves after the first time, goes on through failures that pass, and ends with stop()', async () => {
    let runs = 0
    const failures: string[] = []
    const loop = new PollLoop({
      intervalMs: 1,
      work: async () => {
        if (++runs === 2) throw retriable
      },
      failed: ({ code }) => failures.push(code)
    })
    await loop.start()
    expect([runs, loop.running]).toEqual([1, true])
    await expect.poll(() => runs).toBeGreaterThan(3)
    await loop.stop()
    const after = runs
    await sleep(20)
    expect([runs, loop.running, failures]).toEqual([after, false, ['TWINLOG_UNREACHABLE']])
  })

  it('starts through a failure that passes, and not at all after one that does not', async () => {
    const failures: string[] = []
    let error: Error | undefined = retriable
    const work = async () => {
      if (error) throw error
    }
    const loop = new PollLoop({ intervalMs: 1, work, failed: ({ code }) => failures.push(code) })
    await loop.start()
    expect([failures, loop.running]).toEqual([['TWINLOG_UNREACHABLE'], true])
    await loop.stop()
    error = new TwinlogError('TWINLOG_UNAUTHORIZED', 'no')
    await expect(loop.start()).rejects.toBe(error)
    expect(loop.running).toBe(false)
    error = undefined
    await loop.start()
    expect(loop.running).toBe(true)
    await loop.stop()
  })

  it('is started once, whoever asks', async () => {
    let runs = 0
    const loop = new PollLoop({ intervalMs: 10_000, work: async () => void runs++, failed: () => undefined })
    await Promise.all([loop.start(), loop.start()])
    await loop.start()
    expect(runs).toBe(1)
    await loop.stop()
    await loop.stop()
  })
})
