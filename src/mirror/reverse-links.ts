import { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import { LinkRegistry } from '../lineage/link-registry.js'
import { LinkState } from '../lineage/link-state.js'
import type { Logger } from '../logger.js'

const FRESH_MS = 2_000

/**
 * Topics that a link from our target writes on our source. Copying them back would send records in a circle for ever, until
 * records are told apart by their origin. Looked at after a lane's birth is written: of two links that start at the same moment
 * at least one sees the other.
 */
export class ReverseLinks {
  readonly #source: ClusterClient
  readonly #target: ClusterClient
  readonly #logger: Logger
  readonly #registry: LinkRegistry
  readonly #states = new Map<string, LinkState>()
  #reading: { at: number; topics: Promise<Map<string, string>> } | undefined

  constructor(o: { source: ClusterClient; target: ClusterClient; logger: Logger }) {
    this.#source = o.source
    this.#target = o.target
    this.#logger = o.logger
    this.#registry = new LinkRegistry(o.source)
  }

  /** @throws TwinlogError TWINLOG_UNSUPPORTED */
  async assertNone(topic: string): Promise<void> {
    if (!this.#reading || Date.now() - this.#reading.at > FRESH_MS)
      this.#reading = { at: Date.now(), topics: this.#read() }
    const link = (await this.#reading.topics).get(topic)
    if (link === undefined) return
    throw new TwinlogError(
      'TWINLOG_UNSUPPORTED',
      `topic ${topic} on ${this.#source.alias} is a copy made by link ${link} from ${this.#target.alias}: copying it back would send records in a circle. ` +
        'Mirroring one topic in both directions is not supported yet',
      { cluster: this.#source.alias, topic }
    )
  }

  /** Topic on the source → the link from our target that writes it. */
  async #read(): Promise<Map<string, string>> {
    await this.#registry.refresh()
    const reverse = [...this.#registry.links].filter(origin => origin.sourceClusterId === this.#target.clusterId)
    const topics = new Map<string, string>()
    for (const { link } of reverse) {
      const state = this.#states.get(link) ?? (await this.#open(link))
      if (!state) continue
      await state.refresh()
      for (const { birth } of state.lanes) if (birth) topics.set(birth.targetTopic, link)
    }
    return topics
  }

  async #open(link: string): Promise<LinkState | undefined> {
    const state = await LinkState.open({ cluster: this.#source, link, logger: this.#logger, create: false })
    if (state) this.#states.set(link, state)
    return state
  }
}
