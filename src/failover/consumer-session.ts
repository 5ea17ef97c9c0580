import type { Consumer, ConsumerConfig, ConsumerRunConfig } from 'kafkajs'
import { TwinlogError } from '../errors.js'
import { createKafka } from '../kafka/kafkajs.js'
import type { Logger } from '../logger.js'
import {
  type FailoverEachBatch,
  type FailoverEachMessage,
  guardEachBatch,
  guardEachMessage,
  HandlerGate
} from './consumer-handlers.js'
import { ConsumerWire, type WireBroker, type WireCluster } from './consumer-wire.js'
import type { EventListeners } from './event-listeners.js'
import { HandledPositions, type PartitionPosition } from './handled-positions.js'
import { rootOf } from './kafkajs-errors.js'
import type { ClusterHandle, QuiesceOptions } from './participants.js'
import { quietWhen } from './quiet-logger.js'

export type FailoverConsumerRunConfig = Omit<ConsumerRunConfig, 'eachMessage' | 'eachBatch'> & {
  eachMessage?: FailoverEachMessage | undefined
  eachBatch?: FailoverEachBatch | undefined
}

export type Subscription = Parameters<Consumer['subscribe']>[0]

interface Membership {
  broker: WireBroker
  generationId: number
  memberId: string
}

const DEFAULT_REBALANCE_TIMEOUT_MS = 60_000
const DEFAULT_HEARTBEAT_INTERVAL_MS = 3_000
const COMMIT_PAUSE_MS = 200
/** How long leaving a group may take when its cluster does not answer. */
const LEAVE_TIMEOUT_MS = 5_000

/** One consumer on one cluster, from its connect to the move that ends it. Never used for a second cluster. */
export class ConsumerSession {
  readonly cluster: ClusterHandle
  readonly kafkajs: Consumer
  readonly #config: ConsumerConfig
  readonly #logger: Logger
  readonly #gate = new HandlerGate()
  readonly #destroySockets: () => void
  readonly #wire: ConsumerWire
  #positions = new HandledPositions('handled')
  #membership: Membership | undefined
  /** The generation whose assignment the positions belong to. */
  #assigned: { generationId: number; memberId: string } | undefined
  #retired = false
  #left: Promise<void> | undefined

