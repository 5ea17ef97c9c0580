import { compareInStore, compareText, contextPrefix, defaultContext, parseName } from './subject-names.js'

export interface StoredReference {
  name: string
  subject: string
  version: number
}

export interface StoredMetadata {
  tags?: Record<string, string[]>
  properties?: Record<string, string>
  sensitive?: string[]
}

/** What is hashed and compared: two versions with the same content share an id. */
export interface StoredContent {
  schemaType: string
  schema: string
  references: StoredReference[]
  metadata?: StoredMetadata | undefined
  ruleSet?: unknown
}

export interface StoredVersion extends StoredContent {
  subject: string
  version: number
  id: number
  deleted: boolean
}

export type StoredConfig = Record<string, unknown>

/** A subject, a context (`:.ctx:`), `''` for the default context asked for by its name, undefined for the registry itself. */
export type Scope = string | undefined

interface ContextIndex {
  lastId: number
  /** Id → subject → version. One version per subject: a later use of the same id in a subject takes the place of the earlier one. */
  uses: Map<number, Map<string, number>>
  idOfContent: Map<string, number>
  /** `subject\0version` → ids that refer to it. */
  referredBy: Map<string, Set<number>>
}

/** Everything the fake registry holds, with the indexes that make each question cheap. It knows no rules: see registration.ts and deletion.ts. */
export class RegistryState {
  readonly configs = new Map<Scope, StoredConfig>()
  readonly modes = new Map<Scope, string>()
  readonly #subjects = new Map<string, Map<number, StoredVersion>>()
  readonly #contexts = new Map<string, ContextIndex>()
  /** Never shrinks, as at Confluent. */
  readonly #contextNames = new Set<string>()

