import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { TwinlogError, toTwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import { loadCodec } from '../records/compression.js'
import { retry } from '../util/retry.js'
import type { Lane } from './lane.js'
import { assertSameTopic } from './lane-guard.js'
import type { LaneStart, LaneStarter } from './lane-starter.js'
import { MetadataFeed } from './metadata-feed.js'

/** A lane that cannot start for so long shows as waiting, and nobody waits for it. */
const BLOCKED_MS = 3_000

/** Where lanes are put once they can copy. */
interface LanePlaces {
  /** False while one of the lane's partitions has no leader. */
  place(lane: Lane): boolean
  kick(lane: Lane): void
}

/** Tries to start lanes until they copy or it is certain that they cannot, or until all is called off. */
export class LaneLauncher {
  readonly #source: ClusterClient
  readonly #target: ClusterClient
  readonly #sourceFeed: MetadataFeed
  readonly #targetFeed: MetadataFeed
  readonly #places: LanePlaces
  readonly #starter: LaneStarter
  readonly #abort = new AbortController()
  readonly #starting = new Set<Promise<void>>()
  /** Where these go on is being found out. */
  readonly #asking = new Map<Lane, Promise<void>>()

  constructor(o: {
    source: ClusterClient
    target: ClusterClient
    starter: LaneStarter
    sourceFeed: MetadataFeed
    places: LanePlaces
  }) {
    this.#source = o.source
    this.#target = o.target
    this.#sourceFeed = o.sourceFeed
    this.#targetFeed = new MetadataFeed(o.target)
    this.#places = o.places
    this.#starter = o.starter
    // Every lane that starts listens to it, and there may be thousands.
    setMaxListeners(0, this.#abort.signal)
  }

  /** Ends all attempts. */
  abort(): void {
    this.#abort.abort()
  }

  /** Every start that is under way now has ended. */
  async ended(): Promise<void> {
    await Promise.all(this.#starting)
  }

  /** Resolves when the lane has started, cannot start, or waits for something that may take long; then it goes on trying by itself. */
  start(lane: Lane): Promise<void> {
    // A second answer would come when the lane has gone on from the first one.
    const asking = this.#asking.get(lane)
    if (asking) return asking
    const started = new Promise<void>(resolve => {
      const run = this.#startUntilSettled(lane, resolve).finally(() => {
        this.#starting.delete(run)
        resolve()
      })
      this.#starting.add(run)
    })
    this.#asking.set(lane, started)
    return started
  }

  /** Tries for as long as the cause may pass; a lane that cannot go on says why and leaves the others alone. */
  async #startUntilSettled(lane: Lane, onBlocked: () => void): Promise<void> {
    const stayBackMs = lane.stayBackMs()
    if (stayBackMs > 0) await sleep(stayBackMs, undefined, { signal: this.#abort.signal }).catch(() => undefined)
    const since = performance.now()
    let last: TwinlogError | undefined
    let plan = lane.work.plan.digest
    const blocked = () => {
      lane.blocked(last ?? noAnswer(lane))
      onBlocked()
    }
    // One attempt alone may take longer: a silent broker fails nothing.
    const timer = setTimeout(blocked, BLOCKED_MS)
    timer.unref()
    const attempt = async () => {
      plan = lane.work.plan.digest
      // Removed or stopped since: nobody waits for it any more.
      if (lane.over) throw new TwinlogError('TWINLOG_ABORTED', 'the lane was stopped while it was being started')
      try {
        return await unlessAborted(this.#attempt(lane), this.#abort.signal)
      } catch (error) {
        if (error instanceof TwinlogError && error.retriable) {
          last = error
          if (performance.now() - since > BLOCKED_MS) blocked()
        }
        throw error
      }
    }
    try {
      const start = await retry(attempt, {
        retries: Number.POSITIVE_INFINITY,
        minTimeoutMs: 30,
        // Lanes wait for a new leader here: pauses are short against an election.
        maxTimeoutMs: 400,
        signal: this.#abort.signal
      })
      // The batch that straddles the recovered position is cut, whatever its codec.
      for (const codec of lane.heldCodecs()) await loadCodec(codec)
      this.#asking.delete(lane)
      if (start.kind === 'closed') lane.stop(start.error.message, start.error)
      else if (start.kind === 'standby') lane.standBy(start.why)
      else {
        lane.begin(start.at, start.fromState)
        // Whether it may write was found out for another plan.
        if (lane.work.plan.digest !== plan) lane.replan()
        // It was stopped meanwhile, or starts once more: who is put somewhere now would stay there for ever.
        if (lane.needsRecovery) return
        if (!this.#places.place(lane)) lane.unreachable(noLeader(lane))
        this.#places.kick(lane)
      }
    } catch (error) {
      this.#asking.delete(lane)
      if (this.#abort.signal.aborted || lane.over) return
      const cause = toTwinlogError(
        error,
        'TWINLOG_INTERNAL',
        `lane ${lane.source.topic}-${lane.source.partition} cannot start`
      )
      // A move has closed it; what a broker calls fenced passes.
      if (cause.code === 'TWINLOG_FENCED' && cause.kafkaCode === undefined) lane.stop(cause.message, cause)
      else lane.fail(cause)
    } finally {
      clearTimeout(timer)
    }
  }

  async #attempt(lane: Lane): Promise<LaneStart> {
    const [source, target] = await Promise.all([
      this.#sourceFeed.refresh(lane.source.topic),
      this.#targetFeed.refresh(lane.target.topic)
    ])
    assertSameTopic(lane.source, source.topics.get(lane.source.topic)?.topicId, this.#source.alias)
    assertSameTopic(lane.target, target.topics.get(lane.target.topic)?.topicId, this.#target.alias)
    // Without a leader of the source there is nothing to begin: it counts as an attempt, with its pauses and its reason. And it comes
    // before the lane is taken over, which uses up an epoch.
    const leader = this.#source.leaderOf(lane.source.topic, lane.source.partition)
    if (!leader || leader.nodeId < 0) throw noLeader(lane)
    return this.#starter.start(lane)
  }
}

function noLeader(lane: Lane): TwinlogError {
  const message = `a partition of lane ${lane.source.topic}-${lane.source.partition} has no leader`
  return new TwinlogError('TWINLOG_UNREACHABLE', message, {
    topic: lane.source.topic,
    partition: lane.source.partition,
    retriable: true
  })
}

function noAnswer(lane: Lane): TwinlogError {
  const message = `lane ${lane.source.topic}-${lane.source.partition} cannot start: nobody has answered for ${BLOCKED_MS} ms`
  return new TwinlogError('TWINLOG_TIMEOUT', message, {
    topic: lane.source.topic,
    partition: lane.source.partition,
    retriable: true
  })
}

/** What is waited for may never come: an abort ends the waiting, not the work. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(new TwinlogError('TWINLOG_ABORTED', 'aborted while a lane was being started'))
    signal.addEventListener('abort', onAbort, { once: true })
    work.finally(() => signal.removeEventListener('abort', onAbort)).then(resolve, reject)
  })
}
