import type { ClusterClient } from '../kafka/cluster.js'
import type { Logger } from '../logger.js'
import { TwinlogError } from '../errors.js'
import { chunkKey, gapRecords, type KeyIdentity } from './gap-records.js'
import { LaneState } from './lane-state.js'
import { LinkFacts } from './link-facts.js'
import { formatKey, laneKey, type LaneId, parseKey, type StateKey, statePartition } from './state-keys.js'
import {
  type BirthEntry,
  type CheckpointEntry,
  decodeEntry,
  decodeGapChunk,
  encodeEntry,
  type EpochEntry,
  type EraEntry,
  type GapChunk,
  type GateEntry,
  type GroupEntry,
  type LinkEntry,
  type ProducerEntry,
  type SchemaIdEntry,
  type StartEntry
} from './state-values.js'
import { type LogRecord, TopicLog } from './topic-log.js'

const STATE_PARTITIONS = 16
const SEVEN_DAYS_MS = 7 * 24 * 60 * 60 * 1000

const STATE_TOPIC_CONFIGS = {
  'cleanup.policy': 'compact',
  'compression.type': 'producer',
  // A race for a first-one-wins entry must stay readable in offset order until everybody has seen who won.
  'min.compaction.lag.ms': String(SEVEN_DAYS_MS)
}

export const stateTopicName = (link: string) => `twinlog.${link}.internal`

/**
 * The link's memory on the target cluster, read lazily by partition and folded into one LaneState a lane.
 * Entries that decide something (birth, link, epoch) are written, read back to the end, and the lowest offset wins.
 */
export class LinkState {
  readonly link: string
  readonly #log: TopicLog
  readonly #logger: Logger
  #partitions = 0
  #next: bigint[] = []
  readonly #refreshing: (Promise<void> | undefined)[] = []
  readonly #lanes = new Map<string, LaneState>()
  readonly #groups = new Map<string, GroupEntry>()
  readonly #facts = new LinkFacts()

  private constructor(log: TopicLog, link: string, logger: Logger) {
    this.#log = log
    this.link = link
    this.#logger = logger
  }

