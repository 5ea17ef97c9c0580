import type { SchemaContent, SchemaVersion } from './registry-types.js'
import type { SubjectTable } from './snapshot.js'

/** What a comparison cannot tell from two snapshots alone. */
export type Question =
  /** Does the subject of the target have this content? By the registry's own comparison; softly deleted versions count. */
  | { kind: 'lookup'; key: string; subject: string; content: SchemaContent }
  /** What does the target have under this id, in the context of the scope? */
  | { kind: 'id'; key: string; id: number; scope: string }
  /** Does the source really not have them? A list that is read by pages can miss one, and a miss must not delete anything. */
  | { kind: 'versions'; key: string; subject: string }

export type LookupAnswer = { id: number; version: number } | null
export type IdAnswer = SchemaContent | null
export type VersionsAnswer = readonly number[] | null

/** Answers that were got so far. A question that has none is put on the list, and the comparison is made again with the answer. */
export class Answers {
  readonly #lookups = new Map<string, LookupAnswer>()
  readonly #ids = new Map<string, IdAnswer>()
  readonly #versions = new Map<string, VersionsAnswer>()
  #used = new Set<string>()
  #open = new Map<string, Question>()

  lookup(question: Extract<Question, { kind: 'lookup' }>): LookupAnswer | undefined {
    return this.#find(this.#lookups, question)
  }

  id(question: Extract<Question, { kind: 'id' }>): IdAnswer | undefined {
    return this.#find(this.#ids, question)
  }

  versions(question: Extract<Question, { kind: 'versions' }>): VersionsAnswer | undefined {
    return this.#find(this.#versions, question)
  }

  /** Questions that were asked since the last call and have no answer. */
  takeOpen(): Question[] {
    const open = [...this.#open.values()]
    this.#open = new Map()
    return open
  }

  answerLookup(key: string, answer: LookupAnswer): void {
    this.#lookups.set(key, answer)
  }

  answerId(key: string, answer: IdAnswer): void {
    this.#ids.set(key, answer)
  }

  answerVersions(key: string, answer: VersionsAnswer): void {
    this.#versions.set(key, answer)
  }

  /**
   * For the next run. Look-ups stay, their keys say what the subject held; all else could have changed meanwhile. What nobody asked for
   * in this run goes.
   */
  keepForNextRun(): void {
    for (const key of this.#lookups.keys()) if (!this.#used.has(key)) this.#lookups.delete(key)
    this.#used = new Set()
    this.#ids.clear()
    this.#versions.clear()
    this.#open.clear()
  }

  #find<T>(found: Map<string, T>, question: Question): T | undefined {
    this.#used.add(question.key)
    const answer = found.get(question.key)
    if (answer === undefined) this.#open.set(question.key, question)
    return answer
  }
}

/** The answer counts as long as the subject of the target holds what it held. */
export function lookupKey(from: SchemaVersion, subject: string, target: SubjectTable): string {
  const held = (target.get(subject) ?? []).map(({ version, id, deleted }) => `${version}:${id}${deleted ? 'd' : ''}`)
  return JSON.stringify([from.subject, from.version, from.id, subject, held.join()])
}
