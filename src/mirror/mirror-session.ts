import { TwinlogError, toTwinlogError } from '../errors.js'
import { ClusterClient } from '../kafka/cluster.js'
import type { Logger } from '../logger.js'
import { GroupSync } from '../offsets/group-sync.js'
import { Discovery } from './discovery.js'
import type { MirrorEvents } from './events.js'
import type { Lane } from './lane.js'
import { LaneManager } from './lane-manager.js'
import { type LaneTopic, shareIdOf } from './lane-types.js'
import { LinkBinding, renewProducerId } from './link-session.js'
import type { ResolvedMirrorOptions } from './options.js'
import { MirrorSchemas } from './schemas/mirror-schemas.js'
import { Sharing } from './sharing.js'

const STOP_TIMEOUT_MS = 10_000
const RENEWAL_CHECK_MS = 60 * 60 * 1000
const EXPIRATION_CHECK_MS = 30_000

export interface SessionHost {
  emit<E extends keyof MirrorEvents>(event: E, payload: Parameters<MirrorEvents[E]>[0]): void
  warn(message: string, error?: TwinlogError): void
  /** Background work went wrong. */
  problem(error: unknown): void
  isPaused(topic: string): boolean
  laneChanged(lane: Lane, from: Lane['state'], to: Lane['state']): void
  /** Something that `status()` counts. */
  count(what: 'lost' | 'dropped' | 'throttled', times?: number): void
}

/** A Mirror between start and stop: both clusters, the link, the lanes, and what looks after them. */
export class MirrorSession {
  readonly source: ClusterClient
  readonly target: ClusterClient
  readonly lanes: LaneManager
  readonly binding: LinkBinding
  readonly #options: ResolvedMirrorOptions
  readonly #logger: Logger
  readonly #host: SessionHost
  readonly #discovery: Discovery
  readonly #sharing: Sharing | undefined
  readonly #schemas: MirrorSchemas | undefined
  readonly #timers: NodeJS.Timeout[] = []
  #groups: GroupSync | undefined
  #rounds: Promise<void> = Promise.resolve()
  #stopping = false

