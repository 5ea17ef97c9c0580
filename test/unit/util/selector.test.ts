import { describe, expect, it } from 'vitest'
import { exactNames, isExact, isInternalTopic, matches } from '../../../src/util/selector.js'

describe('a topic selector', () => {
  it.each([
    ['a name', 'orders', 'orders', true],
    ['a name is no pattern', 'order.', 'orders', false],
    ['a RegExp matches the whole name', /order/, 'orders', false],
    ['a RegExp with alternatives matches the whole name', /orders|payments/, 'orders-2', false],
    ['flags count', /ORDERS/i, 'orders', true],
    ['one of several', ['a', /b.*/], 'bills', true],
    ['excluded', { include: /.*/, exclude: 'orders' }, 'orders', false],
    ['excluded though named', { include: 'orders', exclude: /ord.*/ }, 'orders', false],
    ['internal topics are not matched by patterns', /.*/, '__consumer_offsets', false],
    ['internal topics are matched by name', ['__consumer_offsets'], '__consumer_offsets', true],
    ['twinlog state is internal', /.*/, 'twinlog.east-west.internal', false],
    ['MirrorMaker 2 state is internal', /.*/, 'mm2-offsets.east.internal', false]
  ] as const)('%s', (_case, selector, topic, expected) => {
    expect(matches(selector as never, topic)).toBe(expected)
  })

  it('answers the same each time, whatever state a global RegExp carries', () => {
    const pattern = /orders/gy
    expect([1, 2, 3].map(() => matches(pattern, 'orders'))).toEqual([true, true, true])
  })

  it('knows when a list of names is enough', () => {
    expect(isExact(['a', 'b'])).toBe(true)
    expect(isExact({ include: ['a', /b/] })).toBe(false)
    expect(exactNames(['a', /b/, 'c'])).toEqual(['a', 'c'])
    expect(isInternalTopic('orders')).toBe(false)
  })
})
