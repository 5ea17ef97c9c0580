import { isDeepStrictEqual } from 'node:util'
import type { ClusterClient } from '../kafka/cluster.js'
import { decodeEntry, encodeEntry } from './state-values.js'
import { TopicLog } from './topic-log.js'

export const LINKS_TOPIC = 'twinlog.links.internal'

/** Whose data a producer id marks. */
export interface LinkOrigin {
  link: string
  sourceAlias: string
  sourceClusterId: string
  targetClusterId: string
  /** Clusters whose records may come through this link, the source's own included; absent: the source's only. */
  carries?: string[] | undefined
  /** What the link takes of what other links have written on its source; absent: `local`. */
  forward?: 'local' | 'all-but-target' | undefined
}

/**
 * Producer id → link, kept on every cluster that a link writes to. It makes the target self-describing: which link wrote a
 * batch, and from which cluster it came, without a header on any record.
 */
export class LinkRegistry {
  readonly #log: TopicLog
  readonly #origins = new Map<string, LinkOrigin>()
  #next = 0n

  constructor(cluster: ClusterClient) {
    this.#log = new TopicLog(cluster, LINKS_TOPIC)
  }

  async ensure(): Promise<void> {
    await this.#log.ensure({ partitions: 1, configs: { 'cleanup.policy': 'compact' } })
  }

  /** Written before the link's first data: data of a link that is not registered could be sent in a circle. */
  async register(producerId: bigint, origin: LinkOrigin): Promise<void> {
    await this.registerMany([producerId], origin)
  }

  /** All in one append, however many: lanes may have ids of their own. What is registered already is not written again. */
  async registerMany(producerIds: readonly bigint[], origin: LinkOrigin): Promise<void> {
    await this.refresh()
    const missing = [...new Set(producerIds)].filter(id => !saysTheSame(this.origin(id), origin))
    if (missing.length === 0) return
    const value = encodeEntry(origin)
    await this.#log.append(
      0,
      missing.map(id => ({ key: Buffer.from(id.toString()), value }))
    )
    await this.refresh()
  }

  /** Reads to the end; a cluster without the topic has no links. */
  async refresh(): Promise<void> {
    if ((await this.#log.partitionCount()) > 0) await this.readToEnd()
  }

  /** The same where the topic is known to exist: what cannot be read is an error, never "no links". */
  async readToEnd(): Promise<void> {
    const { records, next } = await this.#log.readToEnd(0, this.#next)
    this.#next = next
    for (const record of records) {
      const id = record.key?.toString('utf8') ?? ''
      if (record.value) this.#origins.set(id, decodeEntry<LinkOrigin>(record.value, `entry ${id} of ${LINKS_TOPIC}`))
    }
  }

  origin(producerId: bigint | string): LinkOrigin | undefined {
    return this.#origins.get(producerId.toString())
  }

  /** By producer id, as a decimal string. */
  get entries(): IterableIterator<[producerId: string, origin: LinkOrigin]> {
    return this.#origins.entries()
  }

  get links(): IterableIterator<LinkOrigin> {
    return this.#origins.values()
  }
}

function saysTheSame(known: LinkOrigin | undefined, origin: LinkOrigin): boolean {
  return (
    known?.link === origin.link &&
    known.sourceClusterId === origin.sourceClusterId &&
    (known.forward ?? 'local') === (origin.forward ?? 'local') &&
    isDeepStrictEqual(carriedBy(known), carriedBy(origin))
  )
}

const carriedBy = ({ carries, sourceClusterId }: LinkOrigin) =>
  [...new Set([sourceClusterId, ...(carries ?? [])])].sort()
