import { TwinlogError, toTwinlogError } from '../../errors.js'
import type { Logger } from '../../logger.js'
import { retry } from '../../util/retry.js'
import type { TopicSchemas } from './read-look.js'
import { type Part, refName, type SchemaRef } from './wire-format.js'

/** How often it is looked whether a schema is there by now, or somebody has waited long enough. */
const LOOK_MS = 100
/** Nobody waits any more: a lane that had failed may be back before this, and finds the waiting where it was. */
const LINGER_MS = 120_000
const LOG_MS = 60_000
const AGAIN = { retries: Number.POSITIVE_INFINITY, minTimeoutMs: 200, maxTimeoutMs: 10_000 }
/** Somebody has to change something first. */
const SELDOM = { retries: Number.POSITIVE_INFINITY, minTimeoutMs: 5_000, maxTimeoutMs: 60_000 }

/** The record that was the first to name it. */
export interface NamedBy {
  topic: string
  partition: number
  offset: bigint
  part: Part
  ref: SchemaRef
}

/** Who waits. */
export interface SchemaWaiter {
  /** It is there. */
  released(): void
  /** What is told of it has changed. */
  changed(): void
  /** `timeoutMs` is over. */
  expired(): void
}

interface Work {
  named: NamedBy
  /** What is waited for. */
  what: 'schema' | 'answer'
  attempt: (signal: AbortSignal) => Promise<unknown>
  /** Whether it is there, whoever brought it. */
  isThere: () => boolean
}

/** One thing that lanes wait for, worked on once however many they are. */
export class SchemaWait {
  readonly work: Work
  /** When the first lane began to wait. */
  readonly since = performance.now()
  readonly abort = new AbortController()
  readonly waiters = new Set<SchemaWaiter>()
  /** Why the last attempt failed. */
  error: TwinlogError | undefined
  /** Somebody has waited for longer than `timeoutMs`. */
  expired = false
  done = false
  /** When somebody last asked for it, or left. */
  metAt = performance.now()
  #loggedAt = Number.NEGATIVE_INFINITY

  constructor(work: Work) {
    this.work = work
  }

  /** The function returned ends it. */
  join(waiter: SchemaWaiter): () => void {
    this.waiters.add(waiter)
    return () => {
      this.waiters.delete(waiter)
      this.metAt = performance.now()
    }
  }

  /** What happens about a name, or why it does not. */
  whyOf({ topic, ref }: Pick<NamedBy, 'topic' | 'ref'>): string {
    const name = `schema ${refName(ref)} of topic ${topic}`
    const problem = this.error === undefined ? undefined : `: ${this.error.message}`
    if (this.work.what === 'answer')
      return problem
        ? `the source registry cannot be asked for ${name}${problem}`
        : `the source registry is asked for ${name}`
    return problem
      ? `${name} is not on the target registry, and copying it fails${problem}`
      : `${name} is not on the target registry yet, it is being copied`
  }

  /** True when it is time to log a failure. */
  failed(error: TwinlogError): boolean {
    this.error = error
    for (const waiter of [...this.waiters]) waiter.changed()
    const now = performance.now()
    if (now - this.#loggedAt < LOG_MS) return false
    this.#loggedAt = now
    return true
  }
}

/** What the lanes of a Mirror wait for: schemas that are not on the target yet, and a source registry that does not answer. */
export class SchemaWaits {
  readonly timeoutMs: number
  readonly #logger: Logger
  readonly #missing: (wait: SchemaWait) => void
  readonly #waits = new Map<string, SchemaWait>()
  #timer: NodeJS.Timeout | undefined
  #ended = false

  constructor(o: {
    timeoutMs: number
    logger: Logger
    /** Told once of each wait that lasts longer than `timeoutMs`. */
    missing: (wait: SchemaWait) => void
  }) {
    this.timeoutMs = o.timeoutMs
    this.#logger = o.logger
    this.#missing = o.missing
  }

  /** Until the target has the schema. */
  schema(topic: TopicSchemas, named: NamedBy): SchemaWait {
    const isThere = () => topic.targetOf(named.ref) !== undefined
    return this.#join(`schema/${topic.topic}/${named.ref}`, {
      named,
      what: 'schema',
      isThere,
      attempt: async signal => {
        await topic.bring(named.ref, signal)
        if (!isThere()) throw notThere(named)
      }
    })
  }

  /**
   * Until the source registry answers. One asks for all: who comes back then asks for its own. `asked`: the answer that is overdue, or the
   * refusal.
   */
  source(topic: TopicSchemas, named: NamedBy, asked: Promise<unknown>): SchemaWait {
    let first: Promise<unknown> | undefined = asked
    return this.#join('answer', {
      named,
      what: 'answer',
      isThere: () => false,
      attempt: async () => {
        const answer = first ?? topic.ask(named.part, named.ref, performance.now())
        first = undefined
        await answer
      }
    })
  }

  /** Nobody waits any more. */
  end(): void {
    this.#ended = true
    clearInterval(this.#timer)
    for (const wait of this.#waits.values()) wait.abort.abort()
    this.#waits.clear()
  }

  #join(key: string, work: Work): SchemaWait {
    const known = this.#waits.get(key)
    if (known) {
      known.metAt = performance.now()
      return known
    }
    const wait = new SchemaWait(work)
    this.#waits.set(key, wait)
    if (this.#ended) return wait
    this.#timer ??= setInterval(() => this.#look(), LOOK_MS).unref()
    void this.#work(key, wait)
    return wait
  }

  async #work(key: string, wait: SchemaWait): Promise<void> {
    const { signal } = wait.abort
    const attempt = async () => {
      try {
        await wait.work.attempt(signal)
      } catch (error) {
        throw this.#failed(wait, error)
      }
    }
    try {
      await retry(() => retry(attempt, { ...AGAIN, signal }), { ...SELDOM, signal, shouldRetry: () => true })
      this.#finish(key, wait)
    } catch {
      // Ended: by the schema that came another way, or with the Mirror.
    }
  }

  #failed(wait: SchemaWait, error: unknown): TwinlogError {
    const known = toTwinlogError(error, 'TWINLOG_SCHEMA_REGISTRY', 'a schema registry cannot be asked')
    if (wait.abort.signal.aborted || wait.done) return known
    const log = wait.failed(known)
    if (log) this.#logger.warn({ topic: wait.work.named.topic, error: known }, wait.whyOf(wait.work.named))
    return known
  }

  #look(): void {
    const now = performance.now()
    for (const [key, wait] of [...this.#waits]) {
      if (wait.work.isThere()) this.#finish(key, wait)
      else if (wait.waiters.size === 0 && now - wait.metAt > LINGER_MS) this.#forget(key, wait)
      else if (!wait.expired && wait.waiters.size > 0 && now - wait.since >= this.timeoutMs) {
        wait.expired = true
        this.#missing(wait)
        for (const waiter of [...wait.waiters]) waiter.expired()
      }
    }
  }

  #finish(key: string, wait: SchemaWait): void {
    if (wait.done) return
    wait.done = true
    this.#forget(key, wait)
    for (const waiter of [...wait.waiters]) waiter.released()
    wait.waiters.clear()
  }

  #forget(key: string, wait: SchemaWait): void {
    if (this.#waits.get(key) === wait) this.#waits.delete(key)
    wait.abort.abort()
    if (this.#waits.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}

const notThere = ({ ref, topic }: NamedBy) =>
  new TwinlogError('TWINLOG_SCHEMA_REGISTRY', `schema ${refName(ref)} was copied, but is not known to be there`, {
    topic,
    retriable: true,
    ...(typeof ref === 'number' ? { schemaId: ref } : {})
  })
