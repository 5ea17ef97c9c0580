import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fetchRequest } from '../../../src/kafka/requests/fetch.js'
import { Reader } from '../../../src/kafka/protocol/reader.js'
import { Writer } from '../../../src/kafka/protocol/writer.js'
import { type FetchPlace, FetchSession } from '../../../src/mirror/fetch-session.js'

const idOf = (topic: string) => Buffer.from(topic.padEnd(16, '.')).toString('base64url')
const place = (topic: string, partition = 0): FetchPlace => ({ topic, topicId: idOf(topic), partition })
const question = (fetchOffset: bigint) => ({ fetchOffset, lastFetchedEpoch: 3, maxBytes: 1000 })

function asked(request: ReturnType<FetchSession['next']>): string[] {
  return request.topics.flatMap(({ topic, partitions }) =>
    partitions.map(({ partition, fetchOffset }) => `${topic}-${partition}@${fetchOffset}`)
  )
}

const forgotten = (request: ReturnType<FetchSession['next']>): string[] =>
  request.session.forgotten.flatMap(({ topic, partitions }) => partitions.map(partition => `${topic}-${partition}`))

/** A session that the broker has opened under id 7. */
function opened(...places: FetchPlace[]): FetchSession {
  const session = new FetchSession()
  for (const at of places) session.want(at, question(0n))
  session.next()
  session.answered({ errorCode: 0, sessionId: 7 })
  return session
}

describe('a fetch session', () => {
  it('asks for everything once, then only for what has changed', () => {
    const session = new FetchSession()
    for (const topic of ['a', 'b', 'c']) session.want(place(topic), question(0n))
    const full = session.next()
    expect(full.session).toMatchObject({ id: 0, epoch: 0, forgotten: [] })
    expect(asked(full).sort()).toEqual(['a-0@0', 'b-0@0', 'c-0@0'])
    expect(session.answered({ errorCode: 0, sessionId: 7 })).toBe(true)
    session.want(place('b'), question(5n))
    session.want(place('c'), question(0n))
    session.leave(place('a'))
    const next = session.next()
    expect(next.session).toMatchObject({ id: 7, epoch: 1 })
    expect(asked(next)).toEqual(['b-0@5'])
    expect(forgotten(next)).toEqual(['a-0'])
    session.answered({ errorCode: 0, sessionId: 7 })
    const idle = session.next()
    expect(idle.session.epoch).toBe(2)
    expect([...asked(idle), ...forgotten(idle)]).toEqual([])
    expect(session.size).toBe(2)
  })

  it('matches an answer with the question that was asked last, in whatever request that was', () => {
    const session = opened(place('a'), place('b'))
    session.want(place('a'), question(9n))
    // Not sent yet: an answer that is on its way is about the old one.
    expect(session.asked(idOf('a'), 0)?.fetchOffset).toBe(0n)
    session.next()
    expect(session.asked(idOf('a'), 0)?.fetchOffset).toBe(9n)
    expect(session.asked(idOf('b'), 0)?.fetchOffset).toBe(0n)
    session.leave(place('b'))
    session.answered({ errorCode: 0, sessionId: 7 })
    session.next()
    expect(session.asked(idOf('b'), 0)).toBeUndefined()
    expect(session.asked(idOf('b'), 1)).toBeUndefined()
  })

  it.each([
    [70, 0],
    [71, 7],
    [106, 7]
  ])('begins again after error %i, with the old session %i closed', (errorCode, id) => {
    const session = opened(place('a'), place('b'))
    session.next()
    expect(session.answered({ errorCode, sessionId: 0 })).toBe(false)
    const request = session.next()
    expect(request.session).toMatchObject({ id, epoch: 0 })
    expect(asked(request).sort()).toEqual(['a-0@0', 'b-0@0'])
  })

  it('begins again after a lost connection: whether the broker saw the request is not known', () => {
    const session = opened(place('a'))
    session.next()
    session.lost()
    expect(session.next().session).toMatchObject({ id: 7, epoch: 0 })
  })

  it('goes on without one where the broker has no room, first with another partition each time', () => {
    const session = new FetchSession()
    for (const topic of ['a', 'b', 'c']) session.want(place(topic), question(0n))
    const firsts = [1, 2, 3].map(() => {
      const request = session.next()
      expect(request.session).toMatchObject({ id: 0, epoch: 0 })
      expect(asked(request)).toHaveLength(3)
      expect(session.answered({ errorCode: 0, sessionId: 0 })).toBe(true)
      return asked(request)[0]
    })
    expect(new Set(firsts).size).toBe(3)
  })

  it('names higher ranks first when it names everything', () => {
    const session = new FetchSession()
    session.want(place('low'), question(0n), 1)
    session.want(place('high'), question(0n), 5)
    session.want(place('low', 1), question(0n), 1)
    for (let turn = 0; turn < 3; turn++) {
      expect(asked(session.next())[0]).toBe('high-0@0')
      session.answered({ errorCode: 0, sessionId: 0 })
    }
  })

  it('lets a partition leave and come back, so that the broker tells all about it again', () => {
    const session = opened(place('a'), place('b'))
    session.askAnew(place('a'))
    const without = session.next()
    expect([forgotten(without), asked(without), session.pending]).toEqual([['a-0'], [], true])
    session.answered({ errorCode: 0, sessionId: 7 })
    const withIt = session.next()
    expect([forgotten(withIt), asked(withIt), session.pending]).toEqual([[], ['a-0@0'], false])
  })

  it('takes a re-created topic for another one, and never names both in a request: brokers forget last', () => {
    const session = opened(place('a'), place('b'))
    const again = { ...place('a'), topicId: idOf('a-again') }
    session.leave(place('a'))
    session.want(again, question(0n))
    expect([forgotten(session.next()), session.pending]).toEqual([['a-0'], true])
    session.answered({ errorCode: 0, sessionId: 7 })
    expect(session.next().topics).toMatchObject([{ topicId: again.topicId }])
  })

  it('leaves the broker with exactly what is wanted, whatever happens', () => {
    const topics = ['a', 'b', 'c', 'd']
    const step = fc.oneof(
      fc.record({ what: fc.constant('want' as const), at: fc.constantFrom(...topics), offset: fc.nat(3) }),
      fc.record({ what: fc.constant('leave' as const), at: fc.constantFrom(...topics) }),
      fc.record({ what: fc.constant('anew' as const), at: fc.constantFrom(...topics) }),
      fc.record({ what: fc.constantFrom('send' as const, 'evict' as const, 'cut' as const, 'full' as const) })
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), steps => {
        const session = new FetchSession()
        const wanted = new Map<string, bigint>()
        // The broker's side, as simple as can be.
        let known: { id: number; epoch: number; has: Map<string, bigint> } | undefined
        let nextId = 1
        let room = true
        const exchange = (): boolean => {
          const request = session.next()
          const { id, epoch } = request.session
          const names = request.topics.map(({ topic, partitions }) => [topic, partitions[0]?.fetchOffset] as const)
          if (epoch === 0) {
            if (known?.id === id) known = undefined
            expect(new Map(names)).toEqual(wanted)
            if (room) known = { id: nextId++, epoch: 1, has: new Map(names as [string, bigint][]) }
            return session.answered({ errorCode: 0, sessionId: known?.id ?? 0 })
          }
          if (known?.id !== id) return session.answered({ errorCode: 70, sessionId: 0 })
          if (known.epoch !== epoch) return session.answered({ errorCode: 71, sessionId: 0 })
          for (const [topic, offset] of names) known.has.set(topic, offset as bigint)
          for (const { topic } of request.session.forgotten) known.has.delete(topic)
          known.epoch += 1
          if (known.has.size > 0) return session.answered({ errorCode: 0, sessionId: id })
          known = undefined
          return session.answered({ errorCode: 0, sessionId: 0 })
        }
        for (const { what, ...o } of steps) {
          const { at = 'a', offset = 0 } = o as { at?: string; offset?: number }
          if (what === 'want') {
            session.want(place(at), question(BigInt(offset)))
            wanted.set(at, BigInt(offset))
          } else if (what === 'leave') {
            session.leave(place(at))
            wanted.delete(at)
          } else if (what === 'anew') session.askAnew(place(at))
          else if (what === 'send') exchange()
          else if (what === 'evict') known = undefined
          else if (what === 'full') room = !room
          else {
            session.next()
            session.lost()
          }
          expect(session.size).toBe(wanted.size)
        }
        room = true
        for (let turn = 0; turn < 3; turn++) exchange()
        expect(known?.has ?? new Map()).toEqual(wanted)
        for (const topic of topics) expect(session.asked(idOf(topic), 0)?.fetchOffset).toBe(wanted.get(topic))
      }),
      { numRuns: 500 }
    )
  })
})

