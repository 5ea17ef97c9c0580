import { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import { describeConfigsRequest } from '../kafka/requests/describe-configs.js'
import type { Logger } from '../logger.js'
import { initLinkProducer } from '../lineage/fence.js'
import { LinkRegistry } from '../lineage/link-registry.js'
import { LinkState } from '../lineage/link-state.js'
import { LinkRegistration } from './link-registration.js'
import { assertRegistered } from './lost-registry.js'
import { type Forward, Provenance } from './provenance.js'

/** The transactional id of a link expires on the broker after 7 idle days; a daily renewal keeps its producer id. */
const RENEWAL_MS = 24 * 60 * 60 * 1000
const DEFAULT_PRODUCER_ID_EXPIRATION_MS = 24 * 60 * 60 * 1000

export interface LinkSession {
  state: LinkState
  registry: LinkRegistry
  producerId: bigint
  producerIdExpirationMs: number
  /** Who wrote which batch on the source. */
  provenance: Provenance
  /** Whether the start option counts for this source partition: it was there when the link was created. */
  existedAtCreation(topicId: string, partition: number): boolean
  /** Tells readers of the target that these producer ids are the link's; before their first data. */
  registerOwn(producerIds: readonly bigint[]): Promise<void>
}

interface LinkEnds {
  source: ClusterClient
  target: ClusterClient
  link: string
  logger: Logger
  forward: Forward
  /** Something that the user should know, and can change. */
  warn?: ((message: string) => void) | undefined
}

/** The link's session, opened with the first lane: while there is nothing to copy, nothing is written. */
export class LinkBinding {
  readonly #ends: LinkEnds
  readonly #provenance: Provenance
  #session: (LinkSession & { registration: LinkRegistration }) | undefined

  constructor(ends: LinkEnds) {
    this.#ends = ends
    this.#provenance = new Provenance(ends)
  }

  /**
   * Only reads.
   *
   * @throws TwinlogError TWINLOG_INVALID_STATE when the link belongs to another source cluster; TWINLOG_INVALID_OPTION when records
   *   would travel in a circle; TWINLOG_STATE_INVALID when links wrote to the source and nothing says what
   */
  async check(): Promise<void> {
    await refuseForeignLink(this.#ends)
    await assertRegistered(this.#ends.source, this.#provenance, this.#ends.logger)
    await this.#provenance.carries()
  }

  /** One caller at a time: discovery. */
  async open(): Promise<void> {
    this.#session ??= await openLinkSession(this.#ends, this.#provenance)
  }

  /**
   * Looks whether other links have begun to bring more to the source, and passes on what may come through this one. For every
   * round of discovery.
   *
   * @throws TwinlogError TWINLOG_INVALID_OPTION when records would travel in a circle: no lane may go on then
   */
  async review(): Promise<void> {
    await this.#session?.registration.carry(await this.#provenance.carries())
  }

  /**
   * The link's transactional id has another producer id now: it expired, or its epochs are used up. Written down and made known
   * before its first data.
   */
  async adopt(producerId: bigint): Promise<void> {
    const session = this.#session
    if (!session || session.producerId === producerId) return
    await session.registration.register([producerId])
    await session.state.writeProducer({ producerId, renewedAtMs: Date.now() })
    session.producerId = producerId
  }

  /** Looks again how long the target remembers a producer. True when that has changed. */
  async refreshExpiration(): Promise<boolean> {
    const session = this.#session
    if (!session) return false
    const before = session.producerIdExpirationMs
    // Unreadable now says nothing: what was read before still holds.
    session.producerIdExpirationMs = (await producerIdExpiration(this.#ends.target)) ?? before
    return session.producerIdExpirationMs !== before
  }

  get opened(): LinkSession | undefined {
    return this.#session
  }

  get session(): LinkSession {
    if (this.#session) return this.#session
    throw new TwinlogError('TWINLOG_INTERNAL', `link ${this.#ends.link} is used before it was opened`)
  }
}

/**
 * Binds the link to both clusters and takes its producer id: written to the state topic and registered on the target before
 * the first batch. Another source cluster under the same alias is refused before anything is written.
 */
async function openLinkSession(o: LinkEnds, provenance: Provenance) {
  await refuseForeignLink(o)
  const carries = await provenance.carries()
  const registry = new LinkRegistry(o.target)
  // Before the state topic: who finds that one without the registry knows that something was lost.
  await registry.ensure()
  const state = await LinkState.open({ cluster: o.target, link: o.link, logger: o.logger, create: true })
  if (!state)
    throw new TwinlogError(
      'TWINLOG_INTERNAL',
      `the state topic of link ${o.link} is missing directly after it was created`
    )
  await decideStart(o.source, state)
  const entry = await state.decideLink({
    link: o.link,
    sourceAlias: o.source.alias,
    targetAlias: o.target.alias,
    sourceClusterId: o.source.clusterId,
    targetClusterId: o.target.clusterId
  })
  if (entry.sourceClusterId !== o.source.clusterId) throw boundElsewhere(o.link, entry.sourceClusterId, o.source)
  await state.refresh()
  const producerId = await currentProducerId(o.target, state)
  const registration = new LinkRegistration(registry, {
    link: o.link,
    sourceAlias: o.source.alias,
    sourceClusterId: o.source.clusterId,
    targetClusterId: o.target.clusterId,
    forward: o.forward
  })
  await registration.carry(carries)
  await registration.register([producerId])
  const partitionsAtCreation = state.startEntry && new Map(Object.entries(state.startEntry.topics))
  return {
    state,
    registry,
    registration,
    producerId,
    producerIdExpirationMs: (await producerIdExpiration(o.target)) ?? assumedExpiration(o),
    provenance,
    existedAtCreation: (topicId: string, partition: number) =>
      partitionsAtCreation === undefined || partition < (partitionsAtCreation.get(topicId) ?? 0),
    registerOwn: (producerIds: readonly bigint[]) => registration.register(producerIds)
  }
}

/**
 * What is on the source when the link is created. Written ahead of the link's entry: a link without it was created by a version
 * that knew no start option, and everything counts as existing.
 */
async function decideStart(source: ClusterClient, state: LinkState): Promise<void> {
  await state.refresh()
  if (state.linkEntry || state.startEntry) return
  const { topics } = await source.metadata()
  const existing = [...topics.values()].filter(topic => topic.errorCode === 0)
  await state.decideStart({
    topics: Object.fromEntries(existing.map(topic => [topic.topicId, topic.partitions.length]))
  })
}

/** Renews the transactional id when the last renewal is a day old; one process does it for all. */
export async function renewProducerId(target: ClusterClient, state: LinkState): Promise<bigint> {
  await state.refresh()
  return currentProducerId(target, state)
}

async function currentProducerId(target: ClusterClient, state: LinkState): Promise<bigint> {
  const known = state.producer
  if (known && Date.now() - known.renewedAtMs < RENEWAL_MS) return known.producerId
  const identity = await initLinkProducer(target, state.link)
  return (await state.writeProducer({ producerId: identity.producerId, renewedAtMs: Date.now() })).producerId
}

async function refuseForeignLink(o: LinkEnds): Promise<void> {
  const existing = await LinkState.open({ cluster: o.target, link: o.link, logger: o.logger, create: false })
  if (!existing) return
  await existing.refresh()
  const entry = existing.linkEntry
  if (entry && entry.sourceClusterId !== o.source.clusterId)
    throw boundElsewhere(o.link, entry.sourceClusterId, o.source)
}

function boundElsewhere(link: string, boundTo: string, source: ClusterClient): TwinlogError {
  return new TwinlogError(
    'TWINLOG_INVALID_STATE',
    `link ${link} is bound to source cluster ${boundTo}, but ${source.alias} is cluster ${source.clusterId}: use another link name for another source cluster`,
    { cluster: source.alias }
  )
}

/** Undefined: it cannot be read. */
async function producerIdExpiration(target: ClusterClient): Promise<number | undefined> {
  const { brokers } = await target.metadata({ topics: [] })
  const name = String([...brokers.keys()][0] ?? 0)
  const keys = ['producer.id.expiration.ms']
  const answer = await target.send(
    { node: Number(name) },
    describeConfigsRequest({ resources: [{ type: 'broker', name, keys }] })
  )
  const value = answer.resources[0]?.configs.find(config => config.name === keys[0])?.value
  return value ? Number(value) : undefined
}

function assumedExpiration({ target, warn }: LinkEnds): number {
  warn?.(
    `cannot read producer.id.expiration.ms of ${target.alias}: grant DescribeConfigs on the cluster there. Kafka's default of 24 h is assumed; ` +
      'where it is shorter, old records are not protected against a second mirror process'
  )
  return DEFAULT_PRODUCER_ID_EXPIRATION_MS
}
