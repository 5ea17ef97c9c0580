import type { LinkOrigin, LinkRegistry } from '../lineage/link-registry.js'

/** What this process says on the target about its link: which producer ids are the link's, and whose records they carry. */
export class LinkRegistration {
  readonly #registry: LinkRegistry
  readonly #origin: LinkOrigin
  /** Our producer ids → how many clusters were named when the id was last written; 0: not yet. */
  readonly #ids = new Map<bigint, number>()
  /** Only grows: what an id has once carried stays in the target's log. */
  readonly #carries: Set<string>
  #writing: Promise<void> | undefined
  #next: Promise<void> | undefined

  constructor(registry: LinkRegistry, origin: Omit<LinkOrigin, 'carries'>) {
    this.#registry = registry
    this.#origin = origin
    this.#carries = new Set([origin.sourceClusterId])
  }

  /** Everybody who reads the target can tell data of these ids from other data when this resolves. */
  async register(producerIds: readonly bigint[]): Promise<void> {
    for (const id of producerIds) if (!this.#ids.has(id)) this.#ids.set(id, 0)
    if (producerIds.some(id => this.#ids.get(id) !== this.#carries.size)) await this.#write()
  }

  /** Records of these clusters may come through the link as well. */
  async carry(clusters: readonly string[]): Promise<void> {
    for (const cluster of clusters) this.#carries.add(cluster)
    if ([...this.#ids.values()].some(named => named !== this.#carries.size)) await this.#write()
  }

  /** One write at a time, with the ids of all who came before it began: lanes that start together share it. */
  #write(): Promise<void> {
    this.#next ??= this.#writeAfter(this.#writing)
    return this.#next
  }

  async #writeAfter(before: Promise<void> | undefined): Promise<void> {
    await before?.catch(() => undefined)
    this.#writing = this.#next
    this.#next = undefined
    await this.#registry.refresh()
    // What an earlier run of this link has carried counts as well.
    for (const id of this.#ids.keys()) {
      const known = this.#registry.origin(id)
      if (known?.link === this.#origin.link) for (const cluster of known.carries ?? []) this.#carries.add(cluster)
    }
    const named = this.#carries.size
    const ids = [...this.#ids].filter(([, last]) => last !== named).map(([id]) => id)
    await this.#registry.registerMany(ids, { ...this.#origin, carries: [...this.#carries].sort() })
    for (const id of ids) this.#ids.set(id, named)
  }
}
