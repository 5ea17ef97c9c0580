import type { LaneEpoch } from '../lineage/sequence.js'

/** A transaction is committed with so many bytes, or when it is this old, or when nothing has followed for a moment. */
const CHUNK_BYTES = 2 << 20
const LONGEST_MS = 1_000
const LINGER_MS = 15

/** The coordinator's part; each resolves when the coordinator has done it, `commit` when the markers are in the log as well. */
export interface TransactionCalls {
  begin(epoch: LaneEpoch): Promise<void>
  commit(epoch: LaneEpoch): Promise<void>
}

interface TransactionHost {
  epoch(): LaneEpoch | undefined
  /** The state changed: something may be sent now, or nothing any more. */
  changed(): void
  committed(): void
  failed(error: unknown): void
}

type State = 'closed' | 'opening' | 'open' | 'committing' | 'broken'

/**
 * The transaction that a lane's old records go into. It opens before the first of them and is committed when nothing is on its way. Any
 * failure breaks it for good: the next owner's epoch aborts what is left of it.
 */
export class LaneTransaction {
  readonly #calls: TransactionCalls
  readonly #host: TransactionHost
  #state: State = 'closed'
  #bytes = 0
  #openedAtMs = 0
  #linger: NodeJS.Timeout | undefined
  /** Answers to an older transaction are nobody's. */
  #generation = 0

  constructor(calls: TransactionCalls, host: TransactionHost) {
    this.#calls = calls
    this.#host = host
  }

  get state(): State {
    return this.#state
  }

  /** Nothing more may go into it. `now` by the monotonic clock, as in `open`. */
  full(now: number): boolean {
    return this.#bytes >= CHUNK_BYTES || now - this.#openedAtMs >= LONGEST_MS
  }

  open(now: number): void {
    const epoch = this.#host.epoch()
    if (this.#state !== 'closed' || !epoch) return
    this.#state = 'opening'
    this.#bytes = 0
    this.#openedAtMs = now
    this.#run(this.#calls.begin(epoch), () => {
      this.#state = 'open'
      this.#openedAtMs = performance.now()
    })
  }

  sent(bytes: number): void {
    this.#bytes += bytes
    this.#stopLingering()
  }

  /** Everything sent was answered: commits. */
  commit(): void {
    const epoch = this.#host.epoch()
    if (this.#state !== 'open' || !epoch) return
    this.#stopLingering()
    this.#state = 'committing'
    this.#run(this.#calls.commit(epoch), () => {
      this.#state = 'closed'
      this.#host.committed()
    })
  }

  /** Nothing is on its way and nothing waits: more may come in a moment. */
  commitSoon(stillIdle: () => boolean): void {
    if (this.#state !== 'open' || this.#linger) return
    this.#linger = setTimeout(() => {
      this.#linger = undefined
      if (stillIdle()) this.commit()
    }, LINGER_MS)
    this.#linger.unref()
  }

  /** The lane has stopped: whatever became of it, the next epoch decides. True when there was something to decide. */
  abandon(): boolean {
    const wasOpen = this.#state !== 'closed'
    this.#stopLingering()
    this.#generation += 1
    this.#state = wasOpen ? 'broken' : 'closed'
    return wasOpen
  }

  /** A new epoch: nothing of the old one is left. */
  reset(): void {
    this.#stopLingering()
    this.#generation += 1
    this.#state = 'closed'
  }

  #run(work: Promise<void>, done: () => void): void {
    const generation = this.#generation
    work.then(
      () => {
        if (generation !== this.#generation) return
        done()
        this.#host.changed()
      },
      (error: unknown) => {
        if (generation !== this.#generation) return
        this.#state = 'broken'
        this.#host.failed(error)
      }
    )
  }

  #stopLingering(): void {
    clearTimeout(this.#linger)
    this.#linger = undefined
  }
}