  constructor(o: { options: ResolvedMirrorOptions; logger: Logger; host: SessionHost }) {
    const { options, logger, host } = o
    this.#options = options
    this.#logger = logger
    this.#host = host
    this.source = new ClusterClient(options.source, { logger })
    this.target = new ClusterClient(options.target, { logger })
    const { source, target } = this
    const warn = (message: string) => host.warn(message)
    this.binding = new LinkBinding({ source, target, link: options.link, logger, forward: options.forward, warn })
    this.#schemas =
      options.schemas &&
      new MirrorSchemas({
        options: options.schemas,
        logger,
        events: {
          missing: event => host.emit('schema:missing', event),
          warning: message => host.warn(message)
        }
      })
    this.lanes = new LaneManager({
      source,
      target,
      link: this.binding,
      options,
      logger,
      ownership: (lane, owner) => this.#sharing?.refusal(lane, owner),
      ensureTarget: (topic, from) => this.#ensureTarget(topic, from),
      isPaused: topic => host.isPaused(topic),
      schemas: this.#schemas,
      events: {
        stateChanged: (lane, from, to) => host.laneChanged(lane, from, to),
        lost: (lane, error) => {
          host.count('lost')
          host.emit('lane:gap', { topic: lane.source.topic, partition: lane.source.partition, error })
        },
        dropped: (lane, record, deadLetterTopic) => {
          const { topic, partition } = lane.source
          const { offset, error } = record
          host.count('dropped', Number(record.to - offset))
          if (deadLetterTopic === undefined) host.emit('record:skipped', { topic, partition, offset, error })
          else host.emit('record:dead-letter', { topic, partition, offset, error, deadLetterTopic })
        },
        throttled: (role, nodeId, throttleMs) => {
          host.count('throttled')
          host.emit('throttled', { role, nodeId, throttleMs })
        }
      }
    })
    this.#discovery = new Discovery({
      source,
      target,
      options,
      beforeWriting: () => this.binding.open(),
      events: {
        created: (topic, partitions) => host.emit('topic:created', { topic, partitions }),
        grown: (topic, partitions) => host.emit('topic:grown', { topic, partitions }),
        refused: (topic, error) => host.warn(`topic ${topic} is not copied: ${error.message}`, error),
        missing: error => host.warn(error.message, error),
        configsChanged: (topic, traits) => this.lanes.set.reconfigure(topic, traits)
      }
    })
    this.#sharing =
      options.workers === false
        ? undefined
        : new Sharing({
            target,
            workers: options.workers,
            process: this.lanes.process,
            fallback: this.lanes.beats,
            logger,
            host: {
              assign: ids => void this.lanes.set.assign(ids).catch((error: unknown) => host.problem(error)),
              weightOf: id => this.#weightOf(id),
              warn: error => host.warn(error.message, error)
            }
          })
  }

  async start(signal: AbortSignal | undefined): Promise<void> {
    const { source, target } = this
    await Promise.all([source.connect({ signal }), target.connect({ signal })])
    if (source.clusterId === target.clusterId) {
      throw new TwinlogError(
        'TWINLOG_INVALID_OPTION',
        `mirror.target: ${target.alias} is the same cluster as the source ${source.alias} (cluster id ${source.clusterId}): topics would be copied into themselves`
      )
    }
    await this.binding.check()
    await this.discover()
    this.#keepGroups()
    const every = (ms: number, work: () => Promise<unknown>) =>
      setInterval(() => void work().catch((error: unknown) => this.#host.problem(error)), ms)
    this.#timers.push(
      every(this.#options.discoveryIntervalMs, () => this.discover()),
      every(EXPIRATION_CHECK_MS, async () => {
        if (await this.binding.refreshExpiration()) this.lanes.set.reconfigureAll()
      }),
      every(RENEWAL_CHECK_MS, async () => {
        const { opened } = this.binding
        if (opened) await this.binding.adopt(await renewProducerId(target, opened.state))
      })
    )
  }

  /** One at a time; a call during one waits for a look that began after it. */
  discover(): Promise<void> {
    const run = this.#rounds.catch(() => undefined).then(() => this.#discover())
    this.#rounds = run
    return run
  }

  /** Processes that share the lanes, this one included. */
  get members(): number {
    return this.#sharing?.members ?? 1
  }

  isTransformed(topic: string): boolean {
    return this.#options.transform(topic) !== undefined
  }

  groupFreshness(now: number): { groupId: string; freshnessMs: number }[] {
    return this.#groups?.freshness(now) ?? []
  }

  /** Drains what is in flight, writes the last checkpoints, closes. */
  async stop(): Promise<void> {
    this.#stopping = true
    for (const timer of this.#timers) clearInterval(timer)
    await this.#groups?.stop()
    await this.#rounds.catch(() => undefined)
    await this.#sharing
      ?.leave()
      .catch((error: unknown) => this.#logger.info({ error }, 'the group was not left in order'))
    await this.lanes.stop(STOP_TIMEOUT_MS)
    this.#schemas?.end()
    await Promise.all([this.source.close(), this.target.close()])
  }

  /** After a start that failed. */
  async abandon(): Promise<void> {
    this.#stopping = true
    for (const timer of this.#timers) clearInterval(timer)
    this.lanes.abort()
    await this.lanes.stop(0).catch(() => undefined)
    this.#schemas?.end()
    await this.#sharing?.leave().catch(() => undefined)
    this.source.destroy()
    this.target.destroy()
  }

  async #discover(): Promise<void> {
    if (this.#stopping) return
    await this.#review()
    if (this.#sharing?.pending === true) await this.lanes.set.assign(new Set())
    const round = await this.#discovery.round()
    // Discovery names a lane once: from here to its place among the lanes nothing may fail.
    this.lanes.set.retire(round.gone)
    await this.lanes.set.add(round.lanes)
    const assignment = await this.#sharing?.offer(this.lanes.set.shareIds)
    if (assignment) await this.lanes.set.assign(assignment)
    await this.lanes.revisitStopped()
    this.#keepGroups()
  }

  /** Links that began meanwhile may close a circle: then nothing may be sent on. */
  async #review(): Promise<void> {
    try {
      await this.binding.review()
    } catch (error) {
      const known = toTwinlogError(error, 'TWINLOG_INTERNAL', 'cannot look for circles of links')
      if (known.retriable) throw known
      for (const lane of this.lanes.lanes.values()) lane.fail(known)
      throw known
    }
  }

  async #ensureTarget(topic: string, from: LaneTopic) {
    const like = (await this.source.metadata({ topics: [from.topic] })).topics.get(from.topic)
    if (like?.errorCode === 0) return this.#discovery.ensureTarget(topic, like)
    throw new TwinlogError('TWINLOG_UNKNOWN_TOPIC', `topic ${from.topic} is not on ${this.source.alias} (any more)`, {
      topic: from.topic,
      retriable: true
    })
  }

  #weightOf(shareId: string): number {
    let weight = 0
    for (const lane of this.lanes.lanes.values())
      if (shareIdOf(lane.source) === shareId) weight += lane.status().bytesPerSecond
    return weight
  }

  /** Consumer groups are carried over by one of the processes that share the lanes. */
  #keepGroups(): void {
    if (!this.#options.syncGroups || this.#stopping) return
    const leads = this.#sharing?.leads ?? true
    if (leads && !this.#groups) {
      this.#groups = this.#groupSync()
      this.#groups.start()
    } else if (!leads && this.#groups) {
      void this.#groups.stop()
      this.#groups = undefined
    }
  }

  #groupSync(): GroupSync {
    return new GroupSync({
      source: this.source,
      target: this.target,
      link: this.#options.link,
      logger: this.#logger,
      settle: () => this.lanes.writeCheckpoints(),
      events: {
        synced: event => this.#host.emit('group:synced', event),
        diverged: event => this.#host.emit('group:diverged', event)
      }
    })
  }
}
