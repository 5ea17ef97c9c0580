import type { Producer, ProducerBatch, ProducerConfig, ProducerEvents, ProducerRecord, RecordMetadata } from 'kafkajs'
import { InvalidOptionError, TwinlogError } from '../errors.js'
import { AcknowledgedRanges } from './acknowledged.js'
import type { ClientHandle } from './client-handle.js'
import { EventListeners } from './event-listeners.js'
import { fromKafkaJs } from './kafkajs-errors.js'
import type { ClusterHandle, ProducerParticipant, QuiesceOptions } from './participants.js'
import { InDoubtRecords } from './producer-in-doubt.js'
import { NotSent, ProducerSession, TrackedSend } from './producer-session.js'

export type Durability = 'source' | 'journaled' | 'replicated'

export type FailoverProducerConfig = ProducerConfig & { durability?: Durability | undefined }

// kafkajs's names, here because only src/kafka loads kafkajs; a test compares them.
const EVENTS: ProducerEvents = {
  CONNECT: 'producer.connect',
  DISCONNECT: 'producer.disconnect',
  REQUEST: 'producer.network.request',
  REQUEST_TIMEOUT: 'producer.network.request_timeout',
  REQUEST_QUEUE_SIZE: 'producer.network.request_queue_size'
}

const DISCONNECT_TIMEOUT_MS = 30_000

/**
 * A kafkajs producer that survives a move to another cluster. Sends made during a move wait for its end; sends that were
 * not answered when the old cluster was given up reject with `TWINLOG_SEND_IN_DOUBT` and are never sent again.
 *
 * Differences to kafkajs: `acks: 0` is refused; `allowAutoTopicCreation` defaults to false; no transactions yet; errors
 * are {@link TwinlogError}s.
 */
export class FailoverProducer {
  readonly events: ProducerEvents = EVENTS
  /** What a move calls. @internal */
  readonly participant: ProducerParticipant
  readonly on: Producer['on']
  readonly #config: ProducerConfig
  readonly #client: ClientHandle
  readonly #listeners = new EventListeners(Object.values(EVENTS))
  readonly #topics = new Set<string>()
  readonly #acknowledged = new AcknowledgedRanges()
  readonly #inDoubt = new InDoubtRecords()
  #session: ProducerSession | undefined
  /** The cluster that the ledger's part speaks about. */
  #ledgerOf: string | undefined
  #connected = false
  #held = false
  #waiting: { resolve: (session: ProducerSession) => void; reject: (error: TwinlogError) => void }[] = []
  #leaveClient: (() => void) | undefined

