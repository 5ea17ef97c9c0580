import type { Consumer, ConsumerConfig, ConsumerEvents, GroupDescription } from 'kafkajs'
import { TwinlogError } from '../errors.js'
import type { ClientHandle } from './client-handle.js'
import { ConsumerSession, type FailoverConsumerRunConfig, type Subscription } from './consumer-session.js'
import { EventListeners } from './event-listeners.js'
import type { PartitionPosition } from './handled-positions.js'
import { fromKafkaJs } from './kafkajs-errors.js'
import type { ClusterHandle, ConsumerParticipant, QuiesceOptions } from './participants.js'

// kafkajs's names, here because only src/kafka loads kafkajs; a test compares them.
const EVENTS: ConsumerEvents = {
  HEARTBEAT: 'consumer.heartbeat',
  COMMIT_OFFSETS: 'consumer.commit_offsets',
  GROUP_JOIN: 'consumer.group_join',
  FETCH_START: 'consumer.fetch_start',
  FETCH: 'consumer.fetch',
  START_BATCH_PROCESS: 'consumer.start_batch_process',
  END_BATCH_PROCESS: 'consumer.end_batch_process',
  CONNECT: 'consumer.connect',
  DISCONNECT: 'consumer.disconnect',
  STOP: 'consumer.stop',
  CRASH: 'consumer.crash',
  REBALANCING: 'consumer.rebalancing',
  RECEIVED_UNSUBSCRIBED_TOPICS: 'consumer.received_unsubscribed_topics',
  REQUEST: 'consumer.network.request',
  REQUEST_TIMEOUT: 'consumer.network.request_timeout',
  REQUEST_QUEUE_SIZE: 'consumer.network.request_queue_size'
}

const STOP_TIMEOUT_MS = 60_000

/**
 * A kafkajs consumer that survives a move to another cluster: same group, subscriptions and handlers. Its messages carry
 * `cluster` (where they were read) and `origin` (where they were first written).
 *
 * Differences to kafkajs: what was handled is committed before each rejoin; `allowAutoTopicCreation` defaults to false;
 * `stop()` ends a long poll instead of waiting for it; errors are {@link TwinlogError}s.
 */
export class FailoverConsumer {
  readonly groupId: string
  readonly events: ConsumerEvents = EVENTS
  /** What a move calls. @internal */
  readonly participant: ConsumerParticipant
  readonly on: Consumer['on']
  readonly #config: ConsumerConfig
  readonly #client: ClientHandle
  readonly #listeners = new EventListeners(Object.values(EVENTS))
  readonly #subscriptions: Subscription[] = []
  #run: FailoverConsumerRunConfig | undefined
  #session: ConsumerSession | undefined
  #connected = false
  #leaveClient: (() => void) | undefined
  /** What the session left behind: a move asks for it after quiesce. */
  #leftTopics: string[] = []
  #leftPositions: PartitionPosition[] = []
  #leftPaused: { topic: string; partitions: number[] }[] = []

