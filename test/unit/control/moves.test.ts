import { describe, expect, it } from 'vitest'
import type { AnswerRecord, ControlRecord, MoveRecord } from '../../../src/control/control-records.js'
import { givenUpMoves, mergeViews, outcomeOf, reduceMoves } from '../../../src/control/moves.js'

const at = '2026-01-02T03:04:05.000Z'
const common = (epoch: number, instance: string) => ({ service: 's', epoch, instance, at })
const move = (epoch: number, instance = 'a', over: Partial<MoveRecord> = {}): MoveRecord => ({
  ...common(epoch, instance),
  type: 'move',
  kind: 'switchover',
  from: 'east',
  to: 'west',
  instances: ['a', 'b'],
  topics: [],
  groups: [],
  ...over
})
const join = (epoch: number, instance = 'a'): ControlRecord => ({
  ...common(epoch, instance),
  type: 'join',
  kind: 'switchover',
  from: 'east',
  to: 'west'
})
const moved = (epoch: number, from: string, to: string): ControlRecord => ({
  ...common(epoch, 'a'),
  type: 'moved',
  kind: 'switchover',
  from,
  to
})
const abort = (epoch: number, instance = 'b'): ControlRecord => ({
  ...common(epoch, instance),
  type: 'abort',
  reason: 'lease'
})
const answer = (epoch: number, instance: string, part = 0, parts = 1): AnswerRecord => ({
  ...common(epoch, instance),
  type: 'stopped',
  part,
  parts,
  topics: ['t'],
  groups: ['g'],
  positions: [{ groupId: 'g', topic: 't', partition: part, offset: 1n }],
  ledger: { acknowledged: [], inDoubt: [] }
})
const views = (clusters: Record<string, ControlRecord[]>) =>
  new Map(Object.entries(clusters).map(([alias, records]) => [alias, reduceMoves(records)]))

describe('reduceMoves', () => {
  it('gives an epoch to the first move and ignores the second', () => {
    const view = reduceMoves([move(1, 'a'), move(1, 'b')])
    expect(view.moves.get(1)?.record.instance).toBe('a')
  })

  it('ignores a move whose epoch lies below one that was seen', () => {
    expect([...reduceMoves([move(5), move(4)]).moves.keys()]).toEqual([5])
  })

  it('lets the first of join and abort decide, in both orders', () => {
    expect(reduceMoves([move(1), join(1), abort(1)]).moves.get(1)?.outcome).toBe('joined')
    const aborted = reduceMoves([move(1), abort(1), join(1)])
    expect(aborted.moves.get(1)).toMatchObject({ outcome: 'aborted', reason: 'lease' })
    expect(aborted.settled).toBeUndefined()
  })

  it('lets nobody join a move that somebody else opened', () => {
    expect(reduceMoves([move(1, 'a'), join(1, 'b')]).moves.get(1)?.outcome).toBe('open')
  })

  it('lets a later move supersede an open one: its late join counts no more', () => {
    const view = reduceMoves([move(1, 'a'), move(2, 'b', { kind: 'failover' }), join(1, 'a')])
    expect(view.moves.get(1)?.outcome).toBe('superseded')
    expect(view.moves.get(2)?.outcome).toBe('open')
    expect(view.settled).toBeUndefined()
  })

  it('counts an instance as answered when all parts are in, and a part written twice once', () => {
    const halves = reduceMoves([move(1), answer(1, 'a', 0, 2), answer(1, 'a', 0, 2)])
    expect(halves.moves.get(1)?.answers.size).toBe(0)
    const view = reduceMoves([move(1), answer(1, 'a', 0, 2), answer(1, 'b'), answer(1, 'a', 1, 2)])
    expect([...(view.moves.get(1)?.answers.keys() ?? [])]).toEqual(['b', 'a'])
    expect(view.moves.get(1)?.answers.get('a')?.positions).toHaveLength(2)
    expect(view.moves.get(1)?.answers.get('a')?.topics).toEqual(['t'])
  })

  it('keeps what an instance said before it was started again, and the larger of two positions', () => {
    const first: AnswerRecord = {
      ...answer(1, 'a'),
      positions: [
        { groupId: 'g', topic: 't', partition: 0, offset: 7n },
        { groupId: 'g', topic: 't', partition: 1, offset: 3n }
      ],
      ledger: {
        acknowledged: [{ topic: 't', partition: 0, from: 5n, to: 9n }],
        inDoubt: [{ topic: 't', partition: 0, count: 2, keys: ['k'] }]
      }
    }
    const second: AnswerRecord = {
      ...answer(1, 'a'),
      at: '2026-01-02T03:05:00.000Z',
      topics: ['u'],
      groups: [],
      positions: [{ groupId: 'g', topic: 't', partition: 1, offset: 4n }]
    }
    const known = reduceMoves([move(1), first, second, first])
      .moves.get(1)
      ?.answers.get('a')
    expect(known).toEqual({
      instance: 'a',
      topics: ['t', 'u'],
      groups: ['g'],
      positions: [
        { groupId: 'g', topic: 't', partition: 0, offset: 7n },
        { groupId: 'g', topic: 't', partition: 1, offset: 4n }
      ],
      ledger: first.ledger
    })
  })

  it('counts an instance that died within its answer as answered when its successor has said everything', () => {
    const successor = { ...answer(1, 'a'), at: '2026-01-02T03:05:00.000Z', topics: ['u'] }
    const view = reduceMoves([move(1), answer(1, 'a', 0, 2), successor])
    expect(view.moves.get(1)?.answers.get('a')?.topics).toEqual(['t', 'u'])
  })

  it('keeps the newest entry of a lane that was closed twice', () => {
    const lane = { topic: 't', partition: 0, targetTopic: 't', targetPartition: 0, targetEnd: 1n, reached: 1n }
    const fenced = (reached: bigint): ControlRecord => ({
      ...common(1, 'a'),
      type: 'fenced',
      lanes: [{ ...lane, reached }]
    })
    expect(
      reduceMoves([move(1), fenced(1n), fenced(2n)])
        .moves.get(1)
        ?.lanes.map(l => l.reached)
    ).toEqual([2n])
  })
})

