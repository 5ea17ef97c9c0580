import { splitSubject, absoluteSubject, versionKey } from './names.js'
import type { SchemaPlan, SchemaStep } from './plan-types.js'
import { ConflictError } from './refusals.js'
import type { Added } from './subject-undo.js'
import type { CallOptions, RegistryClient, SchemaContent, SchemaReference } from './registry-types.js'

type RegisterStep = SchemaStep & { kind: 'register' }

interface Place {
  subject: string
  /** Unknown until somebody asks: most registries tell only the id. */
  version: number | undefined | Promise<number | undefined>
  content: SchemaContent
}

/** Where versions of the source are on the target, while versions are registered there under numbers of its own (`ids: 'translate'`). */
export class TargetReferences {
  readonly #target: RegistryClient
  readonly #known: SchemaPlan['known']
  readonly #registered = new Map<string, Place>()

  constructor(target: RegistryClient, plan: SchemaPlan) {
    this.#target = target
    this.#known = plan.known
  }

  registered({ from }: RegisterStep, subject: string, { content, version }: Added): void {
    this.#registered.set(versionKey(from.subject, from.version), { subject, version, content })
  }

  /** It was taken back. */
  forget(step: RegisterStep): void {
    this.#registered.delete(versionKey(step.from.subject, step.from.version))
  }

  /** The step's references by the target's versions. */
  async resolve(step: RegisterStep, o: CallOptions): Promise<SchemaReference[]> {
    const resolved: SchemaReference[] = []
    for (const [index, reference] of step.references.entries()) {
      const refersTo = step.refersTo[index]
      const version =
        refersTo === undefined ? undefined : await this.versionOf(versionKey(refersTo.subject, refersTo.version), o)
      if (version === undefined) throw missing(step, reference)
      resolved.push({ ...reference, version })
    }
    return resolved
  }

  /** By `versionKey()` of the source; undefined: not known to be there. */
  async versionOf(key: string, o: CallOptions): Promise<number | undefined> {
    const place = this.#registered.get(key)
    if (place === undefined) return this.#known.get(key)?.version
    place.version ??= this.#lookUp(place, o)
    const version = await place.version
    place.version = version
    return version
  }

  async #lookUp(place: Place, o: CallOptions): Promise<number | undefined> {
    try {
      return (await this.#target.lookup(place.subject, place.content, { deleted: true, ...o }))?.version
    } catch (error) {
      place.version = undefined
      throw error
    }
  }
}

function missing(step: RegisterStep, { subject, version }: SchemaReference): ConflictError {
  const { context } = splitSubject(absoluteSubject(step.from.subject, subject))
  const message = `refers to ${subject} version ${version} (context ${context}), which is not on the target`
  return new ConflictError('missing-reference', message, { version: step.from.version, id: step.from.id })
}
