import { TwinlogError } from '../errors.js'
import type { IdMap } from './id-map.js'
import { absoluteSubject, type NameMap, scopeOf } from './names.js'
import type { CallOptions, RegistryClient, SchemaContent } from './registry-types.js'
import { sameReferences, sameText } from './same-content.js'

export interface PresenceOptions {
  source: RegistryClient
  target: RegistryClient
  ids: 'preserve' | 'translate'
  map: IdMap
  names: NameMap
  signal?: AbortSignal | undefined
}

/** Whether a schema of the source is on the target, told by the target itself where the map does not know it. */
export class TargetPresence {
  readonly #o: PresenceOptions
  readonly #call: CallOptions

  constructor(o: PresenceOptions) {
    this.#o = o
    this.#call = { signal: o.signal }
  }

  /** `subjects`: of the source, that use the id. Rejects when the target has another schema by that number. */
  async before(id: number, subjects: readonly string[]): Promise<boolean> {
    if ((await this.#o.map.kept(id)) !== undefined) return true
    return this.#o.ids === 'preserve' && this.#isPreserved(id, subjects)
  }

  /** After a sync, which tells the map what it registered. What was there before may be known to the target alone. */
  async after(id: number, subjects: readonly string[]): Promise<boolean> {
    if (await this.before(id, subjects)) return true
    if (this.#o.ids === 'preserve') return false
    const { source, map, names } = this.#o
    for (const { subject, version } of await source.usesOf(id, { scope: scopeOf(names.idContext), ...this.#call })) {
      if (!subjects.includes(subject)) continue
      const content = await source.version(subject, version, { deleted: true, ...this.#call })
      const found = content && (await this.#lookUp(subject, content))
      if (found === undefined) continue
      map.add(id, found.id)
      return (await map.kept(id)) !== undefined
    }
    return false
  }

  async #isPreserved(id: number, subjects: readonly string[]): Promise<boolean> {
    const { source, target, map, names } = this.#o
    const there = await target.schemaById(id, { scope: scopeOf(names.targetIdContext), ...this.#call })
    if (there === undefined) return false
    const content = await source.schemaById(id, { scope: scopeOf(names.idContext), ...this.#call })
    if (content === undefined) return false
    if (!(await this.#isSame(id, content, there, subjects))) throw taken(id, target)
    map.learn([{ sourceId: id, targetId: id }])
    return true
  }

  async #isSame(
    id: number,
    content: SchemaContent,
    there: SchemaContent,
    subjects: readonly string[]
  ): Promise<boolean> {
    const [subject] = subjects
    if (sameText(content, there) && (subject === undefined || this.#refersToSame(subject, content, there))) return true
    // The target may write the same schema otherwise.
    for (const other of subjects) if ((await this.#lookUp(other, content))?.id === id) return true
    return false
  }

  #refersToSame(subject: string, content: SchemaContent, there: SchemaContent): boolean {
    const { names } = this.#o
    const parent = names.toTarget(subject)
    const [left, right] = [names.references(subject, content.references), there.references].map(list =>
      list.map(reference => ({ ...reference, subject: absoluteSubject(parent, reference.subject) }))
    )
    return left !== undefined && right !== undefined && sameReferences({ left, right })
  }

  #lookUp(subject: string, { schemaType, schema, references, metadata, ruleSet }: SchemaContent) {
    const { names, target } = this.#o
    const content = { schemaType, schema, references: names.references(subject, references), metadata, ruleSet }
    return target.lookup(names.toTarget(subject), content, { deleted: true, ...this.#call })
  }
}

function taken(id: number, target: RegistryClient): TwinlogError {
  const message = `schema id ${id} is another schema in registry ${target.name}: records with it would be read by the wrong one. Use ids: 'translate', or copy into a context of its own (target.context)`
  return new TwinlogError('TWINLOG_SCHEMA_ID_CONFLICT', message, { schemaId: id })
}
