import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  advance,
  type Membership,
  type MembershipPhase,
  REQUEST_OF,
  rejoin,
  SESSION_TIMEOUTS_MS,
  transitions,
  UNJOINED
} from '../../../../src/mirror/workers/membership.js'

const at = (phase: MembershipPhase, o: Partial<Membership> = {}): Membership => ({
  ...UNJOINED,
  phase,
  memberId: phase === 'unjoined' ? '' : 'm1',
  generation: 4,
  ...o
})

describe('a member', () => {
  it('goes from nothing to stable', () => {
    const steps = [
      advance(UNJOINED, { errorCode: 79, memberId: 'm1', generationId: -1, leader: '' }),
      advance(at('joining'), { errorCode: 0, memberId: 'm1', generationId: 5, leader: 'm1' }),
      advance(at('syncing', { generation: 5, leader: true }), { errorCode: 0 }),
      advance(at('stable', { generation: 5, leader: true }), { errorCode: 0 })
    ]
    expect(
      steps.map(({ membership, next }) => [membership.phase, membership.memberId, membership.generation, next])
    ).toEqual([
      ['joining', 'm1', -1, 'go'],
      ['syncing', 'm1', 5, 'go'],
      ['stable', 'm1', 5, 'go'],
      ['stable', 'm1', 5, 'go']
    ])
    expect(steps.map(({ membership }) => membership.leader)).toEqual([false, true, true, true])
  })

  it.each<[MembershipPhase, number, MembershipPhase, string]>([
    ['stable', 27, 'joining', 'go'],
    ['stable', 22, 'joining', 'go'],
    ['stable', 25, 'unjoined', 'go'],
    ['stable', 16, 'stable', 'find'],
    ['stable', 15, 'stable', 'find'],
    ['stable', 14, 'stable', 'pause'],
    ['stable', 30, 'stable', 'refused'],
    ['syncing', 27, 'joining', 'go'],
    ['syncing', 22, 'joining', 'go'],
    ['syncing', 25, 'unjoined', 'go'],
    ['syncing', 16, 'syncing', 'find'],
    ['syncing', -1, 'syncing', 'refused'],
    ['joining', 25, 'unjoined', 'pause'],
    ['joining', 27, 'joining', 'pause'],
    ['joining', 16, 'joining', 'find'],
    ['joining', 23, 'joining', 'refused'],
    ['unjoined', 23, 'unjoined', 'refused'],
    ['unjoined', 30, 'unjoined', 'refused'],
    ['unjoined', 81, 'unjoined', 'refused'],
    ['unjoined', 7, 'unjoined', 'pause']
  ])('in %s, answered %i: %s, %s', (phase, errorCode, to, next) => {
    const step = advance(at(phase), { errorCode, memberId: '' })
    expect([step.membership.phase, step.next]).toEqual([to, next])
    expect(step.membership.memberId).toBe(to === 'unjoined' ? '' : 'm1')
  })

  it('takes longer sessions until there is none', () => {
    let membership: Membership = UNJOINED
    for (const timeoutMs of SESSION_TIMEOUTS_MS.slice(1)) {
      const step = advance(membership, { errorCode: 26, memberId: '' })
      expect([step.membership.sessionTimeoutMs, step.next]).toEqual([timeoutMs, 'go'])
      membership = step.membership
    }
    expect(advance(membership, { errorCode: 26 }).next).toBe('refused')
  })

  it('rejoins from stable only', () => {
    expect(rejoin(at('stable'))).toEqual(at('joining'))
    expect(rejoin(at('syncing'))).toEqual(at('syncing'))
  })

  it('makes only the moves of the table, and after a refused or repeated request never goes on at once', () => {
    const phases = fc.constantFrom<MembershipPhase>('unjoined', 'joining', 'syncing', 'stable')
    fc.assert(
      fc.property(phases, fc.integer({ min: -1, max: 120 }), (phase, errorCode) => {
        const step = advance(at(phase), { errorCode, memberId: 'm2', generationId: 9, leader: 'm2' })
        const to = step.membership.phase
        expect(to === phase || (transitions[phase] as readonly string[]).includes(to)).toBe(true)
        const repeated = REQUEST_OF[to] === REQUEST_OF[phase]
        if (repeated && ![0, 26, 79].includes(errorCode)) expect(step.next).not.toBe('go')
      })
    )
  })
})
