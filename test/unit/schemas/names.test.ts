import { describe, expect, it } from 'vitest'
import { absoluteSubject, NameMap, qualify, scopeOf, splitSubject } from '../../../src/schemas/names.js'
import { subjectRename } from '../../../src/schemas/subject-rename.js'

describe('names of subjects', () => {
  it('are split into context and name, and put together again', () => {
    expect(splitSubject('orders-value')).toEqual({ context: '.', name: 'orders-value' })
    expect(splitSubject(':.dr:orders-value')).toEqual({ context: '.dr', name: 'orders-value' })
    expect(splitSubject(':.:orders-value')).toEqual({ context: '.', name: 'orders-value' })
    expect(splitSubject(':.dr:a:b')).toEqual({ context: '.dr', name: 'a:b' })
    expect(qualify('.', 'x')).toBe('x')
    expect(qualify('.dr', 'x')).toBe(':.dr:x')
    expect(scopeOf('.')).toBeUndefined()
    expect(scopeOf('.dr')).toBe(':.dr:')
  })

  it('in a reference are relative to the context of who refers', () => {
    expect(absoluteSubject(':.dr:orders', 'customer')).toBe(':.dr:customer')
    expect(absoluteSubject(':.dr:orders', ':.:customer')).toBe('customer')
    expect(absoluteSubject('orders', ':.dr:customer')).toBe(':.dr:customer')
  })
})

describe('a name map', () => {
  it('without contexts copies every context under its own name, but never ours', () => {
    const names = new NameMap({})
    expect(names.toTarget(':.a:x')).toBe(':.a:x')
    expect(names.selects(':.a:x')).toBe(true)
    expect(names.selects('x')).toBe(true)
    expect(names.selects(':.twinlog:import-1')).toBe(false)
    expect(names.fromTarget(':.twinlog:import-1')).toBeUndefined()
    expect(names.contextToTarget('.twinlog')).toBeUndefined()
    expect(names.narrowed).toBe(false)
  })

  it('copies one context into the other; the one that is not given is the default one', () => {
    const into = new NameMap({ targetContext: '.b' })
    expect([into.selects('x'), into.selects(':.a:x')]).toEqual([true, false])
    expect(into.toTarget('x')).toBe(':.b:x')
    const outOf = new NameMap({ sourceContext: '.a' })
    expect([outOf.selects('x'), outOf.selects(':.a:x')]).toEqual([false, true])
    expect(outOf.toTarget(':.a:x')).toBe('x')
    expect(outOf.fromTarget('x')).toBe(':.a:x')
    const both = new NameMap({ sourceContext: '.a', targetContext: '.b' })
    expect(both.toTarget(':.a:x')).toBe(':.b:x')
    expect(both.toTarget(':.other:x')).toBe(':.other:x')
    expect(both.contextToTarget('.a')).toBe('.b')
    expect(both.contextToTarget('.')).toBeUndefined()
  })

  it('selects by plain or qualified names, also such as would be internal topics', () => {
    const names = new NameMap({
      subjects: { include: ['orders-value', /:\.a:.*/, '__x.internal'], exclude: /.*-secret/ }
    })
    expect(names.selects('orders-value')).toBe(true)
    expect(names.selects(':.b:orders-value')).toBe(true)
    expect(names.selects(':.a:anything')).toBe(true)
    expect(names.selects(':.a:a-secret')).toBe(false)
    expect(names.selects('__x.internal')).toBe(true)
    expect(names.selects('orders-value2')).toBe(false)
    expect(names.narrowed).toBe(true)
  })

  it('writes references as the source wrote them, relative or qualified', () => {
    const names = new NameMap({ sourceContext: '.a', targetContext: '.b', rename: name => `east.${name}` })
    const refs = names.references(':.a:orders', [
      { name: '1', subject: 'customer', version: 1 },
      { name: '2', subject: ':.a:customer', version: 2 },
      { name: '3', subject: ':.:shared', version: 3 }
    ])
    expect(refs.map(reference => reference.subject)).toEqual(['east.customer', ':.b:east.customer', ':.:shared'])
  })

  it('tells where a subject of the target comes from only when the name says so', () => {
    const names = new NameMap({ rename: name => (name === 'orders' ? 'east.orders' : name) })
    expect(names.fromTarget('payments')).toBe('payments')
    expect(names.fromTarget('orders')).toBeUndefined()
  })

  it('refuses a rename that answers nonsense, and names it', () => {
    const names = new NameMap({ rename: () => '' })
    expect(() => names.toTarget('x')).toThrow(/schemas\.rename.*"x"/)
    const qualified = new NameMap({ rename: name => `:.b:${name}` })
    expect(() => qualified.toTarget('x')).toThrow(/without a context/)
  })
})

describe('subjectRename', () => {
  const topics = { orders: 'east.orders', 'orders-eu': 'east.orders-eu' }

  it('follows topics by the topic name strategy', () => {
    const rename = subjectRename({ topics, strategy: 'topic' })
    expect(rename('orders-value')).toBe('east.orders-value')
    expect(rename('orders-eu-key')).toBe('east.orders-eu-key')
    expect(rename('payments-value')).toBe('payments-value')
    expect(rename('com.acme.Order')).toBe('com.acme.Order')
    expect(subjectRename({ topics: topic => `x.${topic}`, strategy: 'topic' })('a-b-value')).toBe('x.a-b-value')
  })

  it('leaves subjects of the record name strategy as they are', () => {
    expect(subjectRename({ topics, strategy: 'record' })('orders-value')).toBe('orders-value')
  })

  it('follows topics by the topic record name strategy, also where one topic begins like another', () => {
    const rename = subjectRename({ topics, strategy: 'topic-record' })
    expect(rename('orders-com.acme.Order')).toBe('east.orders-com.acme.Order')
    expect(rename('orders-eu-com.acme.Order')).toBe('east.orders-eu-com.acme.Order')
    expect(rename('orders-us-com.acme.Order')).toBe('orders-us-com.acme.Order')
  })

  it.each([
    ['an unknown strategy', { topics, strategy: 'subject' }, 'subjectRename.strategy'],
    ['an unknown key', { topics, strategy: 'topic', topic: 1 }, 'subjectRename.topic'],
    ['no topics', { strategy: 'topic' }, 'subjectRename.topics'],
    ['a topic without a name', { topics: { a: '' }, strategy: 'topic' }, 'subjectRename.topics["a"]']
  ])('refuses %s', (_name, options, path) => {
    expect(() => subjectRename(options as never)).toThrow(expect.objectContaining({ path }))
  })
})
