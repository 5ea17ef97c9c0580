import { absoluteSubject, type NameMap } from './names.js'
import { type Answers, type LookupAnswer, lookupKey } from './questions.js'
import type { SchemaContent, SchemaReference, SchemaVersion } from './registry-types.js'
import { isUnset, sameReferences, sameText, sameValue } from './same-content.js'
import type { SubjectTable } from './snapshot.js'

type Extra = 'metadata' | 'ruleSet'

/** Whether a version of the source and one of the target are the same schema. */
export class ContentComparer {
  /** What the source has and the target seems to drop: no version of it has one. */
  readonly dropped = new Set<Extra>()
  readonly #o: { ids: 'preserve' | 'translate'; names: NameMap; target: SubjectTable; answers: Answers }
  readonly #keeps = new Set<Extra>()

  constructor(o: { ids: 'preserve' | 'translate'; names: NameMap; target: SubjectTable; answers: Answers }) {
    this.#o = o
    for (const versions of o.target.values()) {
      for (const { metadata, ruleSet } of versions) {
        if (!isUnset(metadata)) this.#keeps.add('metadata')
        if (!isUnset(ruleSet)) this.#keeps.add('ruleSet')
      }
    }
  }

  /** By text. `references`: those of `from` as the target would have them. */
  same(from: SchemaContent, references: readonly SchemaReference[], at: SchemaVersion): boolean {
    if (!sameText(from, at)) return false
    if (references.length !== at.references.length) return false
    const absolute = (list: readonly SchemaReference[]) =>
      list.map(reference => ({ ...reference, subject: absoluteSubject(at.subject, reference.subject) }))
    if (!sameReferences({ left: absolute(references), right: absolute(at.references) })) return false
    return this.#sameExtra('metadata', from, at) && this.#sameExtra('ruleSet', from, at)
  }

  /** By the registry's own comparison: where the subject has this content. Undefined: it has to be asked first. */
  find(from: SchemaVersion, references: SchemaReference[], subject: string): LookupAnswer | undefined {
    const { schemaType, schema, metadata, ruleSet } = from
    const content: SchemaContent = { schemaType, schema, references }
    if (!isUnset(metadata)) content.metadata = metadata
    if (!isUnset(ruleSet)) content.ruleSet = ruleSet
    const key = lookupKey(from, subject, this.#o.target)
    return this.#o.answers.lookup({ kind: 'lookup', key, subject, content })
  }

  /**
   * Apicurio drops both, Confluent's Community edition rule sets. With the same id and version, what no schema of the target has is not
   * missed from this one. With `translate` it could be another schema, and the registry is asked.
   */
  #sameExtra(field: Extra, from: SchemaContent, at: SchemaVersion): boolean {
    if (sameValue(from[field], at[field])) return true
    if (this.#o.ids === 'translate' || this.#keeps.has(field) || !isUnset(at[field])) return false
    this.dropped.add(field)
    return true
  }
}
