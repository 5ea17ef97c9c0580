import { abortable } from '../util/abortable.js'
import { noGuids, notSelected, notThere, otherGuid, unknownGuid, unknownId } from './gate-errors.js'
import { GuidGate } from './gate-guids.js'
import type { SchemaGate } from './gate-types.js'
import type { IdEntry, IdMap } from './id-map.js'
import { type NameMap, qualify, scopeOf, splitSubject } from './names.js'
import type { SchemaConflict } from './plan-types.js'
import type { RegistryClient } from './registry-types.js'
import { SubjectIds } from './subject-ids.js'
import { SyncBatches } from './sync-batches.js'
import { TargetPresence } from './target-presence.js'

export interface GateOptions {
  source: RegistryClient
  target: RegistryClient
  ids: 'preserve' | 'translate'
  /** Shared with the runs of SchemaSync, which fill it. */
  map: IdMap
  names: NameMap
  /** Copies these subjects of the source, with what they refer to. Answers what could not be done. */
  syncSubjects: (subjects: string[], o: { signal?: AbortSignal | undefined }) => Promise<readonly SchemaConflict[]>
  /**
   * Which subjects a topic's records can have: `topic` those that begin with its name and a dash (`orders-value`, `orders-com.acme.Order`),
   * `any` every selected one besides (`RecordNameStrategy`).
   */
  subjectsOf: 'topic' | 'any'
  /** Milliseconds, the clock of `seenAt`. @defaultValue performance.now */
  now?: (() => number) | undefined
  /** Ends work that is shared by all callers. */
  signal?: AbortSignal | undefined
}

export function createGate(o: GateOptions): SchemaGate {
  return new RegistryGate(o)
}

/** How long a failure is answered without trying again. */
const FAILURE_MS = 1_000

interface Attempt {
  done: Promise<void>
  /** When it failed. */
  failedAt: number | undefined
}

class RegistryGate implements SchemaGate {
  readonly ids: 'preserve' | 'translate'
  readonly #o: GateOptions
  readonly #now: () => number
  readonly #topics = new Map<string, SubjectIds>()
  readonly #any: SubjectIds | undefined
  readonly #guids: GuidGate
  readonly #presence: TargetPresence
  readonly #batches: SyncBatches
  readonly #attempts = new Map<string, Attempt>()

  constructor(o: GateOptions) {
    this.#o = o
    this.ids = o.ids
    this.#now = o.now ?? (() => performance.now())
    this.#guids = new GuidGate({ ...o, now: this.#now })
    this.#presence = new TargetPresence(o)
    this.#batches = new SyncBatches(subjects => o.syncSubjects(subjects, { signal: o.signal }))
    if (o.subjectsOf === 'any') this.#any = this.#subjectIds('', subject => o.names.selects(subject), true)
  }

  knows(topic: string, id: number, seenAt: number, part?: 'key' | 'value'): boolean | Promise<boolean> {
    const own = this.#topic(topic).knows(id, seenAt, part)
    if (own === true || this.#any === undefined) return own
    const any = this.#any.knows(id, seenAt, part)
    if (any === true || own === false) return any
    return any === false ? own : Promise.all([own, any]).then(answers => answers.includes(true))
  }

  targetIdOf(id: number): number | undefined {
    return this.#o.map.targetIdOf(id)
  }

  knowsGuid(topic: string, guid: string, seenAt: number, part?: 'key' | 'value'): boolean | Promise<boolean> {
    const id = this.#guids.idOf(guid, seenAt)
    if (typeof id === 'number') return this.knows(topic, id, seenAt, part)
    if (id === undefined) return false
    return id.then(found => (found === undefined ? false : this.knows(topic, found, seenAt, part)))
  }

  hasGuid(guid: string): boolean {
    return this.#guids.has(guid)
  }

  bring(topic: string, id: number, o: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    if (this.targetIdOf(id) !== undefined) return Promise.resolve()
    return this.#shared(`${topic} ${id}`, () => this.#bring(topic, id), o.signal)
  }

  bringGuid(topic: string, guid: string, o: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    if (this.hasGuid(guid)) return Promise.resolve()
    const bring = async () => {
      const there = await this.#guids.look(guid)
      if (there === 'never') throw noGuids(topic, guid, this.#o.target)
      if (there) return
      const id = await this.#guids.idOf(guid, this.#now())
      if (id === undefined) throw unknownGuid(topic, guid)
      await this.#bring(topic, id)
      if ((await this.#guids.look(guid)) !== true) throw otherGuid(topic, guid, id)
    }
    return this.#shared(`${topic} ${guid}`, bring, o.signal)
  }

  learn(ids: Iterable<IdEntry>): void {
    this.#o.map.learn(ids)
  }

  onTranslated(keep: (entry: IdEntry) => Promise<void>): () => void {
    return this.#o.map.onTranslated(keep)
  }

  #topic(topic: string): SubjectIds {
    let ids = this.#topics.get(topic)
    if (ids === undefined) {
      const start = `${topic}-`
      ids = this.#subjectIds(start, subject => splitSubject(subject).name.startsWith(start), false)
      this.#topics.set(topic, ids)
    }
    return ids
  }

  #subjectIds(prefix: string, covers: (subject: string) => boolean, many: boolean): SubjectIds {
    const { source, names } = this.#o
    const { idContext } = names
    return new SubjectIds({
      source,
      prefix: qualify(idContext, prefix),
      covers: subject => splitSubject(subject).context === idContext && covers(subject),
      scope: scopeOf(idContext),
      now: this.#now,
      many
    })
  }

  /** One attempt for all that ask. The signal ends the waiting of one of them, not the work of all. */
  #shared(key: string, work: () => Promise<void>, signal: AbortSignal | undefined): Promise<void> {
    let attempt = this.#attempts.get(key)
    if (attempt?.failedAt !== undefined && this.#now() - attempt.failedAt >= FAILURE_MS) attempt = undefined
    if (attempt === undefined) {
      const started: Attempt = { done: work(), failedAt: undefined }
      this.#attempts.set(key, started)
      started.done.then(
        () => this.#attempts.delete(key),
        () => (started.failedAt = this.#now())
      )
      attempt = started
    }
    return abortable(attempt.done, signal)
  }

  async #bring(topic: string, id: number): Promise<void> {
    if (await this.#presence.before(id, this.#subjectsOf(topic, id))) return
    if (this.#subjectsOf(topic, id).length === 0) await this.knows(topic, id, this.#now())
    const subjects = this.#subjectsOf(topic, id)
    if (subjects.length === 0) throw unknownId(topic, id, this.#o.source)
    const selected = subjects.filter(subject => this.#o.names.selects(subject))
    if (selected.length === 0) throw notSelected(topic, id, subjects)
    const conflicts = await this.#batches.sync(selected)
    if (await this.#presence.after(id, selected)) return
    throw notThere(topic, id, selected, conflicts, this.#o)
  }

  #subjectsOf(topic: string, id: number): readonly string[] {
    const own = this.#topic(topic).subjectsOf(id)
    return this.#any === undefined ? own : [...new Set([...own, ...this.#any.subjectsOf(id)])]
  }
}
