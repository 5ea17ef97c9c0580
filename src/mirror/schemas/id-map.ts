import type { SchemaIdEntry } from '../../lineage/state-values.js'
import type { SchemaGate } from '../../schemas/gate-types.js'

/** Where the map is kept: the link's state. */
export interface IdMapState {
  readonly schemaIds: ReadonlyMap<number, number>
  refreshSchemaIds(): Promise<void>
  writeSchemaIds(entries: readonly SchemaIdEntry[]): Promise<void>
}

interface Pending extends SchemaIdEntry {
  resolve: () => void
  reject: (error: unknown) => void
}

/**
 * Schema ids of the source with those of the target, on the target cluster: every process of the link translates alike, and after a
 * restart nobody has to ask for what was known. An entry is written before it is used.
 */
export class IdMap {
  readonly #state: IdMapState
  readonly #changed: (entry: SchemaIdEntry & { before: number }) => void
  readonly #off: () => void
  #pending: Pending[] = []
  #writing = false

  constructor(o: {
    gate: SchemaGate
    state: IdMapState
    /** The target registry has given a schema another id than it had. */
    changed: (entry: SchemaIdEntry & { before: number }) => void
  }) {
    this.#state = o.state
    this.#changed = o.changed
    const known = [...o.state.schemaIds].map(([sourceId, targetId]) => ({ sourceId, targetId }))
    o.gate.learn(known)
    this.#off = o.gate.onTranslated(entry => this.keep(entry))
  }

  /** The gate may tell no more. */
  end(): void {
    this.#off()
  }

  /** In the state topic when this resolves. Thousands that come together are a few appends. */
  keep({ sourceId, targetId }: SchemaIdEntry): Promise<void> {
    if (this.#state.schemaIds.get(sourceId) === targetId) return Promise.resolve()
    return new Promise((resolve, reject) => {
      this.#pending.push({ sourceId, targetId, resolve, reject })
      if (!this.#writing) void this.#writeAll()
    })
  }

  async #writeAll(): Promise<void> {
    this.#writing = true
    while (this.#pending.length > 0) {
      const entries = this.#pending.splice(0)
      try {
        await this.#write(entries)
        for (const { resolve } of entries) resolve()
      } catch (error) {
        for (const { reject } of entries) reject(error)
      }
    }
    this.#writing = false
  }

  async #write(entries: readonly SchemaIdEntry[]): Promise<void> {
    // Another process of the link may have been first, or have seen another registry.
    await this.#state.refreshSchemaIds()
    const fresh = entries.filter(({ sourceId, targetId }) => this.#state.schemaIds.get(sourceId) !== targetId)
    if (fresh.length === 0) return
    for (const { sourceId, targetId } of fresh) {
      const before = this.#state.schemaIds.get(sourceId)
      if (before !== undefined) this.#changed({ sourceId, targetId, before })
    }
    await this.#state.writeSchemaIds(fresh.map(({ sourceId, targetId }) => ({ sourceId, targetId })))
  }
}