  /** Opens the link's state; with `create` the topic is made when it is missing, otherwise undefined says that there is none. */
  static async open(o: {
    cluster: ClusterClient
    link: string
    logger: Logger
    create: boolean
  }): Promise<LinkState | undefined> {
    const log = new TopicLog(o.cluster, stateTopicName(o.link))
    const state = new LinkState(log, o.link, o.logger)
    state.#partitions = o.create
      ? (await log.ensure({ partitions: STATE_PARTITIONS, configs: STATE_TOPIC_CONFIGS })).partitions
      : await log.partitionCount()
    if (state.#partitions === 0) return undefined
    state.#next = Array.from({ length: state.#partitions }, () => 0n)
    return state
  }

  get linkEntry(): LinkEntry | undefined {
    return this.#facts.link
  }

  get producer(): ProducerEntry | undefined {
    return this.#facts.producer
  }

  get startEntry(): StartEntry | undefined {
    return this.#facts.start
  }

  /** Schema ids of the source that were translated, with their ids on the target. */
  get schemaIds(): ReadonlyMap<number, number> {
    return this.#facts.schemaIds
  }

  lane(key: string): LaneState | undefined {
    return this.#lanes.get(key)
  }

  get lanes(): IterableIterator<LaneState> {
    return this.#lanes.values()
  }

  group(groupId: string): GroupEntry | undefined {
    return this.#groups.get(groupId)
  }

  /** Reads every partition to its end. */
  async refresh(): Promise<void> {
    await Promise.all(this.#next.map((_position, partition) => this.#refresh(partition)))
  }

  async refreshLane(key: string): Promise<LaneState | undefined> {
    await this.#refresh(statePartition({ kind: 'birth', lane: key }, this.#partitions))
    return this.#lanes.get(key)
  }

  async refreshGroup(groupId: string): Promise<GroupEntry | undefined> {
    await this.#refresh(statePartition({ kind: 'group', groupId }, this.#partitions))
    return this.#groups.get(groupId)
  }

  /** Writes the link entry unless there is one; answers the one that counts. */
  async decideLink(entry: LinkEntry): Promise<LinkEntry> {
    await this.#refresh(0)
    if (!this.linkEntry) await this.#write({ kind: 'link' }, encodeEntry(entry))
    await this.#refresh(0)
    return this.linkEntry ?? entry
  }

  /** As `decideLink`. */
  async decideStart(entry: StartEntry): Promise<StartEntry> {
    await this.#refresh(0)
    if (!this.startEntry) await this.#write({ kind: 'start' }, encodeEntry(entry))
    await this.#refresh(0)
    return this.startEntry ?? entry
  }

  async writeProducer(entry: ProducerEntry): Promise<ProducerEntry> {
    await this.#write({ kind: 'producer' }, encodeEntry(entry))
    await this.#refresh(0)
    return this.producer ?? entry
  }

  async decideBirth(lane: LaneId, entry: BirthEntry): Promise<LaneState> {
    const key = laneKey(lane)
    if (!(await this.refreshLane(key))?.birth) await this.#write({ kind: 'birth', lane: key }, encodeEntry(entry))
    const state = await this.refreshLane(key)
    if (state?.birth) return state
    throw new TwinlogError(
      'TWINLOG_STATE_INVALID',
      `the birth of lane ${key} was written to ${this.#log.topic} but cannot be read back`
    )
  }

  /** Announces an identity ahead of its first data. False: somebody announced the same identity with another base or owner. */
  async decideEpoch(key: string, entry: EpochEntry): Promise<boolean> {
    await this.#write(
      { kind: 'epoch', lane: key, producerId: entry.producerId, epoch: entry.epoch },
      encodeEntry(entry)
    )
    const known = (await this.refreshLane(key))?.epochOf(entry)
    return known?.base === entry.base && known.owner === entry.owner
  }

  /** One append a state partition, however many lanes moved on. */
  async writeCheckpoints(entries: { lane: string; checkpoint: CheckpointEntry }[]): Promise<void> {
    const byPartition = new Map<number, { key: Buffer; value: Buffer }[]>()
    for (const { lane, checkpoint } of entries) {
      const key: StateKey = { kind: 'checkpoint', lane }
      const partition = statePartition(key, this.#partitions)
      const records = byPartition.get(partition) ?? []
      records.push({ key: Buffer.from(formatKey(key)), value: encodeEntry(checkpoint) })
      byPartition.set(partition, records)
    }
    await Promise.all([...byPartition].map(([partition, records]) => this.#log.append(partition, records)))
  }

  async writeGate(key: string, entry: GateEntry): Promise<void> {
    await this.#write({ kind: 'gate', lane: key }, encodeEntry(entry))
    this.#laneFor(key).setGate(entry)
  }

  /** Gaps that follow each other go into one chunk; where a new history of the source begins, that is an entry of its own. All in one append. */
  async writeGaps(key: string, chunk: GapChunk): Promise<void> {
    if (chunk.gaps.length === 0) return
    const records = gapRecords(key, chunk, this.#keyIdentity(key, chunk))
    await this.#log.append(statePartition({ kind: 'birth', lane: key }, this.#partitions), records)
  }

  /** Replaces small chunks by one: the big one is acknowledged before the small ones go. It holds no era. */
  async mergeGaps(key: string, chunk: GapChunk, replaced: { ordinal: bigint; count: number }[]): Promise<void> {
    await this.writeGaps(key, chunk)
    const first = chunk.gaps[0]?.ordinal
    const identity = this.#keyIdentity(key, chunk)
    const tombstones = replaced
      .filter(small => small.ordinal !== first || small.count !== chunk.gaps.length)
      .map(small => ({ key: chunkKey(key, small, identity), value: null }))
    if (tombstones.length > 0)
      await this.#log.append(statePartition({ kind: 'birth', lane: key }, this.#partitions), tombstones)
  }

  async writeGroup(groupId: string, entry: GroupEntry): Promise<void> {
    await this.#write({ kind: 'group', groupId }, encodeEntry(entry))
    this.#groups.set(groupId, entry)
  }

  /** Reads what other processes have translated since. */
  async refreshSchemaIds(): Promise<void> {
    await this.#refresh(0)
  }

  /** All in one append; they count when this resolves. */
  async writeSchemaIds(entries: readonly SchemaIdEntry[]): Promise<void> {
    const records = entries.map(({ sourceId, targetId }) => ({
      key: Buffer.from(formatKey({ kind: 'schema', sourceId })),
      value: encodeEntry({ sourceId, targetId })
    }))
    await this.#log.append(0, records)
    for (const { sourceId, targetId } of entries) this.#facts.schemaIds.set(sourceId, targetId)
  }

  #keyIdentity(lane: string, { producerId, epoch }: GapChunk): KeyIdentity {
    const shared = epoch === 0 && this.#lanes.get(lane)?.birth?.producerId === producerId
    return shared ? undefined : { producerId, epoch }
  }

  async #write(key: StateKey, value: Buffer): Promise<void> {
    await this.#log.append(statePartition(key, this.#partitions), [{ key: Buffer.from(formatKey(key)), value }])
  }

  /** One reader a partition at a time: two would fold the same records twice. A caller gets a read that began after its call. */
  async #refresh(partition: number): Promise<void> {
    const running = this.#refreshing[partition]
    if (running) await running.catch(() => undefined)
    const next = this.#refreshing[partition]
    if (next && next !== running) return next
    const run = this.#read(partition).finally(() => {
      if (this.#refreshing[partition] === run) this.#refreshing[partition] = undefined
    })
    this.#refreshing[partition] = run
    return run
  }

  async #read(partition: number): Promise<void> {
    const { records, next } = await this.#log.readToEnd(partition, this.#next[partition] ?? 0n)
    const repairs = new Map<string, { key: Buffer; value: Buffer }>()
    for (const record of records) {
      const winner = this.#fold(record)
      if (!record.key) continue
      if (winner) repairs.set(record.key.toString('utf8'), { key: record.key, value: winner })
      else repairs.delete(record.key.toString('utf8'))
    }
    this.#next[partition] = next
    // Compaction keeps the last value of a key, so a loser behind the winner is overwritten by the winner's words.
    if (repairs.size > 0) await this.#log.append(partition, [...repairs.values()])
  }

