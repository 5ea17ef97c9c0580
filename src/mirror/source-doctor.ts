import { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import { offsetForLeaderEpochRequest } from '../kafka/requests/offset-for-leader-epoch.js'
import { TargetLog } from '../lineage/target-log.js'
import { topicConfigs } from '../topics/target-topics.js'
import type { Lane } from './lane.js'
import { judgeOutOfRange, unknownEpoch } from './lane-errors.js'
import { assertSameTopic } from './lane-guard.js'
import type { MetadataFeed } from './metadata-feed.js'

/** A topic's cleanup policy is asked for at most this often while its log has holes. */
const POLICY_CHECK_MS = 5_000

/** Asks the source what became of a lane's partition: who leads it, whether its log still fits, whether it is whole. */
export class SourceDoctor {
  readonly #source: ClusterClient
  readonly #feed: MetadataFeed
  readonly #placeSource: (lane: Lane) => void
  readonly #policies = new Map<string, { at: number; compacted: boolean }>()

  constructor(o: { source: ClusterClient; feed: MetadataFeed; placeSource: (lane: Lane) => void }) {
    this.#source = o.source
    this.#feed = o.feed
    this.#placeSource = o.placeSource
  }

  /** Fetches the lane from whoever leads its source now. */
  async replaceSource(lane: Lane): Promise<void> {
    try {
      const metadata = await this.#feed.refresh(lane.source.topic)
      assertSameTopic(lane.source, metadata.topics.get(lane.source.topic)?.topicId, this.#source.alias)
      this.#placeSource(lane)
    } catch (error) {
      if (!(error instanceof TwinlogError)) return
      if (!error.retriable) lane.fail(error)
      else if (error.code === 'TWINLOG_UNKNOWN_TOPIC') lane.unreachable(error)
    }
  }

  /** The lane's position is not in the source's log any more, or is in another history of it: the lane's policy decides. */
  async judgeOutOfRange(lane: Lane): Promise<void> {
    await this.replaceSource(lane)
    const position = lane.position
    const bounds = await new TargetLog(this.#source, lane.source.topic, lane.source.partition).bounds()
    const outside = judgeOutOfRange(position, bounds, lane.source)
    const history = outside?.code === 'TWINLOG_GAP' ? undefined : await this.#askHistory(lane)
    if (!lane.active || lane.needsRecovery || lane.position !== position) return
    if (outside?.code === 'TWINLOG_GAP') return lane.troubles.sourceBeginsAt(bounds.start, outside)
    const error =
      outside ?? (history?.unknown === true ? unknownEpoch(lane.source, position, lane.leaderEpoch) : undefined)
    if (!error) return
    const ends = [position, bounds.end, ...(history?.end === undefined ? [] : [history.end])]
    lane.troubles.sourceTruncated(
      ends.reduce((a, b) => (a < b ? a : b)),
      error
    )
  }

  /** Whether compaction explains the holes in the lane's source: it can be switched on while a lane is copied. */
  async isCompacted(lane: Lane): Promise<boolean> {
    const { topic } = lane.source
    const known = this.#policies.get(topic)
    if (known && performance.now() - known.at < POLICY_CHECK_MS) return known.compacted
    const configs = await topicConfigs(this.#source, [topic])
    const policy = configs.get(topic)?.get('cleanup.policy')?.value ?? 'delete'
    const compacted = policy.split(',').some(name => name.trim() === 'compact')
    this.#policies.set(topic, { at: performance.now(), compacted })
    return compacted
  }

  /** Where the source's own history of the lane's leader epoch ends; `unknown`: it does not know the epoch. */
  async #askHistory(lane: Lane): Promise<{ unknown: boolean; end: bigint | undefined } | undefined> {
    const { topic, partition } = lane.source
    const { leaderEpoch } = lane
    const leader = this.#source.leaderOf(topic, partition)
    if (!leader || leader.nodeId < 0 || leaderEpoch < 0) return undefined
    const topics = [{ topic, partitions: [{ partition, currentLeaderEpoch: -1, leaderEpoch }] }]
    const answer = await this.#source.send({ node: leader.nodeId }, offsetForLeaderEpochRequest({ topics }))
    const result = answer.partitions[0]
    if (result?.errorCode !== 0) return undefined
    return { unknown: result.leaderEpoch < 0, end: result.endOffset < 0n ? undefined : result.endOffset }
  }
}
