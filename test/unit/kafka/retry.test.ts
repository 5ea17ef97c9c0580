import { describe, expect, it } from 'vitest'
import { TwinlogError } from '../../../src/errors.js'
import { Coordinators } from '../../../src/kafka/coordinators.js'
import { retry } from '../../../src/util/retry.js'

const failing = (retriable: boolean) => new TwinlogError('TWINLOG_UNREACHABLE', 'no', { retriable })

describe('retry', () => {
  it('tries again after retriable errors only, and no more often than asked', async () => {
    let calls = 0
    const call = (error: Error) =>
      retry(
        async () => {
          calls++
          throw error
        },
        { retries: 2, minTimeoutMs: 1, maxTimeoutMs: 2 }
      )
    await expect(call(failing(true))).rejects.toBeInstanceOf(TwinlogError)
    expect(calls).toBe(3)
    await expect(call(failing(false))).rejects.toBeInstanceOf(TwinlogError)
    await expect(call(new Error('a bug'))).rejects.toThrow('a bug')
    expect(calls).toBe(5)
  })

  it('an abort ends the pause with TWINLOG_ABORTED', async () => {
    const signal = AbortSignal.timeout(20)
    const waiting = retry(() => Promise.reject(failing(true)), {
      retries: 5,
      minTimeoutMs: 60_000,
      maxTimeoutMs: 60_000,
      signal
    })
    await expect(waiting).rejects.toMatchObject({ code: 'TWINLOG_ABORTED' })
  })
})

describe('coordinators', () => {
  const answer = (nodeId: number, errorCode = 0) => ({ errorCode, errorMessage: null, nodeId, host: 'h', port: 1 })

  it('are looked up once, also by many at the same time, until forgotten', async () => {
    let calls = 0
    const coordinators = new Coordinators('east', 1000, () => Promise.resolve(answer(++calls)))
    const route = { group: 'g' }
    expect(await Promise.all([coordinators.find(route), coordinators.find(route)])).toEqual([1, 1])
    expect(await coordinators.find({ transactionalId: 'g' })).toBe(2)
    coordinators.forget(route)
    expect(await coordinators.find(route)).toBe(3)
  })

  it('"not yet" is waited for, a refusal is not, and a failure is not remembered', async () => {
    const codes = [15, 15, 0]
    const patient = new Coordinators('east', 1000, () => Promise.resolve(answer(4, codes.shift() ?? 0)))
    expect(await patient.find({ group: 'g' })).toBe(4)
    let code = 30
    const refused = new Coordinators('east', 1000, () => Promise.resolve(answer(5, code)))
    await expect(refused.find({ group: 'g' })).rejects.toMatchObject({ code: 'TWINLOG_UNAUTHORIZED', kafkaCode: 30 })
    code = 0
    expect(await refused.find({ group: 'g' })).toBe(5)
  })
})