  /** Folds one record in; answers the winner's value when this record contradicts a decision made before it. */
  #fold(record: LogRecord): Buffer | undefined {
    const text = record.key?.toString('utf8') ?? ''
    const key = parseKey(text)
    const value = record.value
    if (!key || !value) return undefined
    const what = `entry ${text} (offset ${record.offset} of ${this.#log.topic})`
    switch (key.kind) {
      case 'link':
      case 'producer':
      case 'start':
      case 'schema':
        return this.#facts.fold(key, value, what)
      case 'group':
        this.#groups.set(key.groupId, decodeEntry<GroupEntry>(value, what))
        return undefined
      default:
        return this.#foldLane(this.#laneFor(key.lane), key, value, what)
    }
  }

  #foldLane(lane: LaneState, key: StateKey, value: Buffer, what: string): Buffer | undefined {
    switch (key.kind) {
      case 'birth': {
        if (lane.addBirth(decodeEntry<BirthEntry>(value, what)) || !lane.birth) return undefined
        this.#logger.info({ lane: lane.key }, 'two births of one lane: the first one counts')
        return encodeEntry(lane.birth)
      }
      case 'epoch': {
        const entry = decodeEntry<EpochEntry>(value, what)
        if (lane.addEpoch(entry)) return undefined
        const winner = lane.epochOf(entry)
        return winner ? encodeEntry(winner) : undefined
      }
      case 'era': {
        const { producerId, epoch, ordinal, from, length, era } = decodeEntry<EraEntry>(value, what)
        lane.addGaps({ producerId, epoch, gaps: [{ ordinal, from, length, era }] })
        return undefined
      }
      case 'gaps':
        lane.addGaps(decodeGapChunk(value, what))
        return undefined
      case 'checkpoint':
        lane.addCheckpoint(decodeEntry<CheckpointEntry>(value, what))
        return undefined
      case 'gate':
        lane.setGate(decodeEntry<GateEntry>(value, what))
        return undefined
      default:
        return undefined
    }
  }

  #laneFor(key: string): LaneState {
    let lane = this.#lanes.get(key)
    if (!lane) {
      lane = new LaneState(key)
      this.#lanes.set(key, lane)
    }
    return lane
  }
}
