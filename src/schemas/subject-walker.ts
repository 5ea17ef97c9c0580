import { inParallel } from './in-parallel.js'
import { OWN_CONTEXT, splitSubject, versionKey } from './names.js'
import type { RegistryClient, SchemaVersion } from './registry-types.js'
import { countTexts, hashTexts, liveTexts, textChanges } from './text-fingerprint.js'

interface WalkOptions {
  wanted: (subject: string) => boolean
  prefix: string | undefined
  signal?: AbortSignal | undefined
}

/** What was seen of all subjects at once. */
interface Look {
  names: Set<string>
  live: Set<string>
  texts: string[] | undefined
}

/** Which of the two lists of a subject's versions are asked for; `live`: the other one only where that one has changed. */
type Lists = 'added' | 'live' | 'both'

/** So many subjects of a registry that cannot list are looked at in each round without a change: not everything shows in its texts. */
const SWEEP = 2
/** Looks in a row that leave texts unexplained, until we believe that they cannot be compared. */
const UNEXPLAINED = 3
const FEW = 20

/** Reads a registry subject by subject (Apicurio, Confluent before 5.5), and afterwards no more of it than has changed. */
export class SubjectWalker {
  readonly #client: RegistryClient
  readonly #concurrency: number
  readonly #table: Map<string, SchemaVersion[]>
  readonly #guessed = new Set<string>()
  /** Of the texts that were there when everything was last read; undefined: we wrote since, or something is unexplained. */
  #hash: string | undefined
  /** Each live version has its text in the list of all texts, and nothing else is there. */
  #comparable: boolean | undefined
  #unexplained = 0
  #swept = 0
  #look: Look | undefined

  /** `table` is shared: it is filled here. */
  constructor(o: { client: RegistryClient; concurrency: number; table: Map<string, SchemaVersion[]> }) {
    this.#client = o.client
    this.#concurrency = o.concurrency
    this.#table = o.table
  }

  isGuessed({ subject, version }: { subject: string; version: number }): boolean {
    return this.#guessed.has(versionKey(subject, version))
  }

  /** All subjects, softly deleted ones included. */
  async names(o: WalkOptions): Promise<Set<string>> {
    const look = await this.#lookAround(o)
    this.#look = look
    return look.names
  }

