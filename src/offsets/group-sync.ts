import { toTwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import { listGroupsRequest } from '../kafka/requests/list-groups.js'
import { LinkState } from '../lineage/link-state.js'
import type { Logger } from '../logger.js'
import { applyPositions } from './group-apply.js'
import { committedOffsets, partitionKey } from './group-offsets.js'
import { LinkTranslator } from './link-translator.js'
import { MovingGroups } from './moving-groups.js'
import { GroupTranslationReport } from './translation.js'

const INTERVAL_MS = 1_000
/** An unchanged group is looked at again now and then: for divergence on the target and the daily re-commit. */
const REVISIT_MS = 60_000
const GROUPS_AT_ONCE = 8
const IN_USE = new Set(['Stable', 'PreparingRebalance', 'CompletingRebalance', 'Assigning', 'Reconciling'])
const GROUP_ID_NOT_FOUND = 69

export interface GroupSyncEvents {
  synced(event: { groupId: string; partitions: number }): void
  diverged(event: { groupId: string; topic: string; partition: number; offset: bigint }): void
}

interface Known {
  fingerprint: string
  at: number
  syncedAt: number
}

/**
 * Carries committed offsets from source groups to groups of the same name on the target, once a second: exactly translated,
 * also backwards when the source was rewound, and never over a commit that somebody else made.
 */
export class GroupSync {
  readonly #source: ClusterClient
  readonly #target: ClusterClient
  readonly #link: string
  readonly #logger: Logger
  readonly #settle: () => Promise<void>
  readonly #events: GroupSyncEvents
  readonly #translator: LinkTranslator
  readonly #moving: MovingGroups
  readonly #known = new Map<string, Known>()
  readonly #reported = new Set<string>()
  #state: LinkState | undefined
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> = Promise.resolve()
  #stopped = false

  constructor(o: {
    source: ClusterClient
    target: ClusterClient
    link: string
    logger: Logger
    /** Writes down how far the lanes are: a group may be committed only up to there. */
    settle: () => Promise<void>
    events: GroupSyncEvents
  }) {
    this.#source = o.source
    this.#target = o.target
    this.#link = o.link
    this.#logger = o.logger
    this.#settle = o.settle
    this.#events = o.events
    this.#translator = new LinkTranslator(o.target, o)
    this.#moving = new MovingGroups(o.target)
  }

  start(): void {
    this.#schedule(0)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#running
  }

  /** How long ago each group was last known to agree; `now` by the monotonic clock. */
  freshness(now: number): { groupId: string; freshnessMs: number }[] {
    return [...this.#known]
      .filter(([, known]) => known.syncedAt > 0)
      .map(([groupId, known]) => ({ groupId, freshnessMs: now - known.syncedAt }))
  }

  #schedule(delayMs: number): void {
    if (this.#stopped) return
    this.#timer = setTimeout(() => {
      this.#running = this.#round()
        .catch((error: unknown) => {
          this.#logger.info(
            { error: toTwinlogError(error, 'TWINLOG_INTERNAL', 'group sync') },
            'a round of group sync failed, the next one follows'
          )
        })
        .then(() => this.#schedule(INTERVAL_MS))
    }, delayMs)
  }

  async #round(): Promise<void> {
    const lanes = new Set((await this.#translator.lanes()).map(partitionKey))
    if (lanes.size === 0) return
    const [groups, targetStates, moving] = await Promise.all([
      listGroups(this.#source),
      listGroups(this.#target),
      this.#moving.groups()
    ])
    const queue = [...groups.keys()].filter(groupId => !groupId.startsWith('__') && !moving.has(groupId))
    await this.#settle()
    const worker = async () => {
      for (let groupId = queue.shift(); groupId !== undefined && !this.#stopped; groupId = queue.shift()) {
        try {
          await this.#sync(groupId, lanes, IN_USE.has(targetStates.get(groupId) ?? ''))
        } catch (error) {
          this.#logger.info({ groupId, error }, 'group not synced this time')
        }
      }
    }
    await Promise.all(Array.from({ length: GROUPS_AT_ONCE }, worker))
  }

  async #sync(groupId: string, lanes: Set<string>, inUse: boolean): Promise<void> {
    const now = performance.now()
    const committed = (await committedOffsets(this.#source, groupId)).filter(position =>
      lanes.has(partitionKey(position))
    )
    if (committed.length === 0) return
    const targets = await this.#translator.translateMany(committed)
    const fingerprint = JSON.stringify([committed, targets, inUse], (_name, value: unknown) =>
      typeof value === 'bigint' ? value.toString() : value
    )
    const known = this.#known.get(groupId)
    if (known?.fingerprint === fingerprint && now - known.at < REVISIT_MS) {
      if (known.syncedAt > 0) known.syncedAt = now
      return
    }
    const translation = new GroupTranslationReport(
      groupId,
      committed.map((source, index) => ({
        source,
        target: targets[index] ?? { kind: 'unknown', reason: 'state-lost' },
        applied: false
      }))
    )
    const state = await this.#linkState()
    if (!state) return
    const metadata = new Map(committed.map(position => [partitionKey(position), position.metadata]))
    // In use on the target: its own commits count there. The source's are still noted, for translateGroup.
    const result = await applyPositions({
      cluster: this.#target,
      state,
      logger: this.#logger,
      translation,
      metadata,
      mode: inUse ? 'note' : 'apply'
    })
    const applied = result.partitions.filter(partition => partition.applied).length
    for (const { refused, target } of result.partitions) {
      if (refused !== 'diverged' || target.kind === 'unknown' || target.kind === 'vector') continue
      const key = `${groupId}/${partitionKey(target)}`
      if (this.#reported.has(key)) continue
      this.#reported.add(key)
      this.#logger.warn(
        { groupId, ...target },
        'group has diverged on the target: somebody else committed there, its offsets are left alone'
      )
      this.#events.diverged({ groupId, topic: target.topic, partition: target.partition, offset: target.offset })
    }
    const complete = !inUse && applied === result.partitions.length
    this.#known.set(groupId, { fingerprint, at: now, syncedAt: complete ? now : (known?.syncedAt ?? 0) })
    if (!inUse && applied > 0) this.#events.synced({ groupId, partitions: applied })
  }

  async #linkState(): Promise<LinkState | undefined> {
    this.#state ??= await LinkState.open({
      cluster: this.#target,
      link: this.#link,
      logger: this.#logger,
      create: false
    })
    return this.#state
  }
}

/** Consumer groups and their states, from every broker. */
async function listGroups(cluster: ClusterClient): Promise<Map<string, string>> {
  const { brokers } = await cluster.metadata({ topics: [] })
  const answers = await Promise.all([...brokers.keys()].map(node => cluster.send({ node }, listGroupsRequest({}))))
  const groups = new Map<string, string>()
  for (const answer of answers) {
    if (answer.errorCode !== 0 && answer.errorCode !== GROUP_ID_NOT_FOUND) continue
    for (const group of answer.groups)
      if (group.protocolType === 'consumer' || group.protocolType === '') groups.set(group.groupId, group.state)
  }
  return groups
}
