import type { NameMap } from './names.js'
import type { CallOptions, RegistryClient } from './registry-types.js'

/** How long a registry is taken to know no GUIDs; it may be replaced by a newer one. */
const NO_GUIDS_MS = 60_000
/** Questions that are remembered. Whoever writes a new GUID into each record is no serializer. */
const MOST_ASKED = 10_000

interface Asked {
  began: number
  answer: Promise<number | undefined>
  /** Answered, with nothing. */
  unknown: boolean
}

/** Schemas that records name by a GUID in a header. Only newer registries know them, and those know which ids they have. */
export class GuidGate {
  readonly #source: RegistryClient
  readonly #target: RegistryClient
  readonly #names: NameMap
  readonly #now: () => number
  readonly #call: CallOptions
  readonly #ids = new Map<string, number>()
  readonly #there = new Set<string>()
  readonly #asked = new Map<string, Asked>()
  #noGuidsUntil = -Infinity

  constructor(o: {
    source: RegistryClient
    target: RegistryClient
    names: NameMap
    now: () => number
    signal?: AbortSignal | undefined
  }) {
    this.#source = o.source
    this.#target = o.target
    this.#names = o.names
    this.#now = o.now
    this.#call = { signal: o.signal }
  }

  /** Its id in the source's context. Undefined: unknown to the source, at or after `since`. */
  idOf(guid: string, since: number): number | undefined | Promise<number | undefined> {
    const id = this.#ids.get(guid)
    if (id !== undefined || this.#now() < this.#noGuidsUntil) return id
    const asked = this.#asked.get(guid)
    if (asked !== undefined && asked.began >= since) return asked.unknown ? undefined : asked.answer
    return this.#ask(guid)
  }

  has(guid: string): boolean {
    return this.#there.has(guid)
  }

  /** Asks the target. 'never': it is too old to know any. */
  async look(guid: string): Promise<boolean | 'never'> {
    const ids = await this.#target.idsOfGuid(guid, this.#call)
    if (ids === undefined) return 'never'
    // Registries look for a GUID in all their contexts.
    if (ids.length === 0) return false
    this.#there.add(guid)
    return true
  }

  #ask(guid: string): Promise<number | undefined> {
    const asked: Asked = { began: this.#now(), answer: this.#find(guid), unknown: false }
    if (this.#asked.size >= MOST_ASKED) this.#asked.clear()
    this.#asked.set(guid, asked)
    asked.answer.then(
      id => {
        asked.unknown = id === undefined
        if (id !== undefined) this.#asked.delete(guid)
      },
      () => this.#asked.delete(guid)
    )
    return asked.answer
  }

  async #find(guid: string): Promise<number | undefined> {
    const ids = await this.#source.idsOfGuid(guid, this.#call)
    if (ids === undefined) this.#noGuidsUntil = this.#now() + NO_GUIDS_MS
    const found = ids?.find(({ context }) => context === this.#names.idContext)
    if (found !== undefined) this.#ids.set(guid, found.id)
    return found?.id
  }
}
