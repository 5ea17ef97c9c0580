import { TwinlogError } from '../errors.js'

export interface IdEntry {
  sourceId: number
  targetId: number
}

type Keep = (entry: IdEntry) => Promise<void>

/** A translation that somebody has still to write down. */
interface Pending {
  entry: IdEntry
  /** Who has not kept it yet. */
  missing: Set<Keep>
  keeping: Promise<void> | undefined
  error: unknown
}

/**
 * Source id → target id. A new translation is answered only when everybody who asked to keep translations has kept it: a record that was
 * rewritten by one that a restart forgets could be rewritten otherwise the next time. With `ids: 'preserve'` it holds the ids that are
 * known to be on the target, each under its own number.
 */
export class IdMap {
  readonly #known = new Map<number, number>()
  readonly #pending = new Map<number, Pending>()
  readonly #keepers = new Set<Keep>()
  /** Kept by a process before us, so nobody has to be told. */
  readonly #learned = new Set<number>()

  /** Ids that are answered. */
  get size(): number {
    return this.#known.size
  }

  /** Synchronous and without allocation: asked for each id of each batch. */
  targetIdOf(sourceId: number): number | undefined {
    return this.#known.get(sourceId)
  }

  /** What needs no keeping: ids that were kept before, or that are the same. */
  learn(entries: Iterable<IdEntry>): void {
    for (const { sourceId, targetId } of entries) {
      // What was found in this process is what the registries have now.
      if (this.#pending.has(sourceId) || (this.#known.has(sourceId) && !this.#learned.has(sourceId))) continue
      this.#known.set(sourceId, targetId)
      this.#learned.add(sourceId)
    }
  }

  /** A translation that was found now. Visible when it is kept; found again, whoever refused is asked again. */
  add(sourceId: number, targetId: number): void {
    const pending = this.#pending.get(sourceId)
    if (pending?.entry.targetId === targetId) this.#run(pending)
    else if (pending !== undefined || this.#known.get(sourceId) !== targetId)
      this.#keep({ sourceId, targetId }, this.#keepers)
  }

  /**
   * `keep` is called with each translation from now on, and with those that were found here before (not with learned ones); the latter are
   * not answered until it resolves. The answer ends it.
   */
  onTranslated(keep: Keep): () => void {
    this.#keepers.add(keep)
    for (const [sourceId, targetId] of this.#known) {
      if (!this.#learned.has(sourceId)) this.#keep({ sourceId, targetId }, [keep])
    }
    for (const pending of this.#pending.values()) {
      if (pending.missing.has(keep)) continue
      pending.missing.add(keep)
      this.#run(pending)
    }
    return () => {
      this.#keepers.delete(keep)
      for (const pending of this.#pending.values()) if (pending.missing.delete(keep)) this.#settle(pending)
    }
  }

  /** Asks again whoever refused. */
  retry(): void {
    for (const pending of this.#pending.values()) this.#run(pending)
  }

  /** Resolves with the target's id when a translation that was found is kept; undefined: none was found. Rejects when it was refused. */
  async kept(sourceId: number): Promise<number | undefined> {
    const pending = this.#pending.get(sourceId)
    if (pending === undefined) return this.#known.get(sourceId)
    this.#run(pending)
    while (pending.keeping !== undefined) await pending.keeping
    if (this.#pending.get(sourceId) === pending) throw notKept(pending)
    return this.kept(sourceId)
  }

  #keep(entry: IdEntry, keepers: Iterable<Keep>): void {
    const pending: Pending = { entry, missing: new Set(keepers), keeping: undefined, error: undefined }
    this.#known.delete(entry.sourceId)
    this.#learned.delete(entry.sourceId)
    this.#pending.set(entry.sourceId, pending)
    this.#run(pending)
  }

  #run(pending: Pending): void {
    if (pending.keeping !== undefined) return
    if (this.#settle(pending)) return
    const asked = [...pending.missing]
    const answers = asked.map(async keep => {
      try {
        await keep(pending.entry)
        pending.missing.delete(keep)
      } catch (error) {
        pending.error = error
      }
    })
    pending.keeping = Promise.all(answers).then(() => {
      pending.keeping = undefined
      // Somebody came while others were asked.
      if (!this.#settle(pending) && [...pending.missing].some(keep => !asked.includes(keep))) this.#run(pending)
    })
  }

  #settle(pending: Pending): boolean {
    if (pending.missing.size > 0 || pending.keeping !== undefined) return false
    const { sourceId, targetId } = pending.entry
    if (this.#pending.get(sourceId) !== pending) return true
    this.#pending.delete(sourceId)
    this.#known.set(sourceId, targetId)
    return true
  }
}

function notKept({ entry, error }: Pending): TwinlogError {
  const reason = error instanceof Error ? error.message : String(error)
  const message = `schema id ${entry.sourceId} is ${entry.targetId} on the target, but that could not be written down: ${reason}`
  const retriable = !(error instanceof TwinlogError) || error.retriable
  return new TwinlogError('TWINLOG_SCHEMA_REGISTRY', message, { schemaId: entry.sourceId, retriable, cause: error })
}
