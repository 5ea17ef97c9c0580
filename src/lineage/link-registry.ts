import type { ClusterClient } from '../kafka/cluster.js'
import { decodeEntry, encodeEntry } from './state-values.js'
import { TopicLog } from './topic-log.js'

const LINKS_TOPIC = 'twinlog.links.internal'

/** Whose data a producer id marks. */
export interface LinkOrigin {
  link: string
  sourceAlias: string
  sourceClusterId: string
  targetClusterId: string
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
    await this.refresh()
    const known = this.#origins.get(producerId.toString())
    if (known && known.link === origin.link && known.sourceClusterId === origin.sourceClusterId) return
    await this.#log.append(0, [{ key: Buffer.from(producerId.toString()), value: encodeEntry(origin) }])
    await this.refresh()
  }

  /** Reads to the end; a cluster without the topic has no links. */
  async refresh(): Promise<void> {
    if ((await this.#log.partitionCount()) === 0) return
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

  get links(): IterableIterator<LinkOrigin> {
    return this.#origins.values()
  }
}
