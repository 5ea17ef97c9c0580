import { describe, expect, it } from 'vitest'
import { RouteTable } from '../../../../src/mirror/transform/routes.js'

const counts = new Map([
  ['orders', 6],
  ['small', 2],
  ['wide', 12]
])

const table = new RouteTable({
  source: { topic: 'orders', partition: 5 },
  fallback: { topic: 'orders', partition: 5 },
  partitionsOf: topic => counts.get(topic)
})

describe('RouteTable', () => {
  it.each([
    [{}, 'orders', 5],
    [{ partition: 1 }, 'orders', 1],
    [{ topic: 'wide' }, 'wide', 5],
    [{ topic: 'small' }, 'small', 1],
    [{ topic: 'wide', partition: 11 }, 'wide', 11],
    [{ topic: 'small', partition: 0 }, 'small', 0]
  ])('sends %j to %s-%i', (output, topic, partition) => {
    expect(table.resolve(output)).toEqual({ topic, partition })
  })

  it('asks for topics it does not know, and for nothing else', () => {
    expect(table.resolve({ topic: 'new' })).toBeUndefined()
    expect(table.resolve({ topic: 'new', partition: 3 })).toBeUndefined()
    const blind = new RouteTable({
      source: { topic: 'orders', partition: 5 },
      fallback: { topic: 'orders', partition: 5 },
      partitionsOf: () => undefined
    })
    expect(blind.resolve({})).toEqual({ topic: 'orders', partition: 5 })
    expect(blind.topicOf({ partition: 1 })).toBe('orders')
    expect(blind.topicOf({ topic: 'new' })).toBe('new')
  })

  it('refuses partitions that do not exist', () => {
    for (const output of [{ partition: 6 }, { topic: 'small', partition: 2 }]) {
      expect(() => table.resolve(output)).toThrow(expect.objectContaining({ code: 'TWINLOG_RECORD_REJECTED' }))
    }
  })
})
