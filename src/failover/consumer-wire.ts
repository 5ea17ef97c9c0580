import type { FetchTag } from './handled-positions.js'

interface OffsetTopics<T> {
  topic: string
  partitions: ({ partition: number } & T)[]
}

export interface CommitRequest {
  groupId: string
  memberId: string
  groupGenerationId: number
  topics: OffsetTopics<{ offset: unknown; metadata?: string | null }>[]
}

interface JoinRequest {
  groupId: string
  memberId?: string
}

interface FetchRequest {
  topics: OffsetTopics<{ fetchOffset: unknown }>[]
}

interface FetchAnswer {
  responses: { partitions: { messages: { batchContext?: object }[] }[] }[]
}

/** The parts of kafkajs 2.2.4's Broker that a consumer calls. A test pins them. */
export interface WireBroker {
  readonly nodeId: number
  joinGroup(request: JoinRequest): Promise<{ generationId: number; memberId: string }>
  leaveGroup(request: { groupId: string; memberId: string }): Promise<unknown>
  heartbeat(request: { groupId: string; groupGenerationId: number; memberId: string }): Promise<unknown>
  offsetCommit(request: CommitRequest): Promise<unknown>
  fetch(request: FetchRequest): Promise<FetchAnswer>
}

/** The parts of kafkajs 2.2.4's Cluster that are used here. */
export interface WireCluster {
  readonly targetTopics: Set<string>
  findBroker(o: { nodeId: number | string }): Promise<WireBroker>
  fetchTopicsOffset(
    topics: { topic: string; partitions: { partition: number }[]; fromBeginning: boolean }[]
  ): Promise<OffsetTopics<{ offset: string }>[]>
}

export interface ConsumerWireHooks {
  /** Throws once the session has left its cluster: kafkajs's own retries must not bring it back. */
  assertLive(): void
  beforeJoin(broker: WireBroker, request: JoinRequest): Promise<void>
  joined(broker: WireBroker, answer: { generationId: number; memberId: string }): void
  beforeLeave(): Promise<void>
  fetching(requested: { topic: string; partitions: { partition: number; fetchOffset: bigint }[] }[]): FetchTag
  committed(topic: string, partition: number, offset: bigint): void
  /** An offset out of range, or a seek to the start or the end: goes to `offset` now. */
  moved(topic: string, partition: number, offset: bigint): void
}

const LOADING_PAUSE_MS = 200
const LOADING_TIMEOUT_MS = 30_000

/**
 * Puts hooks around the broker calls of one consumer, on the instances that kafkajs made for it and never on a prototype.
 * kafkajs has no other place between "the group rebalances" and JoinGroup.
 */
export class ConsumerWire {
  readonly cluster: WireCluster
  readonly #hooks: ConsumerWireHooks
  readonly #wrapped = new WeakSet<WireBroker>()
  // Per record batch and not per record where possible: a fetch answer can hold 100,000 records.
  readonly #tags = new WeakMap<object, FetchTag>()

  constructor(cluster: WireCluster, hooks: ConsumerWireHooks) {
    this.cluster = cluster
    this.#hooks = hooks
    const findBroker = cluster.findBroker.bind(cluster)
    // findGroupCoordinator answers with a broker of findBroker too.
    cluster.findBroker = async o => {
      hooks.assertLive()
      const broker = await findBroker(o)
      this.#wrap(broker)
      return broker
    }
  }

  tagOf(message: object): FetchTag | undefined {
    return this.#tags.get((message as { batchContext?: object }).batchContext ?? message)
  }

  #wrap(broker: WireBroker): void {
    if (this.#wrapped.has(broker)) return
    this.#wrapped.add(broker)
    const hooks = this.#hooks
    const joinGroup = broker.joinGroup.bind(broker)
    broker.joinGroup = async request => {
      await hooks.beforeJoin(broker, request)
      const answer = await this.#whileLoading(() => joinGroup(request))
      hooks.assertLive()
      hooks.joined(broker, answer)
      return answer
    }
    const leaveGroup = broker.leaveGroup.bind(broker)
    broker.leaveGroup = async request => {
      await hooks.beforeLeave()
      return leaveGroup(request)
    }
    const offsetCommit = broker.offsetCommit.bind(broker)
    broker.offsetCommit = async request => {
      hooks.assertLive()
      const topics = await this.#withoutNegatives(request.topics)
      const answer = await offsetCommit({ ...request, topics })
      for (const { topic, partitions } of topics) {
        for (const { partition, offset } of partitions) hooks.committed(topic, partition, toBigInt(offset))
      }
      return answer
    }
    this.#wrapFetch(broker)
  }

  /**
   * A coordinator that has just come up, for example of a group that this cluster never had, loads its offsets first.
   * kafkajs takes the answer for a crash and begins again after a pause, which a move would pay for.
   */
  async #whileLoading<T>(join: () => Promise<T>): Promise<T> {
    const deadline = Date.now() + LOADING_TIMEOUT_MS
    for (;;) {
      this.#hooks.assertLive()
      try {
        return await join()
      } catch (error) {
        if ((error as { type?: string }).type !== 'GROUP_LOAD_IN_PROGRESS' || Date.now() > deadline) throw error
        await new Promise(resolve => setTimeout(resolve, LOADING_PAUSE_MS))
      }
    }
  }

  #wrapFetch(broker: WireBroker): void {
    const fetch = broker.fetch.bind(broker)
    broker.fetch = async request => {
      this.#hooks.assertLive()
      const tag = this.#hooks.fetching(
        request.topics.map(({ topic, partitions }) => ({
          topic,
          partitions: partitions.map(p => ({ partition: p.partition, fetchOffset: toBigInt(p.fetchOffset) }))
        }))
      )
      const answer = await fetch(request)
      for (const { partitions } of answer.responses) for (const p of partitions) this.#tagAll(p.messages, tag)
      return answer
    }
  }

  #tagAll(messages: { batchContext?: object }[], tag: FetchTag): void {
    let last: object | undefined
    for (const message of messages) {
      const holder = message.batchContext ?? message
      if (holder !== last) this.#tags.set((last = holder), tag)
    }
  }

  /**
   * kafkajs commits -1 or -2 when an offset is out of range, and later reads them as "no offset". Whoever reads the
   * group's offsets meanwhile (a group sync, another client) takes them for positions: the real offset is committed.
   */
  async #withoutNegatives(topics: CommitRequest['topics']): Promise<CommitRequest['topics']> {
    if (!topics.some(t => t.partitions.some(p => toBigInt(p.offset) < 0n))) return topics
    return Promise.all(
      topics.map(async ({ topic, partitions }) => ({
        topic,
        partitions: await Promise.all(
          partitions.map(async entry => {
            const offset = toBigInt(entry.offset)
            if (offset >= 0n) return entry
            const real = await this.#limitOf(topic, entry.partition, offset === -2n)
            this.#hooks.moved(topic, entry.partition, real)
            return { ...entry, offset: real.toString() }
          })
        )
      }))
    )
  }

  async #limitOf(topic: string, partition: number, fromBeginning: boolean): Promise<bigint> {
    const answer = await this.cluster.fetchTopicsOffset([{ topic, partitions: [{ partition }], fromBeginning }])
    const offset = answer[0]?.partitions[0]?.offset
    if (offset === undefined) throw new Error(`no offset was answered for ${topic}-${partition}`)
    return BigInt(offset)
  }
}

/** kafkajs mixes strings, numbers and its Long class. */
function toBigInt(offset: unknown): bigint {
  return BigInt(String(offset))
}
