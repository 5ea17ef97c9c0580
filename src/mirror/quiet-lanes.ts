import type { ClusterClient } from '../kafka/cluster.js'
import { EARLIEST_TIMESTAMP, LATEST_TIMESTAMP, listOffsetsRequest } from '../kafka/requests/list-offsets.js'
import type { Lane } from './lane.js'
import type { LinkBinding } from './link-session.js'

interface Bounds {
  start: bigint
  end: bigint
}

/**
 * Lanes of one owner that have nothing to copy while their target partition goes on, because other lanes or other programs write there. When
 * retention has taken a lane's last batch as well, nothing on the target tells any more how far the lane had come. Its owner knows: it notes that
 * nothing of the lane follows.
 */
export class QuietLanes {
  readonly #target: ClusterClient
  readonly #link: LinkBinding
  readonly #lanes: ReadonlyMap<string, Lane>

  constructor(o: { target: ClusterClient; link: LinkBinding; lanes: ReadonlyMap<string, Lane> }) {
    this.#target = o.target
    this.#link = o.link
    this.#lanes = o.lanes
  }

  /** Those that retention has overtaken; with `all` every one, before its owner ends. What is noted goes into the next checkpoint. */
  async look(o: { all?: boolean } = {}): Promise<void> {
    const { opened } = this.#link
    const quiet = [...this.#lanes.values()].filter(isQuiet).map(lane => ({ lane, at: placeOf(lane) }))
    if (!opened || quiet.length === 0) return
    const bounds = await this.#bounds(quiet.map(({ lane }) => lane.target))
    const overtaken = quiet.flatMap(({ lane, at }) => {
      const found = bounds.get(keyOf(lane.target))
      return found && (o.all === true ? found.end : found.start) > lane.seenTo ? [{ lane, at, end: found.end }] : []
    })
    if (overtaken.length === 0) return
    // Whoever takes a lane over says so before the first data: while nobody has, none of what stands there is the lane's.
    await opened.state.refresh()
    for (const { lane, at, end } of overtaken) {
      const now = opened.state.lane(lane.key)?.currentEpoch
      const mine = now && now.producerId === lane.epoch?.producerId && now.epoch === lane.epoch.epoch
      if (mine && isQuiet(lane) && placeOf(lane) === at) lane.sawTo(end)
    }
  }

  /** Of those partitions whose leader answers. */
  async #bounds(partitions: readonly Lane['target'][]): Promise<Map<string, Bounds>> {
    const byLeader = new Map<number, Map<string, Set<number>>>()
    for (const { topic, partition } of partitions) {
      const node = this.#target.leaderOf(topic, partition)?.nodeId ?? -1
      if (node < 0) continue
      const topics = byLeader.get(node) ?? new Map<string, Set<number>>()
      byLeader.set(node, topics.set(topic, (topics.get(topic) ?? new Set()).add(partition)))
    }
    const found = new Map<string, Bounds>()
    await Promise.all(
      [...byLeader].map(async ([node, topics]) => {
        const [starts, ends] = await Promise.all([
          this.#offsets(node, topics, EARLIEST_TIMESTAMP),
          this.#offsets(node, topics, LATEST_TIMESTAMP)
        ])
        for (const [key, start] of starts) {
          const end = ends.get(key)
          if (end !== undefined) found.set(key, { start, end })
        }
      })
    )
    return found
  }

  async #offsets(node: number, topics: Map<string, Set<number>>, timestamp: bigint): Promise<Map<string, bigint>> {
    const asked = [...topics].map(([topic, numbers]) => ({
      topic,
      partitions: [...numbers].map(partition => ({ partition, timestamp }))
    }))
    const request = listOffsetsRequest({ isolation: 'read_uncommitted', topics: asked })
    const answer = await this.#target.send({ node }, request)
    return new Map(
      answer.partitions.flatMap(found => (found.errorCode === 0 ? [[keyOf(found), found.offset] as const] : []))
    )
  }
}

/** Nobody else may write to it, and nothing of it is on its way. */
const isQuiet = (lane: Lane): boolean =>
  lane.epoch?.owner !== undefined &&
  (lane.active || lane.state === 'paused') &&
  !lane.needsRecovery &&
  lane.drained &&
  lane.settled

const placeOf = (lane: Lane): string =>
  `${lane.epoch?.producerId}/${lane.epoch?.epoch}/${lane.acknowledgedNext}/${lane.targetEnd}`

const keyOf = ({ topic, partition }: { topic: string; partition: number }): string => `${topic}/${partition}`
