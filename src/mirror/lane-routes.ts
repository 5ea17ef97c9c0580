import type { LaneState } from '../lineage/lane-state.js'
import type { LaneSpec, LaneTopic } from './lane-types.js'
import { shareIdOf } from './lane-types.js'

interface RouteTarget {
  topic: string
  partition: number
}

export interface TargetFacts {
  topicId: string
  partitions: number
  maxBatchBytes: number
  logAppendTime: boolean
}

interface RoutesHost {
  /** Finds the topic on the target, or makes it like the source topic. */
  ensureTarget(topic: string, source: LaneTopic): Promise<TargetFacts>
  /** Resolves when the lane's birth is written down. */
  addRouted(spec: LaneSpec): Promise<void>
}

/** Lanes that a transform makes: records of a source partition that go to other target partitions than its own. */
export class LaneRoutes {
  readonly #host: RoutesHost
  readonly #topics = new Map<string, TargetFacts>()
  /** Target partitions by source partition. */
  readonly #lanes = new Map<string, Set<string>>()
  readonly #fallbacks = new Map<string, RouteTarget>()
  readonly #opening = new Map<string, Promise<void>>()

  constructor(host: RoutesHost) {
    this.#host = host
  }

  /** Every lane is told here before its transform runs for the first time. */
  add(spec: LaneSpec): void {
    const id = shareIdOf(spec.source)
    const lanes = this.#lanes.get(id) ?? new Set()
    this.#lanes.set(id, lanes.add(nameOf(spec.target)))
    if (spec.routed !== true) this.#fallbacks.set(id, spec.target)
  }

  forget(source: LaneTopic): void {
    this.#lanes.delete(shareIdOf(source))
    this.#fallbacks.delete(shareIdOf(source))
  }

  fallbackOf(source: LaneTopic): RouteTarget {
    return this.#fallbacks.get(shareIdOf(source)) ?? { topic: source.topic, partition: source.partition }
  }

  partitionsOf(topic: string): number | undefined {
    return this.#topics.get(topic)?.partitions
  }

  async learn(topic: string, source: LaneTopic): Promise<void> {
    this.#topics.set(topic, await this.#host.ensureTarget(topic, source))
  }

  has(source: LaneTopic, target: RouteTarget): boolean {
    return this.#lanes.get(shareIdOf(source))?.has(nameOf(target)) ?? false
  }

  /** Opens the lanes of routes that were seen for the first time; resolves when the beginning of each is written down. */
  async open(from: LaneSpec, routes: readonly (RouteTarget & { firstOffset: bigint })[]): Promise<void> {
    for (const route of routes) {
      if (this.has(from.source, route)) continue
      // Two lanes of one source partition may meet it at the same moment: neither passes before it is open.
      const key = `${shareIdOf(from.source)} ${nameOf(route)}`
      const opening = this.#opening.get(key) ?? this.#open(from, route).finally(() => this.#opening.delete(key))
      this.#opening.set(key, opening)
      await opening
    }
  }

  async #open(from: LaneSpec, { topic, partition, firstOffset }: RouteTarget & { firstOffset: bigint }): Promise<void> {
    if (!this.#topics.has(topic)) await this.learn(topic, from.source)
    const facts = this.#topics.get(topic)
    if (!facts) return
    const spec = this.#spec(from, { topic, partition }, facts, firstOffset)
    await this.#host.addRouted(spec)
    this.add(spec)
  }

  /** Lanes of the same source partition that were opened before this process began. */
  async known(main: LaneSpec, lanes: Iterable<LaneState>): Promise<LaneSpec[]> {
    const specs: LaneSpec[] = []
    for (const { birth } of lanes) {
      if (birth?.sourceTopicId !== main.source.topicId || birth.sourcePartition !== main.source.partition) continue
      const target = { topic: birth.targetTopic, partition: birth.targetPartition }
      if (birth.targetTopic === main.target.topic && birth.targetPartition === main.target.partition) continue
      await this.learn(target.topic, main.source)
      const facts = this.#topics.get(target.topic)
      // Of a target topic that was deleted since: copied anew, from where it had begun.
      if (facts) specs.push(this.#spec(main, target, facts, birth.first))
    }
    return [...new Map(specs.map(spec => [nameOf(spec.target), spec])).values()]
  }

  #spec(from: LaneSpec, target: RouteTarget, facts: TargetFacts, first: bigint): LaneSpec {
    return {
      source: from.source,
      target: { ...target, topicId: facts.topicId },
      maxBatchBytes: facts.maxBatchBytes,
      logAppendTime: facts.logAppendTime,
      compacted: from.compacted,
      routed: true,
      first
    }
  }
}

const nameOf = (target: RouteTarget) => `${target.topic}/${target.partition}`
