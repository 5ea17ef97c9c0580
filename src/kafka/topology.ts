import type { BrokerAddress, ClusterMetadata } from './types.js'

export interface Leader {
  nodeId: number
  leaderEpoch: number
}

interface KnownTopic {
  topicId: string
  leaders: Map<number, Leader>
}

/** What metadata answers have said so far about brokers and leaders. Pure memory, no I/O. */
export class Topology {
  #brokers: ReadonlyMap<number, BrokerAddress> = new Map()
  #controllerId = -1
  readonly #topics = new Map<string, KnownTopic>()

  get brokers(): ReadonlyMap<number, BrokerAddress> {
    return this.#brokers
  }

  get controllerId(): number {
    return this.#controllerId
  }

  leaderOf(topic: string, partition: number): Leader | undefined {
    return this.#topics.get(topic)?.leaders.get(partition)
  }

  /** `complete`: the answer is about all topics, so what it does not name is gone. */
  update(metadata: ClusterMetadata, complete: boolean): void {
    // A broker that has lost its controller can answer with nothing; the old addresses are worth more than that.
    if (metadata.brokers.size > 0) this.#brokers = metadata.brokers
    this.#controllerId = metadata.controllerId
    if (complete) {
      for (const name of this.#topics.keys()) if (!metadata.topics.has(name)) this.#topics.delete(name)
    }
    for (const topic of metadata.topics.values()) {
      if (topic.errorCode !== 0) {
        this.#topics.delete(topic.name)
        continue
      }
      const known = this.#topics.get(topic.name)
      const before = known?.topicId === topic.topicId ? known.leaders : undefined
      const leaders = new Map<number, Leader>()
      for (const { partition, leader, leaderEpoch } of topic.partitions) {
        const old = before?.get(partition)
        // Brokers learn of a new leader at different times: an older epoch is yesterday's news.
        if (old !== undefined && old.leaderEpoch > leaderEpoch) leaders.set(partition, old)
        else if (leader >= 0) leaders.set(partition, { nodeId: leader, leaderEpoch })
      }
      this.#topics.set(topic.name, { topicId: topic.topicId, leaders })
    }
  }
}