  constructor(config: FailoverProducerConfig, client: ClientHandle) {
    const { durability = 'source', ...kafkajsConfig } = config
    if (durability !== 'source') {
      throw new InvalidOptionError('producer.durability', `'${durability}' is not available yet; use 'source'`)
    }
    if (config.transactionalId !== undefined) {
      throw new InvalidOptionError('producer.transactionalId', 'transactions are not available yet; leave it out')
    }
    this.#config = kafkajsConfig
    this.#client = client
    this.on = ((name: string, listener: (event: never) => void) => {
      if (this.#listeners.has(name)) return this.#listeners.add(name, listener)
      throw new TwinlogError('TWINLOG_INVALID_STATE', `there is no producer event "${name}"; use producer.events`)
    }) as Producer['on']
    const topics = this.#topics
    this.participant = {
      get topics() {
        return [...topics]
      },
      hold: () => {
        this.#held = true
      },
      quiesce: o => this.#quiesce(o),
      ledgerPart: () => ({ acknowledged: this.#acknowledged.list(), inDoubt: this.#inDoubt.list() }),
      replicatedTo: (topic, partition, offset) => this.#acknowledged.dropBelow(topic, partition, offset),
      resume: to => this.#resumeOn(to)
    }
  }

  async connect(): Promise<void> {
    this.#connected = true
    this.#leaveClient ??= this.#client.join({ producer: this.participant })
    try {
      // A move that began meanwhile ends the attempt, and brings the producer up itself at its end.
      while (this.#connected && this.#session === undefined) await this.#open(await this.#client.cluster())
    } catch (error) {
      this.#connected = false
      this.#unregister()
      throw error
    }
  }

  /** Waits for unanswered sends up to 30 s. Sends that a move holds back reject: they were never sent. */
  async disconnect(): Promise<void> {
    this.#connected = false
    for (const { reject } of this.#waiting.splice(0)) {
      reject(new TwinlogError('TWINLOG_ABORTED', 'the producer was disconnected before the record was sent'))
    }
    await this.#quiesce({ mode: 'graceful', timeoutMs: DISCONNECT_TIMEOUT_MS })
    this.#unregister()
  }

  async send({ topic, messages, ...rest }: ProducerRecord): Promise<RecordMetadata[]> {
    return this.sendBatch({ ...rest, topicMessages: [{ topic, messages }] })
  }

  async sendBatch(batch: ProducerBatch): Promise<RecordMetadata[]> {
    if (batch.acks === 0) {
      throw new InvalidOptionError(
        'send.acks',
        '0 is not supported: without answers nothing could be said about a loss'
      )
    }
    for (const { topic } of batch.topicMessages ?? []) if (topic) this.#topics.add(topic)
    for (;;) {
      // Without an await where none is needed: a send that was made before hold() must be seen by quiesce().
      const session = this.#ready() ?? (await this.#nextSession())
      const send = new TrackedSend()
      try {
        const answer = await session.send(batch, send)
        if (session.cluster.alias === this.#ledgerOf) for (const range of send.acks) this.#acknowledged.add(range)
        return answer
      } catch (error) {
        if (error instanceof NotSent) {
          if (this.#connected) continue
          throw notConnected()
        }
        for (const message of send.exposed.values()) this.#inDoubt.add(message)
        throw error
      }
    }
  }

  isIdempotent(): boolean {
    return this.#config.idempotent === true
  }

  /** Not available yet: a transaction cannot span two clusters, and ending one in a move needs its own rules. */
  transaction(): Promise<never> {
    const error = new TwinlogError(
      'TWINLOG_UNSUPPORTED',
      'transactions are not available on a FailoverProducer yet; use a kafkajs producer of your own, which does not move'
    )
    return Promise.reject(error)
  }

  /** The session to send with, `undefined` while a move is under way. */
  #ready(): ProducerSession | undefined {
    if (!this.#connected) throw notConnected()
    return this.#held || this.#session?.retired === true ? undefined : this.#session
  }

  #nextSession(): Promise<ProducerSession> {
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
  }

  async #quiesce({ mode, timeoutMs }: QuiesceOptions): Promise<void> {
    const session = this.#session
    if (session === undefined) return
    this.#held = true
    if (mode === 'graceful' && !(await session.idle(timeoutMs))) {
      const fields = { cluster: session.cluster.alias, timeoutMs }
      this.#client.logger.warn(fields, 'sends are unanswered after the time-out; they reject and count as in doubt')
    }
    session.retire()
    // The rejections of the sends are counted in doubt in microtasks; the ledger is read after this.
    await new Promise(resolve => setImmediate(resolve))
    if (this.#session === session) this.#session = undefined
  }

  async #resumeOn(to: ClusterHandle): Promise<void> {
    if (this.#connected && this.#session === undefined) await this.#open(to)
    this.#release()
  }

  /** The client keeps this producer's part of the ledger; what comes afterwards starts from nothing. */
  #unregister(): void {
    if (this.#leaveClient === undefined) return
    this.#leaveClient()
    this.#leaveClient = undefined
    this.#acknowledged.clear()
    this.#inDoubt.clear()
  }

  async #open(cluster: ClusterHandle): Promise<void> {
    if (this.#session !== undefined) return
    const session = new ProducerSession(cluster, this.#config, this.#client.logger, this.#listeners)
    this.#session = session
    try {
      await session.kafkajs.connect()
    } catch (error) {
      if (session.retired) return
      session.retire()
      if (this.#session === session) this.#session = undefined
      throw fromKafkaJs(error, 'producer: connect', { cluster: cluster.alias })
    }
    // Back on the same cluster after an aborted move, what it acknowledged still is not known to be replicated.
    if (this.#ledgerOf !== cluster.alias) {
      this.#acknowledged.clear()
      this.#inDoubt.clear()
      this.#ledgerOf = cluster.alias
    }
    this.#release()
  }

  #release(): void {
    const session = this.#session
    if (session === undefined || session.retired) return
    this.#held = false
    for (const { resolve } of this.#waiting.splice(0)) resolve(session)
  }
}

function notConnected(): TwinlogError {
  return new TwinlogError('TWINLOG_INVALID_STATE', 'the producer is not connected; call connect() first')
}
