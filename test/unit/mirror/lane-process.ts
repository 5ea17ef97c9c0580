import { TwinlogError } from '../../../src/errors.js'
import { linkTransactionalId } from '../../../src/lineage/fence.js'
import { LinkState, stateTopicName } from '../../../src/lineage/link-state.js'
import type { Logger } from '../../../src/logger.js'
import type { Lane } from '../../../src/mirror/lane.js'
import { LaneManager, type LaneManagerOptions } from '../../../src/mirror/lane-manager.js'
import type { LaneSpec } from '../../../src/mirror/lane-types.js'
import type { LinkBinding, LinkSession } from '../../../src/mirror/link-session.js'
import type { ResolvedMirrorOptions } from '../../../src/mirror/options.js'
import { FakeCluster } from '../lineage/fake-cluster.js'

export const LINK = 'east-west'
export const LINK_ID = 70n
export const SILENT: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined
}

export const OPTIONS: ResolvedMirrorOptions = {
  source: { alias: 'east', brokers: [] },
  target: { alias: 'west', brokers: [] },
  topics: '*',
  link: LINK,
  start: 'earliest',
  isolation: 'read_committed',
  transform: () => undefined,
  transformTimeoutMs: 30_000,
  onRecordError: 'stop-partition',
  onGap: 'stop-partition',
  workers: false,
  limits: { bytesInFlight: 64 << 20, bytesPerSecond: undefined, priorities: {} },
  forward: 'local',
  rackId: undefined,
  createTopics: false,
  syncGroups: false,
  discoveryIntervalMs: 5_000,
  logger: SILENT
}

/** Makes a cluster the target of the link. */
export function prepareTarget(cluster: FakeCluster): void {
  cluster.createTopic(stateTopicName(LINK), 16)
  cluster.createTopic('twinlog.beats.internal')
  cluster.transactions.assign(linkTransactionalId(LINK), LINK_ID, 0)
}

/** The link as a session would have opened it. */
export async function openLink(
  target: FakeCluster,
  o: { producerIdExpirationMs?: number | undefined } = {}
): Promise<{ link: LinkBinding; state: LinkState }> {
  const state = await LinkState.open({ cluster: target.client, link: LINK, logger: SILENT, create: false })
  if (!state) throw new Error('no state topic')
  await state.refresh()
  const session: Partial<LinkSession> = {
    state,
    producerId: LINK_ID,
    producerIdExpirationMs: o.producerIdExpirationMs ?? 86_400_000,
    provenance: { classify: () => 'local' } as unknown as LinkSession['provenance'],
    existedAtCreation: () => true,
    registerOwn: async () => undefined
  }
  return { state, link: { session, opened: session, adopt: async () => undefined } as unknown as LinkBinding }
}

export interface ProcessOptions {
  options?: Partial<ResolvedMirrorOptions> | undefined
  producerIdExpirationMs?: number | undefined
  ownership?: LaneManagerOptions['ownership'] | undefined
  spec?: Partial<LaneSpec> | undefined
  /** Disturbs what the process asks of a cluster. */
  faults?: ((cluster: FakeCluster, role: 'source' | 'target') => void) | undefined
}

/** One process that copies topic `orders`, of one partition. It can be killed, and it can be frozen. */
export class Process {
  readonly source: FakeCluster
  readonly target: FakeCluster
  readonly manager: LaneManager
  readonly state: LinkState
  readonly failures: TwinlogError[] = []
  readonly losses: TwinlogError[] = []
  readonly dropped: bigint[] = []
  dead = false
  #thaw: (() => void) | undefined

  private constructor(
    source: FakeCluster,
    target: FakeCluster,
    opened: Awaited<ReturnType<typeof openLink>>,
    o: ProcessOptions
  ) {
    this.source = source
    this.target = target
    this.state = opened.state
    this.manager = new LaneManager({
      source: source.client,
      target: target.client,
      link: opened.link,
      options: { ...OPTIONS, ...o.options },
      logger: SILENT,
      ownership: o.ownership ?? (() => undefined),
      ensureTarget: () => Promise.reject(new Error('no routes here')),
      isPaused: () => false,
      events: {
        stateChanged: (lane, _from, to) => {
          if (to === 'failed' && lane.error && !this.dead) this.failures.push(lane.error)
        },
        lost: (_lane, error) => void this.losses.push(error),
        dropped: (_lane, record) => void this.dropped.push(record.offset),
        throttled: () => undefined
      }
    })
  }

  static async start(east: FakeCluster, west: FakeCluster, o: ProcessOptions = {}): Promise<Process> {
    const source = new FakeCluster('east', east.topics)
    const target = new FakeCluster('west', west.topics)
    const process = new Process(source, target, await openLink(target, o), o)
    o.faults?.(source, 'source')
    o.faults?.(target, 'target')
    for (const cluster of [source, target]) {
      const { before, after } = cluster
      cluster.before = name => process.#during(() => before(name))
      cluster.after = name => process.#during(() => after(name))
    }
    const spec = (cluster: FakeCluster) => ({
      topic: 'orders',
      topicId: cluster.topics.get('orders')?.id ?? '',
      partition: 0
    })
    const traits = { maxBatchBytes: 1_000, compacted: false, logAppendTime: false }
    void process.manager.set.add([{ source: spec(east), target: spec(west), ...traits, ...o.spec }])
    return process
  }

  get lane(): Lane | undefined {
    return [...this.manager.lanes.values()][0]
  }

  get frozen(): boolean {
    return this.#thaw !== undefined
  }

  /** Nothing it asks is answered any more, nor carried out, until it thaws. What it had asked before is. */
  freeze(ms: number): void {
    if (this.#thaw) return
    this.#frozen = new Promise(resolve => (this.#thaw = resolve))
    setTimeout(() => this.thaw(), ms)
  }

  thaw(): void {
    this.#thaw?.()
    this.#thaw = undefined
    this.#frozen = undefined
  }

  /** Everything it still tries fails at once. */
  kill(): void {
    this.dead = true
    this.thaw()
    void this.manager.stop(0)
  }

  #frozen: Promise<void> | undefined

  async #during(fault: () => Promise<void> | void): Promise<void> {
    await this.#frozen
    this.#assertAlive()
    await fault()
    await this.#frozen
    this.#assertAlive()
  }

  #assertAlive(): void {
    if (this.dead) throw new TwinlogError('TWINLOG_ABORTED', 'this process is dead')
  }
}
