import type { ClusterClient } from '../kafka/cluster.js'
import { describeProducersRequest } from '../kafka/requests/describe-producers.js'
import type { Logger } from '../logger.js'
import type { Lane } from './lane.js'

const ROUND_MS = 500
/** Lanes that another process owns are looked at this often. */
const STANDBY_MS = 1_000
const HOLDERS_MS = 2_000

/** Looks after lanes that do not copy: tries failed ones again, watches others' lanes, and finds out who holds a source back. */
export class LaneCare {
  readonly #source: ClusterClient
  readonly #lanes: ReadonlyMap<string, Lane>
  readonly #start: (lane: Lane) => void
  readonly #logger: Logger
  readonly #timer: NodeJS.Timeout
  #standbyAt = Number.NEGATIVE_INFINITY
  #holdersAt = Number.NEGATIVE_INFINITY
  #asking = false

  constructor(o: {
    source: ClusterClient
    lanes: ReadonlyMap<string, Lane>
    start: (lane: Lane) => void
    logger: Logger
  }) {
    this.#source = o.source
    this.#lanes = o.lanes
    this.#start = o.start
    this.#logger = o.logger
    this.#timer = setInterval(() => this.#round(), ROUND_MS)
    this.#timer.unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #round(): void {
    const now = performance.now()
    const standby = now - this.#standbyAt >= STANDBY_MS
    if (standby) this.#standbyAt = now
    const held: Lane[] = []
    for (const lane of this.#lanes.values()) {
      if (lane.mayRetry(now) && lane.target.topicId !== '') {
        lane.retry()
        this.#start(lane)
      } else if (standby && lane.standsBy) this.#start(lane)
      else if (lane.needsRenewal(Date.now())) lane.replan()
      else if (lane.heldAt !== undefined) held.push(lane)
    }
    if (held.length > 0 && now - this.#holdersAt >= HOLDERS_MS && !this.#asking) {
      this.#holdersAt = now
      this.#asking = true
      void this.#nameHolders(held).finally(() => {
        this.#asking = false
      })
    }
  }

  /** Which producers keep transactions open: the oldest one of each partition holds its readers back. */
  async #nameHolders(lanes: Lane[]): Promise<void> {
    const byLeader = new Map<number, Lane[]>()
    for (const lane of lanes) {
      const leader = this.#source.leaderOf(lane.source.topic, lane.source.partition)
      if (leader && leader.nodeId >= 0) byLeader.set(leader.nodeId, [...(byLeader.get(leader.nodeId) ?? []), lane])
    }
    await Promise.all([...byLeader].map(([node, ofLeader]) => this.#nameHoldersAt(node, ofLeader)))
  }

  async #nameHoldersAt(node: number, lanes: Lane[]): Promise<void> {
    const names = [...new Set(lanes.map(({ source }) => source.topic))]
    const topics = names.map(topic => ({
      topic,
      partitions: lanes.filter(({ source }) => source.topic === topic).map(({ source }) => source.partition)
    }))
    try {
      const answer = await this.#source.send({ node }, describeProducersRequest({ topics }))
      for (const lane of lanes) {
        const found = answer.partitions.find(
          ({ topic, partition }) => topic === lane.source.topic && partition === lane.source.partition
        )
        const open = (found?.producers ?? []).filter(({ currentTxnStartOffset }) => currentTxnStartOffset >= 0n)
        const [oldest] = open.sort((a, b) => (a.currentTxnStartOffset < b.currentTxnStartOffset ? -1 : 1))
        if (oldest) lane.heldBy({ producerId: oldest.producerId, startOffset: oldest.currentTxnStartOffset })
      }
    } catch (error) {
      // It only explains; the lane goes on by itself when the transaction ends.
      this.#logger.debug({ error, node }, 'cannot ask who keeps transactions open')
    }
  }
}
