import { TwinlogError, toTwinlogError } from '../errors.js'
import { inParallel } from './in-parallel.js'
import type { RegistryClient } from './registry-types.js'

const KEY = 1
const VALUE = 2

export interface SubjectIdsOptions {
  source: RegistryClient
  /** Of the subjects' qualified names. */
  prefix: string
  covers: (subject: string) => boolean
  /** The context whose ids are meant. */
  scope: string | undefined
  now: () => number
  /** Too many to be listed when one new id is met: ask for that id. */
  many: boolean
}

/** A question to the source registry, and whoever waits for its answer. */
interface Round {
  began: number
  ids: Set<number>
  answered: Promise<void>
}

/** How long a failure is answered without asking again. */
const FAILURE_MS = 1_000
/** Ids that are asked for one by one where a list would be long. */
const MOST_BY_ID = 50
const AT_A_TIME = 4

/**
 * Which ids the source registry knows under some subjects, deleted ones included. What it knows it knows for good; what it does not know
 * is asked for again, in rounds that all callers share: one runs, the next begins when it has ended.
 */
export class SubjectIds {
  readonly #o: SubjectIdsOptions
  /** Id → in which part of a record it may stand. */
  readonly #parts = new Map<number, number>()
  readonly #subjects = new Map<number, string[]>()
  readonly #seen = new Set<string>()
  #running: Round | undefined
  #next: Round | undefined
  /** The last round that ended, and whether it answers for every id. */
  #last: { began: number; ids: ReadonlySet<number> | 'all' } = { began: -Infinity, ids: 'all' }
  #failure: { at: number; error: TwinlogError } | undefined
  /** The registry lists versions with their ids; undefined: it has not shown yet. */
  #lists: boolean | undefined
  /** Requests that a listing takes. */
  #listing: number

  constructor(o: SubjectIdsOptions) {
    this.#o = o
    this.#listing = o.many ? Infinity : 0
  }

  /** Synchronous and without allocation when the id is known. `since`: by the clock of the options. */
  knows(id: number, since: number, part: 'key' | 'value' | undefined): boolean | Promise<boolean> {
    if (this.has(id, part)) return true
    if (this.#last.began >= since && (this.#last.ids === 'all' || this.#last.ids.has(id))) return false
    return this.#ask(id, since).then(() => this.has(id, part))
  }

  has(id: number, part: 'key' | 'value' | undefined): boolean {
    const parts = this.#parts.get(id)
    if (parts === undefined) return false
    return part === undefined || (parts & (part === 'key' ? KEY : VALUE)) !== 0
  }

  subjectsOf(id: number): readonly string[] {
    return this.#subjects.get(id) ?? []
  }

  async #ask(id: number, since: number): Promise<void> {
    if (this.#failure !== undefined && this.#o.now() - this.#failure.at < FAILURE_MS) throw this.#failure.error
    const { began, ids } = this.#running ?? {}
    if (this.#running !== undefined && began !== undefined && began >= since && ids?.has(id) === true)
      return this.#running.answered
    this.#next ??= this.#round()
    this.#next.ids.add(id)
    return this.#next.answered
  }

  #round(): Round {
    const before = this.#running?.answered ?? Promise.resolve()
    const round: Round = { began: Infinity, ids: new Set(), answered: before }
    // A turn later even when none is running: ids of one batch come one after the other.
    round.answered = before.then(noop, noop).then(() => this.#run(round))
    // Whoever waits hears of it.
    round.answered.catch(noop)
    return round
  }

  async #run(round: Round): Promise<void> {
    this.#next = undefined
    this.#running = round
    round.began = this.#o.now()
    try {
      const all = await this.#find(round.ids)
      this.#failure = undefined
      this.#last = { began: round.began, ids: all ? 'all' : round.ids }
    } catch (error) {
      const failure = toTwinlogError(error, 'TWINLOG_SCHEMA_REGISTRY', 'the source registry was asked for ids')
      this.#failure = { at: this.#o.now(), error: failure }
      throw failure
    } finally {
      this.#running = undefined
    }
  }

  /** True: everything was listed. */
  async #find(ids: ReadonlySet<number>): Promise<boolean> {
    if (ids.size <= Math.min(this.#listing, MOST_BY_ID) && (await this.#findById([...ids]))) return false
    this.#listing = (await this.#listVersions()) ? 1 : await this.#listSubjects()
    return true
  }

  /** False: not every id could be judged that way. */
  async #findById(ids: number[]): Promise<boolean> {
    const { source, scope, covers } = this.#o
    let judged = true
    await inParallel(ids, { concurrency: AT_A_TIME }, async id => {
      const uses = await source.usesOf(id, { scope }).catch(cannotTell)
      if (uses === undefined) {
        judged = false
        return
      }
      const own = uses.filter(({ subject }) => covers(subject))
      for (const { subject } of own) this.#add(subject, id)
      // Of content that was imported under two ids, the registry tells the uses of one.
      if (uses.length > 0 && own.length === 0) judged = false
    })
    return judged
  }

  async #listVersions(): Promise<boolean> {
    if (this.#lists === false) return false
    const { source, prefix, covers } = this.#o
    const versions = await source.allVersions({ prefix, deleted: true })
    for (const { subject, id } of versions ?? []) if (covers(subject)) this.#add(subject, id)
    // An empty list is only worth something from a registry that has shown that it lists what there is.
    if (versions === undefined || versions.length > 0) this.#lists = versions !== undefined
    return this.#lists === true
  }

  /** How many requests it would take when there is nothing new. */
  async #listSubjects(): Promise<number> {
    const { source, prefix, covers } = this.#o
    const subjects = (await source.subjects({ prefix, deleted: true })).filter(covers)
    await inParallel(subjects, { concurrency: AT_A_TIME }, async subject => {
      const versions = (await source.versions(subject, { deleted: true })) ?? []
      for (const version of versions) {
        const key = `${subject}\n${version}`
        if (this.#seen.has(key)) continue
        const found = await source.version(subject, version, { deleted: true })
        if (found === undefined) continue
        this.#add(subject, found.id)
        this.#seen.add(key)
      }
    })
    return 1 + subjects.length
  }

  #add(subject: string, id: number): void {
    const subjects = this.#subjects.get(id)
    if (subjects?.includes(subject) === true) return
    this.#subjects.set(id, [...(subjects ?? []), subject])
    this.#parts.set(id, (this.#parts.get(id) ?? 0) | partsOf(subject))
  }
}

/** Serializers name subjects by the part of the record, or by the record's name alone. */
function partsOf(subject: string): number {
  if (subject.endsWith('-key')) return KEY
  return subject.endsWith('-value') ? VALUE : KEY | VALUE
}

/** Not every registry of this API can tell the uses of an id. */
function cannotTell(error: unknown): undefined {
  if (error instanceof TwinlogError && !error.retriable && error.code !== 'TWINLOG_UNAUTHORIZED') return undefined
  throw error
}

function noop(): void {}
