import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { LaneEpoch } from '../../../src/lineage/sequence.js'
import {
  AgeGuard,
  assertSameTopic,
  guardOf,
  lanePlan,
  type PlanFacts,
  type Standing,
  standingOf
} from '../../../src/mirror/lane-guard.js'
import { PLAIN } from './lane-bench.js'

const plan = (o: Partial<PlanFacts> = {}) => lanePlan({ ...PLAIN, ...o })
const DAY_MS = 86_400_000

describe('the plan of a lane', () => {
  it('has the digest that the first version wrote while nothing but the source log decides', () => {
    const json = '{"isolation":"read_committed","transform":null}'
    expect(plan().digest).toBe(createHash('sha256').update(json).digest('base64url').slice(0, 22))
    expect(plan().digest).toBe('SFHMT8gPeH-ybS9UIO-xzg')
    expect(plan().exclusive).toBeUndefined()
  })

  it('may be followed by several writers whatever is isolated and forwarded, as long as all do the same', () => {
    const others = [plan({ isolation: 'read_uncommitted' }), plan({ forward: 'all-but-target' })]
    expect(others.map(other => other.exclusive)).toEqual([undefined, undefined])
    expect(new Set([plan().digest, ...others.map(other => other.digest)]).size).toBe(3)
  })

  it.each<[string, Partial<PlanFacts>]>([
    ['routed', { routed: true }],
    ['transformed', { transformed: true }],
    ['compacted', { compacted: true }],
    ['that may skip records', { onRecordError: 'skip' }],
    ['with dead letters', { onRecordError: { deadLetterTopic: 'dlq' } }],
    ['that may go on behind a gap', { onGap: 'continue' }],
    ['whose schema ids are rewritten', { rewritesSchemaIds: true }],
    ['that may leave out records without a schema', { dropsWithoutSchema: true }]
  ])('of a lane %s has one owner, and another digest than the plain one', (_name, facts) => {
    expect(plan(facts).exclusive).toEqual(expect.any(String))
    expect(plan(facts).digest).not.toBe(plan().digest)
    expect(plan(facts).digest).toHaveLength(22)
  })
})

describe('why a lane has one owner', () => {
  it('is told with the schemas, whatever else there is', () => {
    expect(plan({ rewritesSchemaIds: true }).exclusive).toBe('schema ids are rewritten')
    const all = { transformed: true, rewritesSchemaIds: true, dropsWithoutSchema: true }
    expect(plan(all).exclusive).toBe(
      'a transform decides which records are copied; schema ids are rewritten; records may be left out for want of a schema (schemas.onTimeout)'
    )
    // Links of before have the digest without them.
    expect(plan({ rewritesSchemaIds: false, dropsWithoutSchema: false }).digest).toBe(plan().digest)
    expect(plan({ compacted: true, rewritesSchemaIds: true }).digest).not.toBe(plan({ compacted: true }).digest)
  })
})

