import { faults, RegistryFault } from './registry-fault.js'
import { flagOf, numberOf } from './registry-path.js'
import type { RegistryState, StoredVersion } from './registry-state.js'
import { compareText, defaultContext, nameBeside, nameOf, parseName } from './subject-names.js'

/** Confluent's defaults, which are also the most one request can have. */
const schemasPerPage = 1000
const subjectsPerPage = 20_000

/** Everything that only looks. */
export class RegistryReads {
  readonly #state: RegistryState

  constructor(state: RegistryState) {
    this.#state = state
  }

  subjects(query: URLSearchParams): string[] {
    const alive = new Map<string, boolean>()
    for (const { subject, deleted } of this.#state.withPrefix(query.get('subjectPrefix') ?? ':*:')) {
      alive.set(subject, alive.get(subject) === true || !deleted)
    }
    const wanted = [...alive].filter(([, isAlive]) => {
      if (flagOf(query, 'deletedOnly')) return !isAlive
      return flagOf(query, 'deleted') || isAlive
    })
    return page(
      wanted.map(([subject]) => subject),
      query,
      subjectsPerPage
    )
  }

  schemas(query: URLSearchParams): object[] {
    const prefix = query.get('subjectPrefix') ?? ''
    let found = this.#state.withPrefix(prefix)
    const aliases = flagOf(query, 'aliases') ? this.#aliases(prefix) : new Map<string, string[]>()
    for (const subject of aliases.keys()) {
      if (!found.some(entry => entry.subject === subject)) found.push(...this.#state.versionsOf(subject))
    }
    if (!flagOf(query, 'deleted')) found = found.filter(entry => !entry.deleted)
    if (flagOf(query, 'latestOnly')) {
      found = [...new Map(found.map(entry => [entry.subject, entry])).values()]
    }
    const ruleType = query.get('ruleType') ?? ''
    if (ruleType !== '') found = found.filter(entry => hasRuleType(entry.ruleSet, ruleType))
    found.sort((a, b) => compareText(a.subject, b.subject) || a.version - b.version)
    return page(found, query, schemasPerPage).map(entry => {
      const names = aliases.get(entry.subject)
      return { ...entityOf(entry), ...(names === undefined ? {} : { aliases: names }) }
    })
  }

  versions(subject: string, query: URLSearchParams): number[] {
    const only = flagOf(query, 'deletedOnly')
    const deleted = flagOf(query, 'deleted')
    if (!this.#state.hasSubject(subject, { deleted: deleted || only })) throw faults.subjectNotFound(subject)
    return this.#state
      .versionsOf(subject)
      .filter(entry => (only ? entry.deleted : deleted || !entry.deleted))
      .map(entry => entry.version)
  }

  /** A name without a context is looked for in every context, the default one first. */
  version(subject: string, version: number, o: { deleted: boolean }): StoredVersion {
    for (const name of this.#everywhere(subject)) {
      const entry = version === -1 ? this.#state.latest(name) : this.#state.get(name, version)
      if (entry !== undefined && (o.deleted || !entry.deleted)) return entry
    }
    if (!this.#state.hasSubject(subject, o)) throw faults.subjectNotFound(subject)
    throw faults.versionNotFound(version)
  }

  withMetadata(subject: string, query: URLSearchParams): StoredVersion {
    const keys = query.getAll('key')
    const values = query.getAll('value')
    const wanted = keys.slice(0, values.length).map((key, at) => [key, values[at]] as const)
    const deleted = flagOf(query, 'deleted')
    const entry = this.#state.versionsOf(subject).findLast(each => {
      const properties = each.metadata?.properties
      if (properties === undefined || (each.deleted && !deleted)) return false
      return wanted.every(([key, value]) => properties[key] === value)
    })
    if (entry !== undefined) return entry
    if (!this.#state.hasSubject(subject, { deleted })) throw faults.subjectNotFound(subject)
    throw faults.schemaNotFound()
  }

  byId(id: number, query: URLSearchParams): StoredVersion | undefined {
    const scope = query.get('subject') ?? ''
    const name = parseName(scope)
    const direct = this.#state.versionWithId(id, nameOf(name))
    if (direct !== undefined || name.subject === '' || name.context !== defaultContext) return direct
    for (const elsewhere of this.#everywhere(name.subject).slice(1)) {
      const found = this.#state.versionWithId(id, elsewhere)
      if (found !== undefined) return found
    }
    return this.#state.versionWithId(id, '')
  }

  /** The content that `byId` finds, with the id the registry keeps for that content last. */
  usesOf(id: number, query: URLSearchParams): { subject: string; version: number }[] {
    const entry = this.byId(id, query)
    const known = entry === undefined ? undefined : this.#state.findContent(entry.subject, entry)
    if (known === undefined) throw faults.schemaNotFound()
    return [...known.uses]
      .filter(([subject, version]) => {
        const use = this.#state.get(subject, version)
        return use !== undefined && (!use.deleted || flagOf(query, 'deleted'))
      })
      .map(([subject, version]) => ({ subject, version }))
  }

  lastIdOf(entry: StoredVersion): number {
    return this.#state.lastId(entry.subject)
  }

  #everywhere(subject: string): string[] {
    const name = parseName(subject)
    if (name.context !== defaultContext) return [subject]
    return this.#state.contexts.map(context => nameOf({ context, subject: name.subject }))
  }

  #aliases(prefix: string): Map<string, string[]> {
    const aliases = new Map<string, string[]>()
    for (const [scope, config] of this.#state.configs) {
      if (scope === undefined || typeof config.alias !== 'string' || config.alias === '') continue
      if (!scope.startsWith(prefix)) continue
      const target = nameBeside(scope, config.alias)
      aliases.set(target, [...(aliases.get(target) ?? []), scope])
    }
    return aliases
  }
}

/** As the registry shows a version: what is empty or default is left out. */
export function entityOf(entry: Partial<StoredVersion>): object {
  const { subject, version, id, schemaType, references, metadata, ruleSet, schema } = entry
  return {
    ...(subject === undefined ? {} : { subject }),
    ...(version === undefined ? {} : { version }),
    ...(id === undefined ? {} : { id }),
    ...(schemaType === undefined || schemaType === 'AVRO' ? {} : { schemaType }),
    ...(references === undefined || references.length === 0 ? {} : { references }),
    ...(metadata === undefined ? {} : { metadata }),
    ...(ruleSet === undefined ? {} : { ruleSet }),
    ...(schema === undefined ? {} : { schema })
  }
}

function page<T>(items: T[], query: URLSearchParams, most: number): T[] {
  const offset = numberOf(query.get('offset'), 0)
  const asked = numberOf(query.get('limit'), -1)
  if (offset < 0) throw new RegistryFault(500, 500, 'Internal Server Error')
  const limit = asked > 0 && asked <= most ? asked : most
  return items.slice(offset, offset + limit)
}

function hasRuleType(ruleSet: unknown, type: string): boolean {
  const rules = Object.values((ruleSet ?? {}) as Record<string, { type?: string }[]>).flat()
  return rules.some(rule => rule.type === type)
}
