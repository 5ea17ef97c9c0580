import { TwinlogError } from '../../errors.js'
import type { NamedBy, SchemaWait } from './schema-waits.js'
import { refName } from './wire-format.js'

/** Whoever is held. */
export interface HeldLane {
  /** Read again from where it stands. */
  released(): void
  /** `why` is another one. */
  changed(): void
}

/** A lane that stands before a record until something is there. Nothing of the log is kept meanwhile. */
export class SchemaHold {
  /** Nothing from this source offset on has been planned. */
  readonly from: bigint
  readonly #named: NamedBy
  readonly #wait: SchemaWait
  /** The lane's own question was answered. */
  readonly #answered: Promise<unknown> | undefined
  readonly #recheckAt: number | undefined
  readonly #lookAgain: boolean

  constructor(o: {
    from: bigint
    named: NamedBy
    wait: SchemaWait
    answered?: Promise<unknown> | undefined
    /** The lane looks again then (`performance.now()`), whatever has come of it. */
    recheckAt?: number | undefined
    /** When the time is over, the lane looks again and stops at the record, or leaves it out. */
    lookAgain: boolean
  }) {
    this.from = o.from
    this.#named = o.named
    this.#wait = o.wait
    this.#answered = o.answered
    this.#recheckAt = o.recheckAt
    this.#lookAgain = o.lookAgain
  }

  /** For people. */
  get why(): string {
    const { part, offset } = this.#named
    return `${this.#wait.whyOf(this.#named)} (the ${part} at offset ${offset} names it)`
  }

  /** The function returned ends it. */
  begin(lane: HeldLane): () => void {
    let over = false
    const end = () => {
      over = true
      leave()
      clearTimeout(timer)
    }
    const release = () => {
      if (over) return
      end()
      lane.released()
    }
    const leave = this.#wait.join({
      released: release,
      changed: () => lane.changed(),
      expired: () => {
        if (this.#lookAgain) release()
      }
    })
    const recheckMs = this.#recheckAt === undefined ? undefined : Math.max(0, this.#recheckAt - performance.now())
    const timer = recheckMs === undefined ? undefined : setTimeout(release, recheckMs).unref()
    // Not at once: whoever begins has to know first that it is held.
    if (this.#wait.done) queueMicrotask(release)
    this.#answered?.then(release, () => undefined)
    return end
  }
}

/** A record has waited for `timeoutMs`. */
export function expiredError(named: NamedBy, wait: SchemaWait, timeoutMs: number): TwinlogError {
  const { topic, partition, offset, part, ref } = named
  const { error } = wait
  const problem = error === undefined ? '' : `: ${error.message}`
  const what =
    wait.work.what === 'schema'
      ? `schema ${refName(ref)}, which its ${part} names, is not on the target registry after ${timeoutMs} ms (schemas.timeoutMs)`
      : `the source registry could not be asked for ${timeoutMs} ms (schemas.timeoutMs) whether ${refName(ref)} in its ${part} is a schema of the topic`
  return new TwinlogError(
    'TWINLOG_SCHEMA_REGISTRY',
    `source offset ${offset} of ${topic}-${partition}: ${what}${problem}`,
    {
      topic,
      partition,
      offset,
      schemaId: typeof ref === 'number' ? ref : undefined,
      subject: error?.subject,
      httpStatus: error?.httpStatus,
      registryCode: error?.registryCode,
      retriable: true,
      cause: error
    }
  )
}