  async walk(o: WalkOptions): Promise<Set<string>> {
    const look = this.#look ?? (await this.#lookAround(o))
    this.#look = undefined
    for (const subject of this.#table.keys()) if (!look.names.has(subject)) this.forget(subject)
    const wanted = [...look.names].filter(subject => o.wanted(subject) || this.#table.has(subject))
    const [known, unknown] = [wanted.filter(this.#isRead), wanted.filter(subject => !this.#isRead(subject))]
    await this.#readAll(unknown, subject => this.#first(subject, o), o)
    const turned = known.filter(subject => this.#lives(subject) !== look.live.has(subject))
    if (look.texts === undefined) {
      const sweep = new Set(this.#sweep(known))
      await this.#readAll(known, subject => this.#again(subject, sweep.has(subject) ? 'both' : 'live', o), o)
    } else if (hashTexts(look.texts) === this.#hash)
      await this.#readAll([...turned, ...this.#sweep(known)], subject => this.#again(subject, 'both', o), o)
    else await this.#follow(look, known, turned, o)
    if (look.texts !== undefined) this.#hash = this.#isExplained(look) ? hashTexts(look.texts) : undefined
    return look.names
  }

  async readSubjects(subjects: Iterable<string>, o: { signal?: AbortSignal | undefined }): Promise<void> {
    const list = [...subjects]
    for (const subject of list) this.forget(subject)
    this.#look = undefined
    await this.#readAll(list, subject => this.#first(subject, o), o)
  }

  wrote(subject: string, versions: SchemaVersion[], guessed: boolean): void {
    this.forget(subject)
    this.#hash = undefined
    if (versions.length === 0) return
    this.#table.set(subject, versions)
    if (guessed) for (const { version } of versions) this.#guessed.add(versionKey(subject, version))
  }

  /** The table was filled by others: nothing in it is inferred. */
  allIsRead(): void {
    this.#guessed.clear()
  }

  forget(subject: string): void {
    for (const { version } of this.#table.get(subject) ?? []) this.#guessed.delete(versionKey(subject, version))
    this.#table.delete(subject)
    this.#hash = undefined
  }

  async #lookAround({ prefix, signal }: WalkOptions): Promise<Look> {
    const [names, live, texts] = await Promise.all([
      this.#client.subjects({ prefix, deleted: true, signal }),
      this.#client.subjects({ prefix, signal }),
      this.#client.allTexts({ signal })
    ])
    const foreign = (subject: string) => splitSubject(subject).context !== OWN_CONTEXT
    return { names: new Set(names.filter(foreign)), live: new Set(live.filter(foreign)), texts }
  }

  /** The texts are others than they were: what went says where to look, what came has to be looked for everywhere. */
  async #follow(look: Look, known: readonly string[], turned: readonly string[], o: WalkOptions): Promise<void> {
    if (this.#comparable === false || !this.#isWhole(look)) {
      await this.#readAll(known, subject => this.#again(subject, 'live', o), o)
      return
    }
    const gone = this.#difference(look).removed
    const suspects = known.filter(subject =>
      this.#table.get(subject)?.some(({ schema, deleted }) => !deleted && gone.has(schema))
    )
    // A registry that tells other texts in its list than one by one would make us read everything again and again.
    if (this.#comparable === undefined && suspects.length > known.length / 2 && suspects.length > FEW) return
    await this.#readAll([...suspects, ...turned], subject => this.#first(subject, o), o)
    const { added, removed } = this.#difference(look)
    if (added.size === 0 && removed.size === 0) return
    const reread = new Set([...suspects, ...turned])
    const rest = known.filter(subject => !reread.has(subject))
    await this.#readAll(rest, subject => this.#again(subject, removed.size === 0 ? 'added' : 'live', o), o)
  }

  /** Whether the table is what was seen; else something changed meanwhile, and the next round finds it. */
  #isExplained(look: Look): boolean {
    if (this.#comparable === false || !this.#isWhole(look)) return true
    const { added, removed } = this.#difference(look)
    if (added.size === 0 && removed.size === 0) {
      this.#comparable = true
      this.#unexplained = 0
      return true
    }
    if (++this.#unexplained < UNEXPLAINED) return false
    this.#unexplained = 0
    this.#comparable = false
    return true
  }

  #difference({ texts }: Look): { added: Set<string>; removed: Set<string> } {
    return textChanges(countTexts(liveTexts(this.#table.values())), countTexts(texts ?? []))
  }

  readonly #isRead = (subject: string): boolean => this.#table.has(subject)

  #isWhole({ names }: Look): boolean {
    return [...names].every(this.#isRead)
  }

  #lives(subject: string): boolean {
    return this.#table.get(subject)?.some(({ deleted }) => !deleted) === true
  }

  async #readAll(
    subjects: readonly string[],
    read: (subject: string) => Promise<SchemaVersion[]>,
    { signal }: { signal?: AbortSignal | undefined }
  ): Promise<void> {
    await inParallel(new Set(subjects), { concurrency: this.#concurrency, signal }, async subject => {
      const versions = await read(subject)
      for (const { version } of this.#table.get(subject) ?? []) this.#guessed.delete(versionKey(subject, version))
      if (versions.length === 0) this.#table.delete(subject)
      else this.#table.set(subject, versions)
    })
  }

  async #first(subject: string, o: { signal?: AbortSignal | undefined }): Promise<SchemaVersion[]> {
    const numbers = (await this.#client.versions(subject, { deleted: true, ...o })) ?? []
    return this.#contents(subject, numbers, o)
  }

  async #again(subject: string, lists: Lists, o: { signal?: AbortSignal | undefined }): Promise<SchemaVersion[]> {
    const known = this.#table.get(subject) ?? []
    const guessed = known.some(version => this.isGuessed(version))
    const alive = lists === 'added' && !guessed ? undefined : new Set(await this.#client.versions(subject, o))
    // As many and by the same numbers: what was inferred from the order of our writes is so.
    if (guessed && !(alive && known.every(({ deleted }) => !deleted) && isAlive(known, alive)))
      return this.#first(subject, o)
    // What was deleted softly before and is now gone for good does not show here; it is found when its turn to be read comes.
    if (alive && lists === 'live' && isAlive(known, alive)) return known
    const all = await this.#client.versions(subject, { deleted: true, ...o })
    const kept = known.filter(({ version }) => all?.includes(version))
    const there = new Set(kept.map(({ version }) => version))
    const news = await this.#contents(
      subject,
      (all ?? []).filter(version => !there.has(version)),
      o
    )
    const versions = [...kept.map(version => withLife(version, alive)), ...news]
    return versions.sort((a, b) => a.version - b.version)
  }

  async #contents(
    subject: string,
    numbers: readonly number[],
    o: { signal?: AbortSignal | undefined }
  ): Promise<SchemaVersion[]> {
    const versions: SchemaVersion[] = []
    for (const number of numbers) {
      const version = await this.#client.version(subject, number, { deleted: true, ...o })
      // Gone since it was listed.
      if (version) versions.push(version)
    }
    return versions.sort((a, b) => a.version - b.version)
  }

  #sweep(subjects: readonly string[]): string[] {
    const slice = subjects.slice(this.#swept, this.#swept + SWEEP)
    this.#swept = this.#swept + SWEEP >= subjects.length ? 0 : this.#swept + SWEEP
    return slice
  }
}

function isAlive(known: readonly SchemaVersion[], alive: ReadonlySet<number>): boolean {
  const live = known.filter(({ deleted }) => !deleted)
  return live.length === alive.size && live.every(({ version }) => alive.has(version))
}

function withLife(version: SchemaVersion, alive: ReadonlySet<number> | undefined): SchemaVersion {
  const deleted = alive === undefined ? version.deleted : !alive.has(version.version)
  return deleted === version.deleted ? version : { ...version, deleted }
}
