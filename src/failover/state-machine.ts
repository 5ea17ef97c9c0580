import { TwinlogError } from '../errors.js'

/**
 * - `disconnected`: before `connect()` and after `disconnect()`
 * - `steady`: working on the active cluster · `degraded`: the same, but the active cluster doesn't answer
 * - `preflight` … `resuming`: the steps of a move
 */
export type FailoverState =
  | 'disconnected'
  | 'steady'
  | 'degraded'
  | 'preflight'
  | 'fencing'
  | 'draining'
  | 'verifying'
  | 'promoting'
  | 'resuming'

/** Every step can end in steady or degraded: that is an abort, on the old cluster. */
export const transitions = {
  disconnected: ['steady', 'degraded'],
  steady: ['degraded', 'preflight', 'fencing', 'resuming', 'disconnected'],
  degraded: ['steady', 'preflight', 'fencing', 'resuming', 'disconnected'],
  preflight: ['fencing', 'resuming', 'steady', 'degraded', 'disconnected'],
  // A failover can supersede a switchover in any step before it is decided: back to fencing.
  fencing: ['draining', 'fencing', 'resuming', 'steady', 'degraded', 'disconnected'],
  draining: ['verifying', 'promoting', 'fencing', 'resuming', 'steady', 'degraded', 'disconnected'],
  verifying: ['promoting', 'fencing', 'resuming', 'steady', 'degraded', 'disconnected'],
  promoting: ['resuming', 'fencing', 'steady', 'degraded', 'disconnected'],
  resuming: ['steady', 'degraded', 'fencing', 'disconnected']
} as const satisfies Record<FailoverState, readonly FailoverState[]>

export interface StateChange {
  from: FailoverState
  to: FailoverState
  reason: string
  at: Date
}

function canTransition(from: FailoverState, to: FailoverState): boolean {
  return (transitions[from] as readonly FailoverState[]).includes(to)
}

/** Holds the state; everything that changes it goes through `transition`, which tells the listener. */
export class StateMachine {
  #state: FailoverState = 'disconnected'
  readonly #onChange: (change: StateChange) => void

  constructor(onChange: (change: StateChange) => void) {
    this.#onChange = onChange
  }

  get state(): FailoverState {
    return this.#state
  }

  /** Steady or degraded: nothing is moving. */
  get resting(): boolean {
    return this.#state === 'steady' || this.#state === 'degraded'
  }

  transition(to: FailoverState, reason: string): void {
    const from = this.#state
    if (from === to && from !== 'fencing') return
    if (!canTransition(from, to)) {
      throw new TwinlogError('TWINLOG_INVALID_STATE', `failover client can't go from ${from} to ${to} (${reason})`)
    }
    this.#state = to
    this.#onChange({ from, to, reason, at: new Date() })
  }
}