describe('a Fetch request of a session', () => {
  it('is encoded with id, epoch and forgotten partitions, by topic id', () => {
    const session = opened(place('a', 1), place('b', 2))
    session.leave(place('a', 1))
    const request = fetchRequest({
      maxWaitMs: 500,
      minBytes: 1,
      maxBytes: 100,
      isolation: 'read_committed',
      ...session.next()
    })
    expect(request.maxVersion).toBe(13)
    const writer = new Writer()
    request.encode(writer, 13)
    const reader = new Reader(writer.toBuffer())
    expect([reader.int32(), reader.int32(), reader.int32(), reader.int32(), reader.int8()]).toEqual([
      -1, 500, 1, 100, 1
    ])
    expect([reader.int32(), reader.int32(), reader.uvarint()]).toEqual([7, 1, 1])
    expect([reader.uvarint(), reader.uuid(), reader.compactInt32Array()]).toEqual([2, idOf('a'), [1]])
  })

  it('names topics of an answer that only an earlier request named', () => {
    const session = opened(place('a', 1))
    const request = fetchRequest({
      maxWaitMs: 500,
      minBytes: 1,
      maxBytes: 100,
      isolation: 'read_committed',
      ...session.next()
    })
    const writer = new Writer().int32(12).int16(0).int32(7).uvarint(2).uuid(idOf('a')).uvarint(2)
    writer.int32(1).int16(0).int64(40n).int64(39n).int64(0n).uvarint(1).int32(-1).uvarint(0).tags().tags().tags()
    const answer = request.decode(new Reader(writer.toBuffer()), 13)
    expect(answer).toMatchObject({
      sessionId: 7,
      errorCode: 0,
      throttleMs: 12,
      partitions: [{ topic: 'a', partition: 1, highWatermark: 40n, lastStableOffset: 39n }]
    })
  })
})