  constructor(config: ConsumerConfig, client: ClientHandle) {
    this.groupId = config.groupId
    this.#config = config
    this.#client = client
    this.on = ((name: string, listener: (event: never) => void) => {
      if (this.#listeners.has(name)) return this.#listeners.add(name, listener)
      throw invalidState(`there is no consumer event "${name}"; use consumer.events`)
    }) as Consumer['on']
    const topicsNow = () => this.#session?.topics ?? this.#leftTopics
    this.participant = {
      groupId: config.groupId,
      get topics() {
        return topicsNow()
      },
      quiesce: o => this.#quiesce(o),
      positions: () => this.#session?.positions() ?? this.#leftPositions,
      resume: to => this.#resumeOn(to)
    }
  }

  async connect(): Promise<void> {
    this.#connected = true
    this.#leaveClient ??= this.#client.join({ consumer: this.participant })
    try {
      // A move that began meanwhile ends the attempt, and brings the consumer up itself at its end.
      while (this.#connected && this.#session === undefined) await this.#open(await this.#client.cluster())
    } catch (error) {
      this.#connected = false
      this.#unregister()
      throw error
    }
  }

  async disconnect(): Promise<void> {
    this.#connected = false
    this.#run = undefined
    this.#subscriptions.length = 0
    await this.#quiesce({ mode: 'graceful', timeoutMs: STOP_TIMEOUT_MS })
    this.#unregister()
  }

  async subscribe(subscription: Subscription): Promise<void> {
    this.#assertConnected('subscribe')
    await this.#call('subscribe', async session => session?.kafkajs.subscribe(subscription))
    this.#subscriptions.push(subscription)
  }

  /** Resolves when the group was joined. Between two clusters it resolves at once, and the run begins after the move. */
  async run(config: FailoverConsumerRunConfig = {}): Promise<void> {
    this.#assertConnected('run')
    if (this.#run !== undefined) throw invalidState('the consumer runs already; call stop() first')
    this.#run = config
    await this.#call('run', async session => session?.run(config))
  }

  /** Waits for running handlers, commits what they handled and leaves the group. Can be followed by another `run()`. */
  async stop(): Promise<void> {
    this.#run = undefined
    const cluster = this.#session?.cluster
    await this.#quiesce({ mode: 'graceful', timeoutMs: STOP_TIMEOUT_MS })
    if (this.#connected && cluster !== undefined && this.#client.current() === cluster) await this.#open(cluster)
  }

  async commitOffsets(offsets: Parameters<Consumer['commitOffsets']>[0]): Promise<void> {
    await this.#call('commitOffsets', async () => this.#active('commitOffsets').kafkajs.commitOffsets(offsets))
  }

  seek(target: { topic: string; partition: number; offset: string }): void {
    this.#callNow('seek', () => this.#active('seek').seek(target))
  }

  pause(topics: Parameters<Consumer['pause']>[0]): void {
    this.#callNow('pause', () => this.#active('pause').kafkajs.pause(topics))
  }

  paused(): { topic: string; partitions: number[] }[] {
    return this.#session?.kafkajs.paused() ?? this.#leftPaused
  }

  resume(topics: Parameters<Consumer['resume']>[0]): void {
    this.#callNow('resume', () => this.#active('resume').kafkajs.resume(topics))
  }

  async describeGroup(): Promise<GroupDescription> {
    return this.#call('describeGroup', async () => this.#active('describeGroup').kafkajs.describeGroup())
  }

  async #quiesce(o: QuiesceOptions): Promise<void> {
    const session = this.#session
    if (session === undefined) return
    this.#leftPaused = session.kafkajs.paused()
    await session.close(o)
    this.#leftTopics = session.topics
    this.#leftPositions = session.positions()
    if (this.#session === session) this.#session = undefined
  }

  async #resumeOn(to: ClusterHandle): Promise<void> {
    if (this.#connected && this.#session === undefined) await this.#open(to)
  }

  #unregister(): void {
    this.#leaveClient?.()
    this.#leaveClient = undefined
  }

  async #open(cluster: ClusterHandle): Promise<void> {
    if (this.#session !== undefined) return
    const session = new ConsumerSession(cluster, this.#config, this.#client.logger, this.#listeners)
    this.#session = session
    try {
      await session.kafkajs.connect()
      for (const subscription of this.#subscriptions) await session.kafkajs.subscribe(subscription)
      if (this.#run !== undefined) {
        await session.run(this.#run)
        if (this.#leftPaused.length > 0) session.kafkajs.pause(this.#leftPaused)
      }
    } catch (error) {
      if (session.closing) return
      await session.close({ mode: 'abandon', timeoutMs: 0 })
      if (this.#session === session) this.#session = undefined
      throw fromKafkaJs(error, `consumer of group "${this.groupId}": connect`, { cluster: cluster.alias })
    }
    this.#leftPaused = []
    this.#leftPositions = []
  }

  #assertConnected(method: string): void {
    if (!this.#connected) throw invalidState(`${method}() needs a connected consumer; call connect() first`)
  }

  #active(method: string): ConsumerSession {
    this.#assertConnected(method)
    if (this.#session !== undefined) return this.#session
    throw new TwinlogError(
      'TWINLOG_INVALID_STATE',
      `${method}() is not possible while a move is under way; try again`,
      {
        retriable: true
      }
    )
  }

  async #call<T>(method: string, work: (session: ConsumerSession | undefined) => Promise<T>): Promise<T> {
    try {
      return await work(this.#session)
    } catch (error) {
      throw this.#wrap(method, error)
    }
  }

  #callNow(method: string, work: () => void): void {
    try {
      work()
    } catch (error) {
      throw this.#wrap(method, error)
    }
  }

  #wrap(method: string, error: unknown): TwinlogError {
    const context = { cluster: this.#session?.cluster.alias }
    return fromKafkaJs(error, `consumer of group "${this.groupId}": ${method}`, context)
  }
}

function invalidState(problem: string): TwinlogError {
  return new TwinlogError('TWINLOG_INVALID_STATE', problem)
}
