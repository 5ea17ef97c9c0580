import { retry } from '../util/retry.js'
import { kafkaError } from './protocol-errors.js'
import type { FindCoordinatorResponse } from './requests/find-coordinator.js'
import type { Route } from './types.js'

export type CoordinatorType = 'group' | 'transaction'
type CoordinatorRoute = { group: string } | { transactionalId: string }

// The first look-up on a fresh cluster makes the broker create its internal topic, which takes seconds.
const PATIENCE_MS = 20_000

/** Looks coordinators up and remembers them until somebody finds out that they have moved. */
export class Coordinators {
  readonly #alias: string
  readonly #patienceMs: number
  readonly #lookUp: (type: CoordinatorType, key: string) => Promise<FindCoordinatorResponse>
  readonly #found = new Map<string, Promise<number>>()

  constructor(
    alias: string,
    controlTimeoutMs: number,
    lookUp: (type: CoordinatorType, key: string) => Promise<FindCoordinatorResponse>
  ) {
    this.#alias = alias
    this.#patienceMs = Math.max(controlTimeoutMs, PATIENCE_MS)
    this.#lookUp = lookUp
  }

  find(route: CoordinatorRoute): Promise<number> {
    const id = routeId(route)
    const known = this.#found.get(id)
    if (known !== undefined) return known
    const finding = this.#find(route)
    this.#found.set(id, finding)
    finding.catch(() => {
      if (this.#found.get(id) === finding) this.#found.delete(id)
    })
    return finding
  }

  forget(route: Route): void {
    if (typeof route === 'object' && !('node' in route)) this.#found.delete(routeId(route))
  }

  #find(route: CoordinatorRoute): Promise<number> {
    const [type, key] =
      'group' in route ? (['group', route.group] as const) : (['transaction', route.transactionalId] as const)
    const giveUpAt = performance.now() + this.#patienceMs
    return retry(
      async () => {
        const answer = await this.#lookUp(type, key)
        if (answer.errorCode === 0) return answer.nodeId
        const detail = answer.errorMessage === null ? '' : ` (${answer.errorMessage})`
        const message = `${this.#alias}: no coordinator for ${type} "${key}"${detail}`
        throw kafkaError(answer.errorCode, message, { cluster: this.#alias })
      },
      {
        retries: Number.POSITIVE_INFINITY,
        minTimeoutMs: 50,
        maxTimeoutMs: 500,
        // Only the broker's own "not yet": an unreachable cluster has been tried enough when it gets here.
        shouldRetry: error =>
          'kafkaCode' in error && 'retriable' in error && error.retriable === true && performance.now() < giveUpAt
      }
    )
  }
}

function routeId(route: CoordinatorRoute): string {
  return 'group' in route ? `group:${route.group}` : `transaction:${route.transactionalId}`
}
