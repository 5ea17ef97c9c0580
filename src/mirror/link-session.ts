import { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import { describeConfigsRequest } from '../kafka/requests/describe-configs.js'
import type { Logger } from '../logger.js'
import { initLinkProducer } from '../lineage/fence.js'
import { LinkRegistry } from '../lineage/link-registry.js'
import { LinkState } from '../lineage/link-state.js'

/** The transactional id of a link expires on the broker after 7 idle days; a daily renewal keeps its producer id. */
const RENEWAL_MS = 24 * 60 * 60 * 1000
const DEFAULT_PRODUCER_ID_EXPIRATION_MS = 24 * 60 * 60 * 1000

export interface LinkSession {
  state: LinkState
  registry: LinkRegistry
  producerId: bigint
  producerIdExpirationMs: number
}

interface LinkEnds {
  source: ClusterClient
  target: ClusterClient
  link: string
  logger: Logger
}

/** The link's session, opened with the first lane: while there is nothing to copy, nothing is written. */
export class LinkBinding {
  readonly #ends: LinkEnds
  #session: LinkSession | undefined

  constructor(ends: LinkEnds) {
    this.#ends = ends
  }

  /** Only reads. @throws TwinlogError TWINLOG_INVALID_STATE when the link belongs to another source cluster */
  async check(): Promise<void> {
    await refuseForeignLink(this.#ends)
  }

  /** One caller at a time: discovery. */
  async open(): Promise<void> {
    this.#session ??= await openLinkSession(this.#ends)
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
async function openLinkSession(o: LinkEnds): Promise<LinkSession> {
  await refuseForeignLink(o)
  const state = await LinkState.open({ cluster: o.target, link: o.link, logger: o.logger, create: true })
  if (!state)
    throw new TwinlogError(
      'TWINLOG_INTERNAL',
      `the state topic of link ${o.link} is missing directly after it was created`
    )
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
  const registry = new LinkRegistry(o.target)
  await registry.ensure()
  await registry.register(producerId, {
    link: o.link,
    sourceAlias: o.source.alias,
    sourceClusterId: o.source.clusterId,
    targetClusterId: o.target.clusterId
  })
  return { state, registry, producerId, producerIdExpirationMs: await producerIdExpiration(o.target) }
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

async function producerIdExpiration(target: ClusterClient): Promise<number> {
  const { brokers } = await target.metadata({ topics: [] })
  const name = String([...brokers.keys()][0] ?? 0)
  const keys = ['producer.id.expiration.ms']
  const answer = await target.send(
    { node: Number(name) },
    describeConfigsRequest({ resources: [{ type: 'broker', name, keys }] })
  )
  const value = answer.resources[0]?.configs.find(config => config.name === keys[0])?.value
  // No right to read broker configs: Kafka's default is the best guess, and a shorter real value shows as a refused lane, not as loss.
  return value ? Number(value) : DEFAULT_PRODUCER_ID_EXPIRATION_MS
}
