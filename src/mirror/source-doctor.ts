import { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import { offsetForLeaderEpochRequest } from '../kafka/requests/offset-for-leader-epoch.js'
import { TargetLog } from '../lineage/target-log.js'
import { topicConfigs } from '../topics/target-topics.js'
import type { Lane } from './lane.js'
import { judgeOutOfRange, unknownEpoch } from './lane-errors.js'
import { assertNotCompacted, assertSameTopic } from './lane-guard.js'
import type { MetadataFeed } from './metadata-feed.js'

const WHOLE_CHECK_MS = 30_000

/** Asks the source what became of a lane's partition: who leads it, whether its log still fits, whether it is whole. */
export class SourceDoctor {
  readonly #source: ClusterClient
  readonly #feed: MetadataFeed
  readonly #placeSource: (lane: Lane) => void
  readonly #wholeAt = new Map<string, number>()

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

  /** Fails a lane whose position is not in the source's log any more, or is in another history of it. */
  async judgeOutOfRange(lane: Lane): Promise<void> {
    await this.replaceSource(lane)
    const position = lane.position
    const bounds = await new TargetLog(this.#source, lane.source.topic, lane.source.partition).bounds()
    const error = judgeOutOfRange(position, bounds, lane.source) ?? (await this.#judgeEpoch(lane))
    if (error && lane.active && lane.position === position) lane.fail(error)
  }

  /** Compaction can be switched on while a lane copies; two owners that read before and after it would plan differently. */
  async isWhole(lane: Lane): Promise<boolean> {
    const { topic } = lane.source
    const checkedAt = this.#wholeAt.get(topic)
    if (checkedAt !== undefined && Date.now() - checkedAt < WHOLE_CHECK_MS) return true
    const configs = await topicConfigs(this.#source, [topic])
    assertNotCompacted(configs.get(topic)?.get('cleanup.policy')?.value ?? 'delete', topic)
    this.#wholeAt.set(topic, Date.now())
    return true
  }

  /** The offset exists, but a source that lost its end and was written to again does not know the epoch it was copied under. */
  async #judgeEpoch(lane: Lane): Promise<TwinlogError | undefined> {
    const { topic, partition } = lane.source
    const { leaderEpoch, position } = lane
    const leader = this.#source.leaderOf(topic, partition)
    if (!leader || leader.nodeId < 0 || leaderEpoch < 0) return undefined
    const topics = [{ topic, partitions: [{ partition, currentLeaderEpoch: -1, leaderEpoch }] }]
    const answer = await this.#source.send({ node: leader.nodeId }, offsetForLeaderEpochRequest({ topics }))
    const result = answer.partitions[0]
    return result?.errorCode === 0 && result.leaderEpoch < 0
      ? unknownEpoch(lane.source, position, leaderEpoch)
      : undefined
  }
}