describe('whether a process may write', () => {
  const stable = plan()
  const fenced = plan({ compacted: true })
  const link: LaneEpoch = { producerId: 70n, epoch: 2, base: 5n, firstSequence: 0 }
  const own: LaneEpoch = { ...link, producerId: 900n, own: true }
  const me = { process: 'me', linkProducerId: 70n, ownId: false, broken: false }
  const mine = { owner: 'me' }
  const other = { owner: 'other' }

  it.each<[string, LaneEpoch | undefined, string, typeof stable, Partial<typeof me>, Standing['kind'], RegExp?]>([
    ['nobody wrote behind the fence yet', undefined, stable.digest, stable, {}, 'take-over', /behind a fence/],
    ['a plain lane', link, stable.digest, stable, {}, 'shared'],
    ['a plain lane whose memory is not certain', link, stable.digest, stable, { broken: true }, 'shared'],
    ['a plain lane that another plan was followed on', link, 'older', stable, {}, 'take-over', /another plan/],
    ['the same, by me', { ...link, ...mine }, 'older', stable, {}, 'mine'],
    ['the same plan again behind a fence', link, stable.digest, stable, {}, 'shared'],
    ['the same plan, but somebody writes alone', { ...link, ...other }, stable.digest, stable, {}, 'take-over'],
    ['old records come', link, stable.digest, stable, { ownId: true }, 'take-over', /transactions/],
    ['old records come to my own lane', { ...link, ...mine }, fenced.digest, fenced, { ownId: true }, 'take-over'],
    [
      'the link has another id now',
      link,
      stable.digest,
      stable,
      { linkProducerId: 71n },
      'take-over',
      /id has changed/
    ],
    ['... but the lane has its own', { ...own, ...mine }, stable.digest, stable, { linkProducerId: 71n }, 'mine'],
    ['nobody owns an exclusive lane', link, fenced.digest, fenced, {}, 'take-over', /compacted/],
    ['another one owns it', { ...link, ...other }, fenced.digest, fenced, {}, 'take-over', /compacted/],
    ['I own it', { ...link, ...mine }, fenced.digest, fenced, {}, 'mine'],
    ['... and am not certain', { ...link, ...mine }, fenced.digest, fenced, { broken: true }, 'take-over', /certain/],
    ['an own id is another one’s', { ...own, ...other }, stable.digest, stable, { ownId: true }, 'take-over'],
    ['an own id is mine', { ...own, ...mine }, stable.digest, stable, { ownId: true }, 'mine'],
    ['... and not certain', { ...own, ...mine }, stable.digest, stable, { ownId: true, broken: true }, 'take-over']
  ])('%s', (_name, currentEpoch, currentPlan, its, o, kind, why) => {
    const standing = standingOf({ currentEpoch, currentPlan }, its, { ...me, ...o })
    expect(standing.kind).toBe(kind)
    if (why) expect(standing).toMatchObject({ why: expect.stringMatching(why) })
  })

  it('is told to people as well', () => {
    expect(guardOf(stable, link, false)).toEqual({ guard: 'stable' })
    expect(guardOf(fenced, link, false)).toEqual({ guard: 'fenced', why: fenced.exclusive })
    expect(guardOf(stable, own, false)).toMatchObject({ guard: 'fenced', why: expect.stringContaining('own') })
    expect(guardOf(fenced, own, true)).toMatchObject({ guard: 'transactional' })
  })
})

describe('records that are too old for plain batches', () => {
  it('are those of the last tenth of the day, and a lane does not change back and forth there', () => {
    const guard = new AgeGuard(DAY_MS)
    const at = (share: number) => guard.needsTransaction(0, share * DAY_MS)
    expect([at(0.5), at(0.89), at(0.91)]).toEqual([false, false, true])
    // Back only when they are clearly younger.
    expect([at(0.89), at(0.86), at(0.84), at(0.89)]).toEqual([true, true, false, false])
  })

  it.each([1_000, 5_000, 60_000, 1_200_000])('leave a way back also with an expiration of %i ms', expiration => {
    const guard = new AgeGuard(expiration)
    const at = (share: number) => guard.needsTransaction(0, share * expiration)
    expect([at(0), at(0.49), at(0.51), at(0.49), at(0.24), at(0.49)]).toEqual([false, false, true, true, false, false])
  })

  it('are no records of the future', () => {
    expect(new AgeGuard(DAY_MS).needsTransaction(DAY_MS, 0)).toBe(false)
  })

  it('are old without a time stamp', () => {
    expect(new AgeGuard(DAY_MS).needsTransaction(-1, 1_700_000_000_000)).toBe(true)
  })
})

describe('a topic', () => {
  const lane = { topic: 'orders', topicId: 'id', partition: 0 }

  it('is the same one only under the same id', () => {
    expect(() => assertSameTopic(lane, 'id', 'east')).not.toThrow()
    expect(() => assertSameTopic(lane, 'other', 'east')).toThrowError(
      expect.objectContaining({ code: 'TWINLOG_TOPIC_RECREATED', retriable: false })
    )
  })

  it.each([undefined, '', 'AAAAAAAAAAAAAAAAAAAAAA'])('that is not there may come back (%s)', id => {
    expect(() => assertSameTopic(lane, id, 'east')).toThrowError(
      expect.objectContaining({ code: 'TWINLOG_UNKNOWN_TOPIC', retriable: true })
    )
  })
})
