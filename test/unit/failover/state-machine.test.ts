import { describe, expect, it } from 'vitest'
import { type FailoverState, StateMachine, type StateChange, transitions } from '../../../src/failover/state-machine.js'

function machineIn(...path: FailoverState[]): { machine: StateMachine; changes: StateChange[] } {
  const changes: StateChange[] = []
  const machine = new StateMachine(change => changes.push(change))
  for (const state of path) machine.transition(state, 'test')
  return { machine, changes }
}

describe('failover state machine', () => {
  it('walks through a switchover and tells each step with its reason', () => {
    const path: FailoverState[] = [
      'steady',
      'preflight',
      'fencing',
      'draining',
      'verifying',
      'promoting',
      'resuming',
      'steady'
    ]
    const { machine, changes } = machineIn(...path)
    expect(machine.state).toBe('steady')
    expect(changes.map(change => change.to)).toEqual(path)
    expect(changes[1]).toMatchObject({ from: 'steady', to: 'preflight', reason: 'test' })
  })

  it('lets a failover skip the verification that needs the source', () => {
    expect(
      machineIn('degraded', 'preflight', 'fencing', 'draining', 'promoting', 'resuming', 'steady').machine.state
    ).toBe('steady')
  })

  it('can abort from every step of a move', () => {
    for (const [state, next] of Object.entries(transitions)) {
      expect(next, state).toEqual(
        state === 'steady' ? expect.arrayContaining(['degraded']) : expect.arrayContaining(['steady'])
      )
    }
  })

  it('refuses a step out of order and stays where it was', () => {
    const { machine } = machineIn('steady')
    expect(() => machine.transition('promoting', 'too early')).toThrow(/from steady to promoting/)
    expect(machine.state).toBe('steady')
  })

  it('does not tell a change that is none', () => {
    const { changes } = machineIn('steady', 'steady')
    expect(changes).toHaveLength(1)
  })
})
