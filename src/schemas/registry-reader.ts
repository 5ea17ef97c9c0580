import { OWN_CONTEXT, splitSubject } from './names.js'
import type { RegistryClient, SchemaVersion } from './registry-types.js'
import { sameReferences, sameValue } from './same-content.js'
import { type SubjectTable, tableOf } from './snapshot.js'
import { SubjectWalker } from './subject-walker.js'

export interface RegistryView {
  /** Every subject, softly deleted ones included. */
  names: ReadonlySet<string>
  /** What was read of them. */
  table: SubjectTable
  /** All of them were. */
  whole: boolean
}

export interface ReadOptions {
  /** Which subjects' versions are needed, where they are read one by one. */
  wanted: (subject: string) => boolean
  signal?: AbortSignal | undefined
}

/**
 * What a registry holds. By lists of everything where it has them; else subject by subject, and after the first time only where the lists
 * of subjects and texts show a change.
 */
export class RegistryReader {
  readonly #client: RegistryClient
  readonly #prefix: string | undefined
  readonly #walker: SubjectWalker
  #table = new Map<string, SchemaVersion[]>()
  #names = new Set<string>()
  #whole = false
  /** It lists all versions with their ids; undefined: an empty list said nothing. */
  #lists: boolean | undefined

  /** `prefix`: of the only context that is of interest. */
  constructor(o: { client: RegistryClient; prefix: string | undefined; concurrency: number }) {
    this.#client = o.client
    this.#prefix = o.prefix
    this.#walker = new SubjectWalker({ ...o, table: this.#table })
  }

  /** False: subject by subject. Undefined until something was read. */
  get lists(): boolean | undefined {
    return this.#lists
  }

  get view(): RegistryView {
    return { names: this.#names, table: this.#table, whole: this.#whole }
  }

  /** Versions whose number was inferred from what we wrote. */
  isGuessed(at: { subject: string; version: number }): boolean {
    return this.#walker.isGuessed(at)
  }

  async read(o: ReadOptions): Promise<RegistryView> {
    if (this.#lists !== false && (await this.#readLists(o))) return this.view
    const names = await this.#walker.walk({ ...o, prefix: this.#prefix })
    this.#names = names
    this.#whole = [...names].every(name => this.#table.has(name))
    return this.view
  }

  /** Which subjects would have to be read one by one; undefined: none, there are lists. */
  async unread(o: ReadOptions): Promise<string[] | undefined> {
    if (this.#lists !== false && (await this.#readLists(o))) return undefined
    this.#names = await this.#walker.names({ ...o, prefix: this.#prefix })
    return [...this.#names].filter(name => o.wanted(name) && !this.#table.has(name)).sort()
  }

  /** These subjects, whatever was known of them. */
  async readSubjects(subjects: Iterable<string>, o: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    const list = [...new Set(subjects)].filter(isForeign)
    await this.#walker.readSubjects(list, o)
    for (const subject of list) {
      if (this.#table.has(subject)) this.#names.add(subject)
      else this.#names.delete(subject)
    }
  }

  /** We wrote: what the subject holds now. Where there are lists the next read tells it anyway. */
  wrote(subject: string, versions: SchemaVersion[], guessed: boolean): void {
    if (this.#lists === true) return
    this.#names.add(subject)
    this.#walker.wrote(subject, versions, guessed)
  }

  /** Nobody knows what it holds now. */
  forget(subject: string): void {
    this.#walker.forget(subject)
  }

  async #readLists({ signal }: ReadOptions): Promise<boolean> {
    const versions = await this.#client.allVersions({ prefix: this.#prefix, deleted: true, signal })
    if (versions === undefined) {
      this.#lists = false
      return false
    }
    // Of an empty list nobody can say whether its entries would tell enough.
    if (versions.length > 0) this.#lists = true
    const before = this.#table
    const table = tableOf(versions.filter(({ subject }) => isForeign(subject)).map(version => known(version, before)))
    this.#table.clear()
    for (const [subject, list] of table) this.#table.set(subject, list)
    this.#names = new Set(table.keys())
    this.#whole = true
    this.#walker.allIsRead()
    return true
  }
}

function isForeign(subject: string): boolean {
  return splitSubject(subject).context !== OWN_CONTEXT
}

/** The same object for what did not change: its text was looked at before. */
function known(version: SchemaVersion, before: SubjectTable): SchemaVersion {
  const old = before.get(version.subject)?.find(other => other.version === version.version)
  if (!old || old.id !== version.id || old.deleted !== version.deleted || old.schema !== version.schema) return version
  if (old.schemaType !== version.schemaType || !sameReferences({ left: old.references, right: version.references }))
    return version
  return sameValue(old.metadata, version.metadata) && sameValue(old.ruleSet, version.ruleSet) ? old : version
}
