import { setTimeout as sleep } from 'node:timers/promises'
import { type TwinlogError, toTwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import type { BrokerConnection } from '../kafka/connection.js'
import { FramePool } from '../kafka/frame-pool.js'
import { fetchRequest, type FetchParams } from '../kafka/requests/fetch.js'
import type { Logger } from '../logger.js'
import { watchLeaders } from '../lineage/leader-watch.js'
import { loadCodec, isCodecLoaded } from '../records/compression.js'
import { neededCodecs } from '../records/plan.js'
import type { Segment } from '../records/types.js'
import type { Lane } from './lane.js'

const RESPONSE_BYTES = 8 << 20
const PARTITION_BYTES = 1 << 20
/** Long poll while every lane takes part; short while one of them waits for room, so that it is asked for again at once. */
const POLL_MS = 500
const BUSY_POLL_MS = 10
const IDLE_MS = 5
const RETRY_MS = 100
const ERROR_PAUSE_MS = 50
/** A broker that is this late with its answer may have lost its lanes to another one. */
const SILENCE_MS = 1_000

/** Fetches for all lanes whose source leader is one broker, over a connection of its own. */
export class SourceFetcher {
  readonly nodeId: number
  readonly lanes = new Set<Lane>()
  readonly #cluster: ClusterClient
  readonly #logger: Logger
  readonly #onLost: (error: unknown) => void
  readonly #memory: { full(): boolean }
  readonly #isWhole: (lane: Lane) => Promise<boolean>
  readonly #frames = new FramePool()
  #connection: BrokerConnection | undefined
  #stopped = false
  #rotation = 0
  #wake: (() => void) | undefined
  #loop: Promise<void> | undefined

  constructor(o: {
    nodeId: number
    cluster: ClusterClient
    logger: Logger
    /** All lanes together hold as much as they may. */
    memory: { full(): boolean }
    /** The log has holes that no transaction explains: false when compaction made them, and the lane has been told. */
    isWhole: (lane: Lane) => Promise<boolean>
    /** The broker does not answer: leaders may have moved. */
    onLost: (error: unknown) => void
  }) {
    this.nodeId = o.nodeId
    this.#cluster = o.cluster
    this.#logger = o.logger
    this.#memory = o.memory
    this.#isWhole = o.isWhole
    this.#onLost = o.onLost
  }

  start(): void {
    this.#loop ??= this.#run()
  }

  /** A lane has room again or was added. */
  wake(): void {
    this.#wake?.()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#connection?.destroy()
    this.wake()
    await this.#loop
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const lanes = this.#memory.full() ? [] : this.#lanesInTurn()
      if (lanes.length === 0) {
        await this.#idle()
        continue
      }
      try {
        this.#connection = await this.#connected()
        await this.#fetch(this.#connection, lanes)
      } catch (error) {
        if (this.#stopped) return
        this.#logger.info({ error, nodeId: this.nodeId }, 'fetching from a source broker failed, trying again')
        this.#connection?.destroy(error as TwinlogError)
        this.#connection = undefined
        this.#onLost(error)
        await sleep(RETRY_MS)
      }
    }
  }

  async #fetch(connection: BrokerConnection, lanes: Lane[]): Promise<void> {
    const everyLane = lanes.length === [...this.lanes].filter(lane => lane.active).length
    const request = fetchRequest({
      maxWaitMs: everyLane ? POLL_MS : BUSY_POLL_MS,
      minBytes: 1,
      maxBytes: RESPONSE_BYTES,
      isolation: 'read_committed',
      topics: topicsOf(lanes)
    })
    const asked = new Map(
      lanes.map(lane => [`${lane.source.topicId}/${lane.source.partition}`, { lane, position: lane.position }])
    )
    const stopWatch = watchLeaders({
      cluster: this.#cluster,
      nodeId: this.nodeId,
      partitions: lanes.map(lane => lane.source),
      moved: () => connection.destroy(),
      silenceMs: POLL_MS + SILENCE_MS
    })
    const answer = await connection.send(request, { timeoutMs: POLL_MS + 30_000 }).finally(stopWatch)
    const [filled] = answer.partitions.filter(result => result.records.length > 0)
    const frame = filled && this.#frames.leaseOf(filled.records)
    for (const result of answer.partitions) {
      const question = asked.get(`${result.topicId}/${result.partition}`)
      if (!question) continue
      const { lane, position } = question
      try {
        const segments = lane.read(result, position)
        if (!segments) continue
        if (hasHoles(segments) && !(await this.#isWhole(lane))) continue
        for (const codec of neededCodecs(segments, lane.limits)) if (!isCodecLoaded(codec)) await loadCodec(codec)
        lane.plan(segments, frame)
      } catch (error) {
        // What one partition holds is its own trouble: the others of this answer go on.
        lane.fail(toTwinlogError(error, 'TWINLOG_INTERNAL', `reading lane ${lane.key} failed`, lane.source))
      }
    }
    frame?.release()
    // An error is answered at once, however often one asks: give the new leader time.
    if (answer.partitions.some(result => result.errorCode !== 0)) await sleep(ERROR_PAUSE_MS)
  }

  /** Another lane comes first each time: when the answer is full, nobody starves. */
  #lanesInTurn(): Lane[] {
    const lanes = [...this.lanes].filter(lane => lane.wantsFetch)
    this.#rotation = lanes.length === 0 ? 0 : (this.#rotation + 1) % lanes.length
    return [...lanes.slice(this.#rotation), ...lanes.slice(0, this.#rotation)]
  }

  async #connected(): Promise<BrokerConnection> {
    if (this.#connection && !this.#connection.closed) return this.#connection
    return this.#cluster.openConnection(this.nodeId, { frames: this.#frames })
  }

  async #idle(): Promise<void> {
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, this.lanes.size === 0 ? POLL_MS : IDLE_MS)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.#wake = undefined
  }
}

function hasHoles(segments: Segment[]): boolean {
  return segments.some(segment => segment.kind === 'gap' && (segment.reason === 'hole' || segment.reason === 'empty'))
}

function topicsOf(lanes: Lane[]): FetchParams['topics'] {
  const topics = new Map<string, FetchParams['topics'][number]>()
  for (const lane of lanes) {
    const { topic, topicId, partition } = lane.source
    let entry = topics.get(topicId)
    if (!entry) {
      entry = { topic, topicId, partitions: [] }
      topics.set(topicId, entry)
    }
    entry.partitions.push({
      partition,
      fetchOffset: lane.position,
      lastFetchedEpoch: lane.leaderEpoch,
      maxBytes: PARTITION_BYTES
    })
  }
  return [...topics.values()]
}
