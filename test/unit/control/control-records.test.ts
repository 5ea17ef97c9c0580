import { describe, expect, it } from 'vitest'
import { TwinlogError } from '../../../src/errors.js'
import { type ControlRecord, decodeControlRecord, encodeControlRecord } from '../../../src/control/control-records.js'

const common = { service: 'orders', epoch: 3, instance: 'a', at: '2026-01-02T03:04:05.000Z' }
const route = { kind: 'failover', from: 'east', to: 'west' } as const
const huge = 2n ** 60n + 1n

const records: ControlRecord[] = [
  { ...common, ...route, type: 'move', instances: ['a', 'b'], topics: ['t'], groups: ['g'] },
  {
    ...common,
    type: 'drained',
    part: 0,
    parts: 2,
    topics: ['t'],
    groups: ['g'],
    positions: [{ groupId: 'g', topic: 't', partition: 4, offset: huge }],
    ledger: {
      acknowledged: [{ topic: 't', partition: 0, from: huge, to: huge + 5n }],
      inDoubt: [
        { topic: 't', count: 2, keys: ['k1', 'k2'] },
        { topic: 't', partition: 1, count: 1, keys: [] }
      ]
    }
  },
  {
    ...common,
    type: 'fenced',
    lanes: [{ topic: 't', partition: 0, targetTopic: 't', targetPartition: 0, targetEnd: 7n, reached: huge }]
  },
  { ...common, ...route, type: 'join' },
  { ...common, ...route, type: 'moved' },
  { ...common, type: 'abort', reason: 'because' }
]

const entry = (record: object | string, key = 'orders') => ({
  key: Buffer.from(key),
  value: Buffer.from(typeof record === 'string' ? record : JSON.stringify(record)),
  offset: 42n
})

function failure(run: () => unknown): TwinlogError {
  try {
    run()
  } catch (error) {
    if (error instanceof TwinlogError) return error
    throw error
  }
  throw new Error('nothing was thrown')
}

describe('control records', () => {
  it.each(records)('survive the wire with offsets beyond 2^53: $type', record => {
    expect(decodeControlRecord({ ...encodeControlRecord(record), offset: 0n }, 'orders')).toEqual(record)
  })

  it('of other services are passed over, even when they could not be read', () => {
    expect(decodeControlRecord(entry({ v: 99 }, 'billing'), 'orders')).toBeUndefined()
    expect(decodeControlRecord({ key: null, value: null, offset: 0n }, 'orders')).toBeUndefined()
  })

  it('of an unknown version are an error that names place, version and remedy', () => {
    const error = failure(() => decodeControlRecord(entry({ v: 2, type: 'move' }), 'orders'))
    expect(error.code).toBe('TWINLOG_STATE_INVALID')
    expect(error.message).toMatch(/offset 42.*format version 2.*reads version 1.*upgrade/)
    expect(error.offset).toBe(42n)
  })

  it.each([
    ['not JSON', '{'],
    ['no object', 'null'],
    ['an unknown type', { v: 1, ...common, type: 'dance' }],
    ['a missing field', { v: 1, ...common, type: 'abort' }],
    ['a negative epoch', { v: 1, ...common, epoch: -1, type: 'abort', reason: '' }],
    [
      'an offset that is a number',
      {
        v: 1,
        ...common,
        type: 'fenced',
        lanes: [{ topic: 't', partition: 0, targetTopic: 't', targetPartition: 0, targetEnd: 7, reached: '1' }]
      }
    ],
    ['an unknown kind', { v: 1, ...common, type: 'join', kind: 'sideways', from: 'a', to: 'b' }],
    ['another service inside than outside', { v: 1, ...common, service: 'billing', type: 'abort', reason: '' }]
  ])('with %s are refused', (_name, body) => {
    expect(failure(() => decodeControlRecord(entry(body), 'orders')).code).toBe('TWINLOG_STATE_INVALID')
  })
})