describe('mergeViews', () => {
  it('takes the newest join of any cluster as the place where the service works', () => {
    const merged = mergeViews(
      views({
        west: [move(1), join(1)],
        east: [moved(1, 'east', 'west'), move(2, 'b', { from: 'west', to: 'east' }), join(2, 'b')]
      })
    )
    expect(merged.settled).toMatchObject({ epoch: 2, to: 'east' })
    expect(merged.highestEpoch).toBe(2)
    expect(merged.open).toBeUndefined()
  })

  it('knows from the notice alone that the service has moved when the new cluster is out of reach', () => {
    expect(mergeViews(views({ east: [moved(4, 'east', 'west')] })).settled).toMatchObject({ epoch: 4, to: 'west' })
  })

  it('counts a move only on the cluster that it leads to', () => {
    expect(mergeViews(views({ east: [move(1)] })).open).toBeUndefined()
    expect(mergeViews(views({ west: [move(1)] })).open?.record.epoch).toBe(1)
  })

  it('takes an open move for over when a later one was joined elsewhere', () => {
    const merged = mergeViews(views({ west: [move(1)], north: [move(2, 'b', { to: 'north' }), join(2, 'b')] }))
    expect(merged.open).toBeUndefined()
    expect(
      outcomeOf(views({ west: [move(1)], north: [move(2, 'b', { to: 'north' }), join(2, 'b')] }), 1, 'west').outcome
    ).toBe('superseded')
  })

  it('believes an abort on another cluster only from the instance that opened the move', () => {
    expect(mergeViews(views({ west: [move(1, 'a')], east: [abort(1, 'b')] })).open?.record.epoch).toBe(1)
    const told = views({ west: [move(1, 'a')], east: [abort(1, 'a')] })
    expect(mergeViews(told).open).toBeUndefined()
    expect(outcomeOf(told, 1, 'west')).toEqual({ outcome: 'aborted', reason: 'lease' })
    expect(mergeViews(told).highestEpoch).toBe(1)
  })
})

describe('givenUpMoves', () => {
  const fenced = (epoch: number): ControlRecord => ({ ...common(epoch, 'a'), type: 'fenced', lanes: [] })
  const epochs = (clusters: Record<string, ControlRecord[]>) => givenUpMoves(views(clusters)).map(m => m.epoch)

  it('are those that may have closed lanes and were aborted, or superseded by one that was', () => {
    expect(epochs({ west: [move(1), fenced(1), abort(1)] })).toEqual([1])
    expect(epochs({ west: [move(1), fenced(1)], east: [abort(1, 'a')] })).toEqual([1])
    expect(epochs({ west: [move(1), fenced(1), move(2, 'b', { kind: 'failover' }), abort(2)] })).toEqual([1])
    expect(epochs({ west: [move(1), abort(1)] })).toEqual([])
  })

  it('are none while a move is under way, and none that a later join has overtaken', () => {
    expect(epochs({ west: [move(1), fenced(1)] })).toEqual([])
    expect(epochs({ west: [move(1), fenced(1), move(2, 'b')] })).toEqual([])
    expect(epochs({ west: [move(1), fenced(1), join(1)] })).toEqual([])
    expect(epochs({ west: [move(1), fenced(1), move(2, 'b'), fenced(2), join(2, 'b')] })).toEqual([])
  })
})