  get contexts(): string[] {
    return [defaultContext, ...[...this.#contextNames].sort(compareText)]
  }

  addContext(context: string): void {
    if (context !== defaultContext) this.#contextNames.add(context)
  }

  get(subject: string, version: number): StoredVersion | undefined {
    return this.#subjects.get(subject)?.get(version)
  }

  /** Ascending. */
  versionsOf(subject: string): StoredVersion[] {
    return [...(this.#subjects.get(subject)?.values() ?? [])].sort((a, b) => a.version - b.version)
  }

  latest(subject: string): StoredVersion | undefined {
    let latest: StoredVersion | undefined
    for (const entry of this.#subjects.get(subject)?.values() ?? []) {
      if (!entry.deleted && entry.version > (latest?.version ?? 0)) latest = entry
    }
    return latest
  }

  /** Versions of every subject whose name is in the range that a prefix means: `:*:` with or without a rest, `''` for the default context. */
  withPrefix(prefix: string): StoredVersion[] {
    const wanted = parseName(prefix)
    const end = parseName(`${prefix}\uffff`)
    const subjects = [...this.#subjects.keys()].filter(subject => {
      const name = parseName(subject)
      if (wanted.context === '*') return name.subject.startsWith(wanted.subject)
      return compareInStore(name, wanted) >= 0 && compareInStore(name, end) <= 0
    })
    return subjects.sort(compareText).flatMap(subject => this.versionsOf(subject))
  }

  /** Subjects of a scope, soft-deleted ones included. The registry itself means all contexts. */
  subjectsIn(scope: Scope): string[] {
    if (scope === undefined) return [...this.#subjects.keys()]
    const name = parseName(scope)
    if (name.subject !== '') return this.#subjects.has(scope) ? [scope] : []
    return [...this.#subjects.keys()].filter(
      subject => subject === scope || parseName(subject).context === name.context
    )
  }

  hasSubject(scope: Scope, o: { deleted: boolean }): boolean {
    return this.subjectsIn(scope).some(subject => {
      for (const entry of this.#subjects.get(subject)?.values() ?? []) if (o.deleted || !entry.deleted) return true
      return false
    })
  }

  put(entry: StoredVersion): void {
    const versions = this.#subjects.get(entry.subject) ?? new Map<number, StoredVersion>()
    this.#subjects.set(entry.subject, versions)
    versions.set(entry.version, entry)
    const index = this.#index(entry.subject)
    index.lastId = Math.max(index.lastId, entry.id, 1)
    const uses = index.uses.get(entry.id) ?? new Map<string, number>()
    index.uses.set(entry.id, uses.set(entry.subject, entry.version))
    index.idOfContent.set(contentKey(entry), entry.id)
    for (const target of this.#targetsOf(entry)) {
      if (entry.deleted) {
        target.ids.get(target.key)?.delete(entry.id)
      } else {
        const ids = target.ids.get(target.key) ?? new Set<number>()
        target.ids.set(target.key, ids.add(entry.id))
      }
    }
  }

  /** For good. The content's hash stays known, but leads nowhere once nobody uses the id. */
  remove(subject: string, version: number): void {
    const versions = this.#subjects.get(subject)
    const entry = versions?.get(version)
    if (versions === undefined || entry === undefined) return
    versions.delete(version)
    if (versions.size === 0) this.#subjects.delete(subject)
    const { uses } = this.#index(subject)
    const ofId = uses.get(entry.id)
    if (ofId?.get(subject) === version) ofId.delete(subject)
    if (ofId?.size === 0) uses.delete(entry.id)
  }

  /** Which id the same content has in the subject's context, and where that id is used. */
  findContent(subject: string, content: StoredContent): { id: number; uses: Map<string, number> } | undefined {
    const index = this.#index(subject)
    const id = index.idOfContent.get(contentKey(content))
    const uses = id === undefined ? undefined : index.uses.get(id)
    return id === undefined || uses === undefined ? undefined : { id, uses }
  }

  /** A version that has the id: of this subject, or any of its context when the scope is a context. */
  versionWithId(id: number, scope: string): StoredVersion | undefined {
    const uses = this.#index(scope).uses.get(id)
    if (uses === undefined) return undefined
    if (parseName(scope).subject !== '') return this.#useOf(uses, scope)
    // The registry takes any of them; one that still exists, where an overwritten version left a dead entry behind.
    for (const subject of uses.keys()) {
      const found = this.#useOf(uses, subject)
      if (found !== undefined) return found
    }
    return undefined
  }

  isIdUsed(id: number, subject: string): boolean {
    return this.#index(subject).uses.has(id)
  }

  nextId(subject: string): number {
    const index = this.#index(subject)
    do index.lastId += 1
    while (index.uses.has(index.lastId))
    return index.lastId
  }

  lastId(subject: string): number {
    return Math.max(this.#index(subject).lastId, 1)
  }

  /** Ids of versions that refer to this one and are not deleted. */
  referrers(subject: string, version: number): number[] {
    const ids = this.#index(subject).referredBy.get(`${subject}\0${version}`) ?? []
    return [...ids].sort((a, b) => a - b)
  }

  #useOf(uses: Map<string, number>, subject: string): StoredVersion | undefined {
    const version = uses.get(subject)
    return version === undefined ? undefined : this.get(subject, version)
  }

  #targetsOf(entry: StoredVersion): { ids: Map<string, Set<number>>; key: string }[] {
    return entry.references.map(reference => {
      const subject = referencedSubject(entry.subject, reference)
      return { ids: this.#index(subject).referredBy, key: `${subject}\0${reference.version}` }
    })
  }

  #index(subject: string): ContextIndex {
    const { context } = parseName(subject)
    let index = this.#contexts.get(context)
    if (index === undefined) {
      index = { lastId: 0, uses: new Map(), idOfContent: new Map(), referredBy: new Map() }
      this.#contexts.set(context, index)
    }
    return index
  }
}

export function referencedSubject(parent: string, reference: StoredReference): string {
  const own = parseName(reference.subject)
  const context = own.context === defaultContext ? parseName(parent).context : own.context
  return contextPrefix(context) + own.subject
}

/** The schema type is not part of it, as at Confluent: the same text under another type is refused as another schema with a used id. */
function contentKey(content: StoredContent): string {
  return JSON.stringify([
    content.schema,
    content.references.map(reference => [reference.name, reference.subject, reference.version]),
    content.metadata ?? null,
    content.ruleSet ?? null
  ])
}
