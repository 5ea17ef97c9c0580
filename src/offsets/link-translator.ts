import type { ClusterClient } from '../kafka/cluster.js'
import type { LaneMap, LanePosition } from '../lineage/lane-map.js'
import type { Logger } from '../logger.js'
import { applyPositions } from './group-apply.js'
import { LaneDirectory } from './lane-directory.js'
import { type GroupTranslation, GroupTranslationReport, type Position, type Translation } from './translation.js'

/** Synchronous look-ups on one consistent picture of the link. */
export interface OffsetSnapshot {
  translate(position: Position): Translation
}

/** The translator's work over a connection that somebody else owns. */
export class LinkTranslator {
  readonly #cluster: ClusterClient
  readonly #logger: Logger
  readonly #directory: LaneDirectory

  constructor(cluster: ClusterClient, o: { link: string; logger: Logger }) {
    this.#cluster = cluster
    this.#logger = o.logger
    this.#directory = new LaneDirectory(cluster, o.link, o.logger)
  }

  async translate(position: Position): Promise<Translation> {
    const lookup = await this.#directory.find(position.topic, position.partition, map =>
      settled(map.translate(position.offset))
    )
    if (lookup.kind === 'unknown') return lookup
    if (lookup.map.translate(position.offset) === undefined) await lookup.map.load(position.offset)
    return toTranslation(lookup, lookup.map.translate(position.offset))
  }

  async translateMany(positions: Iterable<Position>): Promise<Translation[]> {
    const list = [...positions]
    const lanes = new Map<string, Position[]>()
    for (const position of list) {
      const key = `${position.topic}/${position.partition}`
      lanes.set(key, [...(lanes.get(key) ?? []), position])
    }
    const answers = new Map<Position, Translation>()
    await Promise.all(
      [...lanes.values()].map(async ofLane => {
        for (const position of ofLane) answers.set(position, await this.translate(position))
      })
    )
    return list.map(position => answers.get(position) ?? { kind: 'unknown', reason: 'state-lost' })
  }

  /** Every lane's map, loaded whole: look-ups need no I/O and do not move while they are used. */
  async snapshot(): Promise<OffsetSnapshot> {
    const state = await this.#directory.state()
    const known = await this.#directory.partitions()
    const lanes = new Map<string, { map: LaneMap; topic: string; partition: number } | Translation>()
    for (const { topic, partition } of known) {
      const lookup = await this.#directory.openFresh(topic, partition)
      if (lookup.kind === 'lane') await lookup.map.loadAll()
      lanes.set(`${topic}/${partition}`, lookup.kind === 'lane' ? lookup : { kind: 'unknown', reason: lookup.reason })
    }
    return {
      translate: ({ topic, partition, offset }) => {
        const lane = lanes.get(`${topic}/${partition}`)
        if (!lane) {
          if (!state) return { kind: 'unknown', reason: 'state-lost' }
          return { kind: 'unknown', reason: known.some(entry => entry.topic === topic) ? 'partition' : 'topic' }
        }
        return 'map' in lane ? toTranslation(lane, lane.map.translate(offset)) : lane
      }
    }
  }

  /** Source partitions that have a lane. */
  lanes(): Promise<{ topic: string; partition: number }[]> {
    return this.#directory.partitions()
  }

  /** Source position up to which everything is on the target or known to be a gap; undefined without a lane. */
  async reached(topic: string, partition: number): Promise<bigint | undefined> {
    const lookup = await this.#directory.find(topic, partition, () => false)
    return lookup.kind === 'lane' ? lookup.map.reached : undefined
  }

  /** Last known source commits of a group (as group sync wrote them down), translated. */
  async translateGroup(groupId: string): Promise<GroupTranslation> {
    const state = await this.#directory.state()
    const entry = await state?.refreshGroup(groupId)
    const sources = (entry?.positions ?? []).map(({ topic, partition, source }) => ({
      topic,
      partition,
      offset: source
    }))
    const targets = await this.translateMany(sources)
    return new GroupTranslationReport(
      groupId,
      sources.map((source, index) => ({
        source,
        target: targets[index] ?? { kind: 'unknown', reason: 'state-lost' },
        applied: false
      }))
    )
  }

  /** Commits the translated positions to the group on the target, unless it is in use or somebody else has committed there. */
  async applyGroup(groupId: string, o: { dryRun?: boolean | undefined } = {}): Promise<GroupTranslation> {
    const translation = await this.translateGroup(groupId)
    const state = await this.#directory.state()
    if (!state || translation.partitions.length === 0) return translation
    return applyPositions({
      cluster: this.#cluster,
      state,
      logger: this.#logger,
      translation,
      mode: o.dryRun === true ? 'dry-run' : 'apply'
    })
  }
}

function settled(position: LanePosition | undefined): boolean {
  return position !== undefined && position.kind !== 'beyond-mirrored'
}

function toTranslation(lane: { topic: string; partition: number }, position: LanePosition | undefined): Translation {
  if (!position) return { kind: 'unknown', reason: 'state-lost' }
  return { ...position, topic: lane.topic, partition: lane.partition }
}