  constructor(cluster: ClusterHandle, config: ConsumerConfig, logger: Logger, listeners: EventListeners) {
    this.cluster = cluster
    this.#config = config
    this.#logger = logger
    let wireCluster: unknown
    const handle = createKafka(cluster.config, {
      // kafkajs reports the end of its sockets as errors, also when they were ended on purpose.
      logger: quietWhen(() => this.#gate.closed, logger),
      onCluster: instance => {
        wireCluster = instance
      }
    })
    this.#destroySockets = () => handle.destroySockets({ refuseNew: true })
    this.kafkajs = handle.kafka.consumer({
      // A mirror must find the topics of its target as it made them: none may appear because somebody subscribed.
      allowAutoTopicCreation: false,
      ...config,
      retry: { retries: 5, ...config.retry, restartOnFailure: error => this.#mayRestart(error) }
    })
    this.#wire = new ConsumerWire(wireCluster as WireCluster, {
      assertLive: () => this.#assertLive(),
      beforeJoin: (broker, request) => this.#beforeJoin(broker, request.memberId ?? ''),
      joined: (broker, { generationId, memberId }) => {
        this.#membership = { broker, generationId, memberId }
      },
      beforeLeave: () => this.#commitHandled(Date.now() + LEAVE_TIMEOUT_MS),
      fetching: requested => this.#positions.fetching(requested),
      committed: (topic, partition, offset) => this.#positions.committed(topic, partition, offset),
      moved: (topic, partition, offset) => this.#positions.seek(topic, partition, offset)
    })
    this.kafkajs.on('consumer.group_join', ({ payload }) => this.#joined(payload.memberAssignment))
    listeners.follow(this.kafkajs, name => name !== 'consumer.crash' || !this.#gate.closed)
  }

  /** Subscribed topics, a RegExp resolved to the names it matched. */
  get topics(): string[] {
    return [...this.#wire.cluster.targetTopics]
  }

  /** True from the beginning of close(). */
  get closing(): boolean {
    return this.#gate.closed
  }

  positions(): PartitionPosition[] {
    return this.#positions.list()
  }

  async run(config: FailoverConsumerRunConfig): Promise<void> {
    const { eachMessage, eachBatch, ...options } = config
    const positions = new HandledPositions(config.autoCommit === false ? 'committed' : 'handled')
    this.#positions = positions
    const context = {
      cluster: this.cluster,
      positions,
      gate: this.#gate,
      tagOf: (message: object) => this.#wire.tagOf(message)
    }
    const autoResolve = config.eachBatchAutoResolve !== false
    await this.kafkajs.run({
      ...options,
      ...(eachMessage === undefined ? {} : { eachMessage: guardEachMessage(eachMessage, context) }),
      ...(eachBatch === undefined ? {} : { eachBatch: guardEachBatch(eachBatch, autoResolve, context) })
    })
  }

  seek(target: { topic: string; partition: number; offset: string }): void {
    this.kafkajs.seek(target)
    const offset = BigInt(target.offset)
    this.#positions.seek(target.topic, target.partition, offset < 0n ? undefined : offset)
  }

  /** See ConsumerParticipant.quiesce. Never rejects: what could not be done is logged and shows in the positions. */
  async close({ mode, timeoutMs }: QuiesceOptions): Promise<void> {
    this.#gate.close()
    // Sets kafkajs's running flag at once; its own end waits for a fetch of up to maxWaitTimeInMs, which is not waited for.
    const stopping = this.kafkajs.stop().catch(() => undefined)
    if (!(await this.#gate.drained(timeoutMs))) {
      this.#logger.warn(
        { cluster: this.cluster.alias, groupId: this.#config.groupId, handlers: this.#gate.running, timeoutMs },
        'handlers still run after the time-out; their records are not counted as handled and will be handed out again'
      )
    }
    if (mode === 'graceful') await this.#leaveGroup()
    this.#positions.freeze()
    this.#retired = true
    this.#destroySockets()
    // In the background: with its sockets gone kafkajs only has timers to run out, and its last events to send.
    void stopping.then(() => this.kafkajs.disconnect()).catch(() => undefined)
  }

  #assertLive(): void {
    if (this.#retired) throw hasLeft(this.cluster)
  }

  async #mayRestart(error: Error): Promise<boolean> {
    if (this.#retired || this.#gate.closed) return false
    return (await this.#config.retry?.restartOnFailure?.(error)) ?? true
  }

  #joined(assignment: Record<string, number[]>): void {
    if (this.#membership === undefined) return
    const { generationId, memberId } = this.#membership
    const before = this.#assigned
    const consecutive = before?.memberId === memberId && before.generationId + 1 === generationId
    this.#positions.assign(assignment, consecutive)
    this.#assigned = { generationId, memberId }
    this.#gate.set('open')
  }

  /**
   * kafkajs drops handled, uncommitted offsets in some rejoins (kafkajs #28, #751), and its other fetchers go on handing
   * out messages meanwhile. Here nobody starts, who runs ends, and what was handled is committed under the generation
   * that is still valid: the group cannot give a partition away before this member's JoinGroup.
   */
  async #beforeJoin(broker: WireBroker, memberId: string): Promise<void> {
    this.#assertLive()
    const membership = this.#membership
    if (membership === undefined) return
    this.#gate.set('rejoining')
    const rebalanceMs = this.#config.rebalanceTimeout ?? DEFAULT_REBALANCE_TIMEOUT_MS
    const heartbeatMs = this.#config.heartbeatInterval ?? DEFAULT_HEARTBEAT_INTERVAL_MS
    // The rebalance began up to a heartbeat ago, and the JoinGroup must arrive before its time is over.
    const deadline = Date.now() + Math.max(rebalanceMs - 2 * heartbeatMs, rebalanceMs / 2)
    const pulse = setInterval(() => void this.#heartbeat({ ...membership, broker }), heartbeatMs)
    try {
      const drained = await this.#gate.drained(deadline - Date.now())
      if (!drained) this.#warnRepeats('handlers did not end within the rebalance time-out')
      // Without its member id the group has already dropped this member; its commits would be refused.
      if (memberId === membership.memberId) {
        this.#membership = { ...membership, broker }
        await this.#commitHandled(deadline)
      }
    } finally {
      clearInterval(pulse)
      this.#positions.beginRejoin()
    }
    if (this.#gate.closed) throw hasLeft(this.cluster)
  }

  async #heartbeat({ broker, generationId, memberId }: Membership): Promise<void> {
    // Answered with REBALANCE_IN_PROGRESS, and still counted by the coordinator.
    await broker
      .heartbeat({ groupId: this.#config.groupId, groupGenerationId: generationId, memberId })
      .catch(() => undefined)
  }

  async #commitHandled(deadline: number): Promise<void> {
    const membership = this.#membership
    // After a JoinGroup whose sync failed, others may have owned the partitions in between.
    if (membership === undefined || membership.generationId !== this.#assigned?.generationId) return
    for (;;) {
      const uncommitted = this.#positions.uncommitted()
      if (uncommitted.length === 0) return
      try {
        await membership.broker.offsetCommit({
          groupId: this.#config.groupId,
          groupGenerationId: membership.generationId,
          memberId: membership.memberId,
          topics: byTopic(uncommitted)
        })
        return
      } catch (error) {
        const { type, message } = rootOf(error)
        // The coordinator moved: JoinGroup fails in the same way, kafkajs looks for the new one and comes back here.
        if (type === 'NOT_COORDINATOR_FOR_GROUP') return
        const lost = type === 'UNKNOWN_MEMBER_ID' || type === 'ILLEGAL_GENERATION' || type === 'FENCED_INSTANCE_ID'
        if (lost || Date.now() + COMMIT_PAUSE_MS > deadline || this.#retired) {
          this.#warnRepeats(`its handled offsets could not be committed: ${message ?? String(error)}`)
          return
        }
        await new Promise(resolve => setTimeout(resolve, COMMIT_PAUSE_MS))
      }
    }
  }

  /** Commits and leaves on the coordinator's own connection, without waiting for kafkajs's long poll. */
  #leaveGroup(): Promise<void> {
    const membership = this.#membership
    if (membership === undefined) return Promise.resolve()
    this.#left ??= bounded(LEAVE_TIMEOUT_MS, async () => {
      // Commits first, see beforeLeave. kafkajs may have left already.
      await membership.broker
        .leaveGroup({ groupId: this.#config.groupId, memberId: membership.memberId })
        .catch((error: unknown) => {
          this.#logger.debug({ cluster: this.cluster.alias, error: rootOf(error).message }, 'LeaveGroup was refused')
        })
    })
    return this.#left
  }

  #warnRepeats(why: string): void {
    this.#logger.warn(
      { cluster: this.cluster.alias, groupId: this.#config.groupId },
      `records may be handled twice: ${why}`
    )
  }
}

function hasLeft({ alias }: ClusterHandle): TwinlogError {
  return new TwinlogError('TWINLOG_ABORTED', `the consumer has left cluster "${alias}"`, { cluster: alias })
}

async function bounded(timeoutMs: number, work: () => Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>(resolve => {
    timer = setTimeout(resolve, timeoutMs)
  })
  await Promise.race([work(), late]).finally(() => clearTimeout(timer))
}

function byTopic(positions: PartitionPosition[]) {
  const topics = new Map<string, { partition: number; offset: string; metadata: null }[]>()
  for (const { topic, partition, offset } of positions) {
    const partitions = topics.get(topic) ?? []
    partitions.push({ partition, offset: offset.toString(), metadata: null })
    topics.set(topic, partitions)
  }
  return [...topics].map(([topic, partitions]) => ({ topic, partitions }))
}
