import type { Message, Producer, ProducerBatch, ProducerConfig, RecordMetadata } from 'kafkajs'
import { TwinlogError } from '../errors.js'
import { createKafka } from '../kafka/kafkajs.js'
import type { Logger } from '../logger.js'
import type { AckRange } from '../control/ledger-part.js'
import type { EventListeners } from './event-listeners.js'
import { fromKafkaJs, isRefusal } from './kafkajs-errors.js'
import type { ClusterHandle } from './participants.js'
import type { ExposedMessage } from './producer-in-doubt.js'
import { quietWhen } from './quiet-logger.js'

interface ProduceRequest {
  topicData: { topic: string; partitions: { partition: number; messages: Message[] }[] }[]
}

interface ProduceAnswer {
  topics: { topicName: string; partitions: { partition: number; baseOffset?: string; offset?: string }[] }[]
}

/** The parts of kafkajs 2.2.4's Broker and Cluster that a producer calls. A test pins them. */
interface WireBroker {
  produce(request: ProduceRequest): Promise<ProduceAnswer>
}

interface WireCluster {
  findBroker(o: { nodeId: number | string }): Promise<WireBroker>
}

/** The session ended before a single byte of the send went out: it may go to the next cluster. */
export class NotSent extends Error {}

/** What became of one send() on one cluster. */
export class TrackedSend {
  /** Acknowledged by a broker; they count once the whole send is acknowledged to the caller. */
  readonly acks: AckRange[] = []
  /** Records that at least one attempt may have appended. */
  readonly exposed = new Map<Message, ExposedMessage>()
  readonly #settle: { reject: (error: unknown) => void }
  readonly abandoned: Promise<never>

  constructor() {
    const settle: { reject: (error: unknown) => void } = { reject: () => undefined }
    this.abandoned = new Promise<never>((_resolve, reject) => {
      settle.reject = reject
    })
    this.abandoned.catch(() => undefined)
    this.#settle = settle
  }

  abandon(reason: unknown): void {
    this.#settle.reject(reason)
  }
}

/** One kafkajs producer on one cluster, with its eyes on every Produce request. */
export class ProducerSession {
  readonly cluster: ClusterHandle
  readonly kafkajs: Producer
  readonly #sends = new Set<TrackedSend>()
  readonly #byMessage = new WeakMap<Message, TrackedSend>()
  readonly #wrapped = new WeakSet<WireBroker>()
  readonly #destroySockets: () => void
  #retired = false
  #idle: (() => void)[] = []

