import { describe, expect, it } from 'vitest'
import { TwinlogError } from '../../../src/errors.js'
import { HedgeError, hedge } from '../../../src/kafka/hedge.js'
import { unreachable } from '../../../src/kafka/unreachable.js'

const sleep = (ms: number) => new Promise<void>(resolve => setTimeout(resolve, ms))

describe('hedge', () => {
  it('asks one candidate only when it answers in time', async () => {
    const asked: string[] = []
    const attempt = async (name: string) => {
      asked.push(name)
      return name
    }
    await expect(hedge(['a', 'b'], attempt, { delayMs: 20 })).resolves.toBe('a')
    await sleep(40)
    expect(asked).toEqual(['a'])
  })

  it('goes on at once after a failure and after the delay when one hangs', async () => {
    const startedAt = performance.now()
    const attempt = (name: string): Promise<string> => {
      if (name === 'fails') return Promise.reject(new Error('no'))
      return name === 'hangs' ? new Promise(() => undefined) : Promise.resolve(name)
    }
    const slow: string[] = []
    const options = { delayMs: 50, onSlow: (name: string) => void slow.push(name) }
    await expect(hedge(['fails', 'hangs', 'good'], attempt, options)).resolves.toBe('good')
    expect(slow).toEqual(['hangs'])
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(45)
    expect(performance.now() - startedAt).toBeLessThan(1_000)
  })

  it('a slow answer still wins when everything else fails', async () => {
    const attempt = async (name: string) => {
      if (name !== 'slow') throw new Error('no')
      await sleep(60)
      return name
    }
    await expect(hedge(['slow', 'x', 'y'], attempt, { delayMs: 10 })).resolves.toBe('slow')
  })

  it('rejects with every failure, stops at a final one, and does not wait for nobody', async () => {
    const fail = (name: string) => Promise.reject(new Error(name))
    const all = await hedge(['a', 'b'], fail, { delayMs: 10 }).catch((error: unknown) => error)
    expect((all as HedgeError).failures.map(({ candidate }) => candidate)).toEqual(['a', 'b'])
    const stopped = await hedge(['a', 'b'], fail, { delayMs: 10, isFinal: () => true }).catch((error: unknown) => error)
    expect((stopped as HedgeError).failures).toHaveLength(1)
    await expect(hedge([], fail, { delayMs: 10 })).rejects.toBeInstanceOf(HedgeError)
  })
})

describe('unreachable', () => {
  const failed = (code: TwinlogError['code'], retriable = true) => ({
    candidate: { host: 'h', port: 1 },
    error: new TwinlogError(code, `east: broker h:1: ${code}`, { retriable })
  })

  it('a refused password explains more than dead brokers', () => {
    const error = unreachable(
      'east',
      new HedgeError([failed('TWINLOG_UNREACHABLE'), failed('TWINLOG_UNAUTHORIZED', false)])
    )
    expect(error.code).toBe('TWINLOG_UNAUTHORIZED')
  })

  it('is retriable when at least one failure is', () => {
    expect(unreachable('east', new HedgeError([failed('TWINLOG_UNREACHABLE', false)])).retriable).toBe(false)
    const both = unreachable('east', new HedgeError([failed('TWINLOG_UNREACHABLE', false), failed('TWINLOG_TIMEOUT')]))
    expect(both.retriable).toBe(true)
    expect(both.message).toContain('broker h:1: TWINLOG_UNREACHABLE; broker h:1: TWINLOG_TIMEOUT')
  })
})
