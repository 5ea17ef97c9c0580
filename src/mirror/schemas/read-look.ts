import type { SchemaGate } from '../../schemas/gate-types.js'
import type { Part, SchemaRef } from './wire-format.js'

/**
 * `other`: bytes that only look like it. `asked`: the source registry is being asked. `missing`: a schema of the topic that the target
 * does not have (yet). `here`: one that it has.
 */
export type RefStatus = 'other' | 'asked' | 'missing' | 'here'

/** What a place in a record means: nothing, or a status that holds for one name. `header`: the header names it, not what is in front of the payload. */
export type Meaning = { status: 'other' } | { status: 'asked' | 'missing' | 'here'; ref: SchemaRef; header: boolean }

const OTHER: Meaning = { status: 'other' }

/** Which names are schemas of a topic, for all its lanes: that an id is one holds for good. */
export class TopicSchemas {
  readonly topic: string
  readonly gate: SchemaGate
  readonly #known: Record<Part, Set<SchemaRef>> = { key: new Set(), value: new Set() }

  constructor(topic: string, gate: SchemaGate) {
    this.topic = topic
    this.gate = gate
  }

  /** Whether the topic's subjects have a schema of this name, as the source registry knows at or after `seenAt`. */
  knows(part: Part, ref: SchemaRef, seenAt: number): boolean | Promise<boolean> {
    const known = this.#known[part]
    if (known.has(ref)) return true
    const answer = this.ask(part, ref, seenAt)
    if (answer === true) known.add(ref)
    if (typeof answer === 'boolean') return answer
    return answer.then(yes => {
      if (yes) known.add(ref)
      return yes
    })
  }

  ask(part: Part, ref: SchemaRef, seenAt: number): boolean | Promise<boolean> {
    return typeof ref === 'number'
      ? this.gate.knows(this.topic, ref, seenAt, part)
      : this.gate.knowsGuid(this.topic, ref, seenAt, part)
  }

  /** Its name on the target; undefined: it is not known to be there. */
  targetOf(ref: SchemaRef): SchemaRef | undefined {
    if (typeof ref === 'number') return this.gate.targetIdOf(ref)
    return this.gate.hasGuid(ref) ? ref : undefined
  }

  /** @throws TwinlogError why it cannot be on the target */
  async bring(ref: SchemaRef, signal: AbortSignal): Promise<void> {
    if (typeof ref === 'number') await this.gate.bring(this.topic, ref, { signal })
    else await this.gate.bringGuid(this.topic, ref, { signal })
  }
}

/** Names that were no schemas when a stretch of the log was read. It holds for that stretch only. */
export class Others {
  readonly #refs: Record<Part, Set<SchemaRef>> = { key: new Set(), value: new Set() }

  has(part: Part, ref: SchemaRef): boolean {
    return this.#refs[part].has(ref)
  }

  add(part: Part, ref: SchemaRef): void {
    this.#refs[part].add(ref)
  }
}

/** What is known of the names in records that were read at one moment: each is looked at once. */
export class ReadLook {
  readonly #topic: TopicSchemas
  readonly #seenAt: number
  readonly others: Others
  readonly #here: Record<Part, Map<SchemaRef, SchemaRef>> = { key: new Map(), value: new Map() }
  readonly #asked: Record<Part, Set<SchemaRef>> = { key: new Set(), value: new Set() }
  #answers: Promise<void>[] = []

  constructor(topic: TopicSchemas, seenAt: number, others = new Others()) {
    this.#topic = topic
    this.#seenAt = seenAt
    this.others = others
  }

  /** Resolves when everything that was asked so far is answered. @throws TwinlogError when the source registry cannot be asked */
  async answered(): Promise<void> {
    const answers = this.#answers
    this.#answers = []
    await Promise.all(answers)
  }

  status(part: Part, ref: SchemaRef): RefStatus {
    if (this.#here[part].has(ref)) return 'here'
    if (this.others.has(part, ref)) return 'other'
    if (this.#asked[part].has(ref)) return 'asked'
    return this.#find(part, ref)
  }

  /** Name on the target of one that is here. */
  targetOf(part: Part, ref: SchemaRef): SchemaRef {
    return this.#here[part].get(ref) ?? ref
  }

  /**
   * What a part of a record means. A header that names a schema of the topic counts, and then what is in front of the payload does not: it
   * is the payload's own. A header that does not says nothing.
   */
  meaning(part: Part, headers: readonly SchemaRef[], prefix: number | undefined): Meaning {
    let known: Meaning | undefined
    for (const ref of headers) {
      const status = this.status(part, ref)
      if (status === 'asked') return { status, ref, header: true }
      if (status === 'missing' || (status === 'here' && known === undefined)) known = { status, ref, header: true }
    }
    if (known !== undefined) return known
    if (prefix === undefined) return OTHER
    const status = this.status(part, prefix)
    return status === 'other' ? OTHER : { status, ref: prefix, header: false }
  }

  #find(part: Part, ref: SchemaRef): RefStatus {
    let answer: boolean | Promise<boolean>
    try {
      answer = this.#topic.knows(part, ref, this.#seenAt)
    } catch (error) {
      answer = Promise.reject(error)
    }
    if (answer === false) this.others.add(part, ref)
    if (answer === false) return 'other'
    if (answer !== true) {
      this.#ask(part, ref, answer)
      return 'asked'
    }
    const target = this.#topic.targetOf(ref)
    if (target === undefined) return 'missing'
    this.#here[part].set(ref, target)
    return 'here'
  }

  #ask(part: Part, ref: SchemaRef, answer: Promise<boolean>): void {
    const asked = this.#asked[part]
    asked.add(ref)
    const answered = answer
      .finally(() => asked.delete(ref))
      .then(yes => {
        if (!yes) this.others.add(part, ref)
      })
    // Whoever only wants to know whether something is known at once does not wait for it.
    answered.catch(() => undefined)
    this.#answers.push(answered)
  }
}