  constructor(cluster: ClusterHandle, config: ProducerConfig, logger: Logger, listeners: EventListeners) {
    this.cluster = cluster
    let wireCluster: unknown
    const handle = createKafka(cluster.config, {
      logger: quietWhen(() => this.#retired, logger),
      onCluster: instance => {
        wireCluster = instance
      }
    })
    this.#destroySockets = () => handle.destroySockets({ refuseNew: true })
    // A topic that a mirror makes must have its source's partitions: none may appear because somebody sent to it.
    this.kafkajs = handle.kafka.producer({ allowAutoTopicCreation: false, ...config })
    this.#watch(wireCluster as WireCluster)
    listeners.follow(this.kafkajs)
  }

  get retired(): boolean {
    return this.#retired
  }

  /** Resolves with kafkajs's answer. Rejects with a TwinlogError, or with NotSent. */
  async send(batch: ProducerBatch, send: TrackedSend): Promise<RecordMetadata[]> {
    // Copies, because one message object can be in two sends at once. What is no array, kafkajs refuses.
    const topicMessages = (batch.topicMessages ?? []).map(({ topic, messages }) => ({
      topic,
      messages: Array.isArray(messages) ? messages.map(message => this.#copy(message, send)) : messages
    }))
    this.#sends.add(send)
    try {
      const work = this.kafkajs.sendBatch({ ...batch, topicMessages })
      work.catch(() => undefined)
      return await Promise.race([work, send.abandoned])
    } catch (error) {
      if (send.exposed.size > 0) throw this.#inDoubt(send, error)
      if (this.#retired) throw new NotSent('not sent')
      throw fromKafkaJs(error, `send to ${topicMessages.map(t => t.topic).join(', ')}`, { cluster: this.cluster.alias })
    } finally {
      this.#sends.delete(send)
      if (this.#sends.size === 0) for (const resolve of this.#idle.splice(0)) resolve()
    }
  }

  /** False when sends are unanswered after the time-out. */
  async idle(timeoutMs: number): Promise<boolean> {
    if (this.#sends.size === 0) return true
    let timer: NodeJS.Timeout | undefined
    const idle = new Promise<boolean>(resolve => this.#idle.push(() => resolve(true)))
    const late = new Promise<boolean>(resolve => {
      timer = setTimeout(() => resolve(false), timeoutMs)
    })
    return Promise.race([idle, late]).finally(() => clearTimeout(timer))
  }

  /** Ends everything at once: unanswered sends reject, the sockets are destroyed, nothing goes out any more. */
  retire(): void {
    if (this.#retired) return
    this.#retired = true
    for (const send of this.#sends) send.abandon(new Error('the cluster was left before it answered'))
    this.#destroySockets()
    // In the background: waits for kafkajs's own timers only.
    void this.kafkajs.disconnect().catch(() => undefined)
  }

  #copy(message: Message, send: TrackedSend): Message {
    const copy = { ...message }
    this.#byMessage.set(copy, send)
    return copy
  }

  #inDoubt(send: TrackedSend, cause: unknown): TwinlogError {
    const first = send.exposed.values().next().value as ExposedMessage
    const { alias } = this.cluster
    const message =
      `${send.exposed.size} record(s) to ${first.topic} were sent to cluster "${alias}" and never acknowledged: they may ` +
      'have been appended or not. They are named in doubt in the ledger of a move, and are not sent again'
    return new TwinlogError('TWINLOG_SEND_IN_DOUBT', message, {
      cluster: alias,
      topic: first.topic,
      partition: first.partition,
      cause
    })
  }

  #watch(cluster: WireCluster): void {
    const findBroker = cluster.findBroker.bind(cluster)
    cluster.findBroker = async o => {
      const broker = await findBroker(o)
      if (!this.#wrapped.has(broker)) {
        this.#wrapped.add(broker)
        const produce = broker.produce.bind(broker)
        broker.produce = request => this.#produce(produce, request)
      }
      return broker
    }
  }

  async #produce(produce: WireBroker['produce'], request: ProduceRequest): Promise<ProduceAnswer> {
    if (this.#retired)
      throw new TwinlogError('TWINLOG_ABORTED', `the producer has left cluster "${this.cluster.alias}"`)
    const send = this.#sendOf(request)
    const newlyExposed: Message[] = []
    for (const { topic, partition, message } of messagesOf(request)) {
      // kafkajs asks the partitioner again in each retry; without this, a record without a key can change its partition
      // between two attempts and be skipped by both.
      message.partition = partition
      if (send === undefined || send.exposed.has(message)) continue
      send.exposed.set(message, { topic, partition, key: message.key })
      newlyExposed.push(message)
    }
    try {
      const answer = await produce(request)
      send?.acks.push(...acknowledged(request, answer))
      return answer
    } catch (error) {
      // With several partitions in the request, kafkajs shows the first error only: the others may have been appended.
      if (isRefusal(error) && (partitionsOf(request) === 1 || !isProtocol(error))) {
        for (const message of newlyExposed) send?.exposed.delete(message)
      }
      throw error
    }
  }

  #sendOf(request: ProduceRequest): TrackedSend | undefined {
    const message = request.topicData[0]?.partitions[0]?.messages[0]
    return message === undefined ? undefined : this.#byMessage.get(message)
  }
}

function* messagesOf({ topicData }: ProduceRequest) {
  for (const { topic, partitions } of topicData) {
    for (const { partition, messages } of partitions) {
      for (const message of messages) yield { topic, partition: Number(partition), message }
    }
  }
}

function partitionsOf({ topicData }: ProduceRequest): number {
  return topicData.reduce((count, { partitions }) => count + partitions.length, 0)
}

function isProtocol(error: unknown): boolean {
  return typeof (error as { type?: unknown }).type === 'string'
}

function acknowledged({ topicData }: ProduceRequest, answer: ProduceAnswer): AckRange[] {
  const ranges: AckRange[] = []
  for (const { topicName, partitions } of answer.topics) {
    const sent = topicData.find(({ topic }) => topic === topicName)
    for (const { partition, baseOffset, offset } of partitions) {
      // -1 for a batch of an idempotent producer that the broker had already, and no longer knows where.
      const from = BigInt(baseOffset ?? offset ?? '-1')
      const count = sent?.partitions.find(p => Number(p.partition) === partition)?.messages.length ?? 0
      if (from >= 0n && count > 0) ranges.push({ topic: topicName, partition, from, to: from + BigInt(count) })
    }
  }
  return ranges
}
