import { TwinlogError } from '../../../../src/errors.js'
import type { SchemaGate } from '../../../../src/schemas/gate-types.js'

type Keep = (entry: { sourceId: number; targetId: number }) => Promise<void>
type Part = 'key' | 'value'

export const unreachable = (what = 'the source registry does not answer') =>
  new TwinlogError('TWINLOG_UNREACHABLE', what, { retriable: true })

/** A SchemaSync made by hand: what the source registry knows, what the target has, and what goes wrong on the way. */
export class FakeGate implements SchemaGate {
  readonly ids: 'preserve' | 'translate'
  /** Ids and GUIDs of the source registry, by topic. A part: only for keys or values. */
  readonly #source = new Map<string, Map<number | string, Part | undefined>>()
  /** Target id by source id; GUIDs by themselves. */
  readonly target = new Map<number | string, number | string>()
  readonly learnt: { sourceId: number; targetId: number }[] = []
  readonly #keeps = new Set<Keep>()
  /** What was known to be there before: it is answered at once. */
  readonly #known = new Set<string>()
  /** When the source registry was last asked. */
  #askedAt = Number.NEGATIVE_INFINITY
  #asking: Promise<void> | undefined
  /** Looks at the source registry. */
  looks = 0
  /** Called with each look; a rejection is the registry's. */
  onLook: () => Promise<void> = () => Promise.resolve()
  readonly brought: (number | string)[] = []
  /** Called for each schema to be copied; what it answers is the target's id (default: 1000 more with `translate`). A rejection is why not. */
  onBring: (id: number | string, signal: AbortSignal | undefined) => Promise<number | undefined> = () =>
    Promise.resolve(undefined)

  constructor(ids: 'preserve' | 'translate' = 'preserve') {
    this.ids = ids
  }

  get listeners(): number {
    return this.#keeps.size
  }

  /** As a producer's registration does. */
  register(topic: string, id: number | string, part?: Part): this {
    const ids = this.#source.get(topic) ?? new Map<number | string, Part | undefined>()
    this.#source.set(topic, ids.set(id, part))
    return this
  }

  /** Registered, and copied long ago. */
  both(topic: string, id: number | string, targetId: number | string = id, part?: Part): this {
    this.target.set(id, targetId)
    return this.register(topic, id, part)
  }

  knows(topic: string, id: number, seenAt: number, part?: Part): boolean | Promise<boolean> {
    return this.#knows(topic, id, seenAt, part)
  }

  knowsGuid(topic: string, guid: string, seenAt: number, part?: Part): boolean | Promise<boolean> {
    return this.#knows(topic, guid, seenAt, part)
  }

  targetIdOf(id: number): number | undefined {
    return this.target.get(id) as number | undefined
  }

  hasGuid(guid: string): boolean {
    return this.target.has(guid)
  }

  bring(_topic: string, id: number, o: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    return this.#bring(id, o.signal)
  }

  bringGuid(_topic: string, guid: string, o: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    return this.#bring(guid, o.signal)
  }

  learn(ids: Iterable<{ sourceId: number; targetId: number }>): void {
    for (const entry of ids) {
      this.learnt.push(entry)
      this.target.set(entry.sourceId, entry.targetId)
    }
  }

  onTranslated(keep: Keep): () => void {
    this.#keeps.add(keep)
    return () => this.#keeps.delete(keep)
  }

  /** The schema comes to the target, whoever brings it. */
  async arrive(id: number | string, targetId?: number): Promise<void> {
    const to = targetId ?? (this.ids === 'translate' && typeof id === 'number' ? id + 1000 : id)
    if (this.ids === 'translate' && typeof id === 'number')
      await Promise.all([...this.#keeps].map(keep => keep({ sourceId: id, targetId: to as number })))
    this.target.set(id, to)
  }

  #has(topic: string, id: number | string, part: Part | undefined): boolean {
    const ids = this.#source.get(topic)
    if (!ids?.has(id)) return false
    const only = ids.get(id)
    return only === undefined || part === undefined || only === part
  }

  #knows(topic: string, id: number | string, seenAt: number, part: Part | undefined): boolean | Promise<boolean> {
    const key = `${topic}/${id}/${part}`
    if (this.#known.has(key)) return true
    const answer = () => {
      const has = this.#has(topic, id, part)
      if (has) this.#known.add(key)
      return has
    }
    if (this.#askedAt >= seenAt) return answer()
    return this.#look().then(answer)
  }

  /** Those who ask in one moment share a look. */
  #look(): Promise<void> {
    this.#asking ??= (async () => {
      await Promise.resolve()
      this.#asking = undefined
      this.looks++
      const at = performance.now()
      await this.onLook()
      this.#askedAt = Math.max(this.#askedAt, at)
    })()
    return this.#asking
  }

  async #bring(id: number | string, signal: AbortSignal | undefined): Promise<void> {
    this.brought.push(id)
    const targetId = await this.onBring(id, signal)
    if (!this.target.has(id)) await this.arrive(id, targetId)
  }
}
