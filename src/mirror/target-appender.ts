import { TwinlogError, toTwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import type { BrokerConnection } from '../kafka/connection.js'
import { type ProduceParams, type ProduceResponse, produceRequest } from '../kafka/requests/produce.js'
import type { Logger } from '../logger.js'
import { watchLeaders } from '../lineage/leader-watch.js'
import type { AppendedLane } from './fetched-lane.js'
import { ReadyLanes, type Sending } from './ready-lanes.js'

const REQUEST_BYTES = 8 << 20
/** Produce requests on one connection that have not been answered. A lane has at most five batches among them. */
const REQUESTS_IN_FLIGHT = 5
/** What replicas that are slower than this do is waited for by the recovery, which knows what was appended. */
const PRODUCE_TIMEOUT_MS = 5_000
const REQUEST_TIMED_OUT = 7
const RETRY_MS = 100
const ANSWER_GRACE_MS = 3_000
const LONGEST_ANSWER_MS = 60_000
/** Of a link that is not dead. */
const SLOWEST_BYTES_PER_MS = 500

export interface AppenderEvents {
  throttled(throttleMs: number): void
  /** The lane's replicas are slow: all others of this connection wait for it. */
  slow(lane: AppendedLane): void
}

/**
 * Appends for lanes whose target leader is one broker, over one connection. Lanes stay on their connection, so that their
 * batches arrive in order; each request takes at most one batch of a partition (a broker's rule). Only lanes that were kicked are looked at.
 */
export class TargetAppender {
  readonly nodeId: number
  readonly #lanes = new Map<AppendedLane, number>()
  readonly #ready = new ReadyLanes()
  readonly #cluster: ClusterClient
  readonly #logger: Logger
  readonly #events: AppenderEvents | undefined
  #connection: BrokerConnection | undefined
  #connecting: Promise<void> | undefined
  #inFlight = 0
  #bytesInFlight = 0
  #scheduled = false
  #stopped = false

  constructor(o: { nodeId: number; cluster: ClusterClient; logger: Logger; events?: AppenderEvents | undefined }) {
    this.nodeId = o.nodeId
    this.#cluster = o.cluster
    this.#logger = o.logger
    this.#events = o.events
  }

  add(lane: AppendedLane, priority = 1): void {
    this.#lanes.set(lane, priority)
    this.kick(lane)
  }

  /** Only when nothing of the lane is on its way. */
  remove(lane: AppendedLane): void {
    this.#lanes.delete(lane)
    this.#ready.remove(lane)
  }

  /** The lane may have something: gathered a moment later, so that all lanes that became ready together share a request. */
  kick(lane: AppendedLane): void {
    const priority = this.#lanes.get(lane)
    if (priority === undefined || this.#stopped) return
    this.#ready.add(lane, priority)
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#pump()
    })
  }

  stop(): void {
    this.#stopped = true
    this.#connection?.destroy()
  }

  #pump(): void {
    while (!this.#stopped && this.#inFlight < REQUESTS_IN_FLIGHT && this.#ready.any) {
      const connection = this.#connection
      if (!connection || connection.closed) {
        this.#connect()
        return
      }
      const sends = this.#ready.gather(REQUEST_BYTES)
      if (sends.length === 0) return
      void this.#send(connection, sends)
    }
  }

  #connect(): void {
    if (this.#connecting) return
    const stopWatch = watchLeaders({
      cluster: this.#cluster,
      nodeId: this.nodeId,
      partitions: [...this.#lanes.keys()].map(lane => lane.target),
      moved: () => this.#giveUp(this.#silent())
    })
    this.#connecting = this.#cluster.openConnection(this.nodeId).then(
      connection => {
        stopWatch()
        this.#connecting = undefined
        if (this.#stopped) return connection.destroy()
        this.#connection = connection
        for (const lane of this.#lanes.keys()) lane.connectionChanged()
        this.#pump()
      },
      (error: unknown) => {
        stopWatch()
        const cause = toTwinlogError(error, 'TWINLOG_UNREACHABLE', `target broker ${this.nodeId} cannot be reached`, {
          retriable: true
        })
        this.#logger.info({ error: cause, nodeId: this.nodeId }, 'a target broker cannot be reached')
        // The pause comes first: a broker that refuses would otherwise be asked as fast as it can refuse.
        setTimeout(() => {
          this.#connecting = undefined
          this.#giveUp(cause)
        }, RETRY_MS).unref()
      }
    )
  }

  /** Whoever waits for this broker looks for its leader anew, and may come back. */
  #giveUp(error: TwinlogError): void {
    if (this.#stopped) return
    for (const lane of [...this.#lanes.keys()]) if (lane.settled) lane.unreachable(error)
  }

  #silent(): TwinlogError {
    const message = `target broker ${this.nodeId} does not answer and no longer leads all lanes that wait for it`
    return new TwinlogError('TWINLOG_UNREACHABLE', message, { cluster: this.#cluster.alias, retriable: true })
  }

  async #send(connection: BrokerConnection, sends: Sending[]): Promise<void> {
    const bytes = sends.reduce((sum, { send }) => sum + send.batch.bytes.length, 0)
    this.#inFlight += 1
    this.#bytesInFlight += bytes
    const stopWatch = watchLeaders({
      cluster: this.#cluster,
      nodeId: this.nodeId,
      partitions: sends.map(({ lane }) => lane.target),
      moved: () => connection.destroy(this.#silent())
    })
    try {
      const transactionalId = sends[0]?.send.transactionalId
      const topics = topicsOf(sends)
      const request = produceRequest({ acks: -1, timeoutMs: PRODUCE_TIMEOUT_MS, transactionalId, topics })
      const answer = await connection.send(request, { timeoutMs: answerTimeoutMs(this.#bytesInFlight) })
      if (answer.throttleMs > 0) this.#events?.throttled(answer.throttleMs)
      this.#deliver(sends, answer)
    } catch (error) {
      // A time-out settles nothing: only when the connection is gone can nothing of this request follow later batches.
      connection.destroy()
      const cause = toTwinlogError(
        error,
        'TWINLOG_UNREACHABLE',
        `appending through target broker ${this.nodeId} failed`,
        { retriable: true }
      )
      for (const { lane, send } of sends) lane.unanswered(send, cause)
    } finally {
      stopWatch()
      this.#inFlight -= 1
      this.#bytesInFlight -= bytes
      this.#pump()
    }
  }

  #deliver(sends: Sending[], answer: ProduceResponse): void {
    const results = new Map(
      answer.partitions.map(result => [`${result.topicId}/${result.topic}/${result.partition}`, result])
    )
    for (const { lane, send } of sends) {
      const { topic, topicId, partition } = lane.target
      const result = results.get(`${topicId}/${topic}/${partition}`)
      if (result?.errorCode === REQUEST_TIMED_OUT) this.#events?.slow(lane)
      if (result) lane.answered(send, result)
      else lane.unanswered(send, leftOut(topic, partition))
    }
  }
}

function leftOut(topic: string, partition: number): TwinlogError {
  const message = `the broker left ${topic}-${partition} out of its answer`
  return new TwinlogError('TWINLOG_PROTOCOL', message, { topic, partition, retriable: true })
}

/** A dead link must be noticed soon, a slow one that carries megabytes must not be taken for dead. */
function answerTimeoutMs(bytesInFlight: number): number {
  return Math.min(LONGEST_ANSWER_MS, PRODUCE_TIMEOUT_MS + ANSWER_GRACE_MS + bytesInFlight / SLOWEST_BYTES_PER_MS)
}

function topicsOf(sends: Sending[]): ProduceParams['topics'] {
  const topics = new Map<string, ProduceParams['topics'][number]>()
  for (const { lane, send } of sends) {
    const { topic, topicId, partition } = lane.target
    let entry = topics.get(topicId)
    if (!entry) {
      entry = { topic, topicId, partitions: [] }
      topics.set(topicId, entry)
    }
    entry.partitions.push({ partition, records: send.batch.bytes })
  }
  return [...topics.values()]
}
