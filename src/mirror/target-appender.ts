import { TwinlogError, toTwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import type { BrokerConnection } from '../kafka/connection.js'
import { type ProduceParams, produceRequest } from '../kafka/requests/produce.js'
import type { Logger } from '../logger.js'
import { watchLeaders } from '../lineage/leader-watch.js'
import type { Lane } from './lane.js'
import type { Send } from './lane-buffer.js'

const REQUEST_BYTES = 8 << 20
/** Produce requests on one connection that have not been answered. A lane has at most five batches among them. */
const REQUESTS_IN_FLIGHT = 5
/** What replicas that are slower than this do is waited for by the recovery, which knows what was appended. */
const PRODUCE_TIMEOUT_MS = 5_000
const RETRY_MS = 100
const ANSWER_GRACE_MS = 3_000
const LONGEST_ANSWER_MS = 60_000
/** Of a link that is not dead. */
const SLOWEST_BYTES_PER_MS = 500

/**
 * Appends for lanes whose target leader is one broker, over one connection. Lanes stay on their connection, so that their
 * batches arrive in order; each request takes at most one batch of each lane (a broker's rule).
 */
export class TargetAppender {
  readonly nodeId: number
  readonly lanes = new Set<Lane>()
  readonly #cluster: ClusterClient
  readonly #logger: Logger
  #connection: BrokerConnection | undefined
  #connecting: Promise<void> | undefined
  #inFlight = 0
  #bytesInFlight = 0
  #scheduled = false
  #stopped = false
  #rotation = 0

  constructor(o: { nodeId: number; cluster: ClusterClient; logger: Logger }) {
    this.nodeId = o.nodeId
    this.#cluster = o.cluster
    this.#logger = o.logger
  }

  /** Something may be ready: gathered a moment later, so that all lanes that became ready together share a request. */
  kick(): void {
    if (this.#scheduled || this.#stopped) return
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
    while (!this.#stopped && this.#inFlight < REQUESTS_IN_FLIGHT && this.#hasWork()) {
      const connection = this.#connection
      if (!connection || connection.closed) {
        this.#connect()
        return
      }
      const sends = this.#gather()
      if (sends.length === 0) return
      void this.#send(connection, sends)
    }
  }

  #connect(): void {
    if (this.#connecting) return
    const stopWatch = watchLeaders({
      cluster: this.#cluster,
      nodeId: this.nodeId,
      partitions: [...this.lanes].map(lane => lane.target),
      moved: () => this.#giveUp(this.#silent())
    })
    this.#connecting = this.#cluster.openConnection(this.nodeId).then(
      connection => {
        stopWatch()
        this.#connecting = undefined
        if (this.#stopped) return connection.destroy()
        this.#connection = connection
        for (const lane of this.lanes) lane.connectionChanged()
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
    for (const lane of [...this.lanes]) if (lane.settled) lane.unreachable(error)
  }

  #hasWork(): boolean {
    for (const lane of this.lanes) if (lane.peek()) return true
    return false
  }

  #gather(): { lane: Lane; send: Send }[] {
    const lanes = [...this.lanes]
    const sends: { lane: Lane; send: Send }[] = []
    let bytes = 0
    for (let index = 0; index < lanes.length && bytes < REQUEST_BYTES; index++) {
      const lane = lanes[(index + this.#rotation) % lanes.length] as Lane
      const next = lane.peek()
      if (!next) continue
      bytes += next.batch.bytes.length
      sends.push({ lane, send: lane.take() })
    }
    this.#rotation = lanes.length === 0 ? 0 : (this.#rotation + 1) % lanes.length
    return sends
  }

  #silent(): TwinlogError {
    const message = `target broker ${this.nodeId} does not answer and no longer leads all lanes that wait for it`
    return new TwinlogError('TWINLOG_UNREACHABLE', message, { cluster: this.#cluster.alias, retriable: true })
  }

  async #send(connection: BrokerConnection, sends: { lane: Lane; send: Send }[]): Promise<void> {
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
      const request = produceRequest({ acks: -1, timeoutMs: PRODUCE_TIMEOUT_MS, topics: topicsOf(sends) })
      const answer = await connection.send(request, { timeoutMs: answerTimeoutMs(this.#bytesInFlight) })
      const results = new Map(
        answer.partitions.map(result => [`${result.topicId}/${result.topic}/${result.partition}`, result])
      )
      for (const { lane, send } of sends) {
        const { topic, topicId, partition } = lane.target
        const result = results.get(`${topicId}/${topic}/${partition}`)
        if (result) lane.answered(send, result)
        else
          lane.unanswered(
            send,
            new TwinlogError('TWINLOG_PROTOCOL', `the broker left ${topic}-${partition} out of its answer`, {
              retriable: true
            })
          )
      }
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
}

/** A dead link must be noticed soon, a slow one that carries megabytes must not be taken for dead. */
function answerTimeoutMs(bytesInFlight: number): number {
  return Math.min(LONGEST_ANSWER_MS, PRODUCE_TIMEOUT_MS + ANSWER_GRACE_MS + bytesInFlight / SLOWEST_BYTES_PER_MS)
}

function topicsOf(sends: { lane: Lane; send: Send }[]): ProduceParams['topics'] {
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
