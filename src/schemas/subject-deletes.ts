import type { ApplyContext } from './apply.js'
import { removeNote, writeNote } from './import-note.js'
import { versionKey } from './names.js'
import type { SchemaStep, SubjectPlan } from './plan-types.js'
import { isRefusal, unlessGone } from './refusals.js'
import type { Added } from './subject-undo.js'

export interface Registered {
  step: SchemaStep & { kind: 'register' }
  added: Added
}

type Write = (request: () => Promise<void>) => Promise<void>

/** Versions that are softly deleted on the source: registered, because their ids must resolve, and then deleted again. */
export class SubjectDeletes {
  readonly #plan: SubjectPlan
  readonly #run: ApplyContext
  readonly #done = new Set<Registered>()
  #note: string | undefined

  constructor(plan: SubjectPlan, run: ApplyContext) {
    this.#plan = plan
    this.#run = run
  }

  /** Before the first of them is live: they are to be deleted whatever happens to us. */
  async announce(): Promise<void> {
    const { imports, target, owner } = this.#run
    if (this.#note !== undefined || !imports.canNote) return
    const versions = this.#plan.steps.flatMap(step =>
      step.kind === 'register' && step.thenDelete && step.version !== undefined && step.id !== undefined
        ? [{ version: step.version, id: step.id }]
        : []
    )
    if (versions.length === 0) return
    this.#note = await writeNote(target, { kind: 'deletes', subject: this.#plan.subject, versions }, owner)
  }

  areDue(registered: readonly Registered[]): boolean {
    return this.#due(registered).length > 0
  }

  /** `before`: called with the one whose turn it is. */
  async do(registered: readonly Registered[], write: Write, before: (each: Registered) => void): Promise<void> {
    const { target, references, signal } = this.#run
    try {
      for (const each of this.#due(registered)) {
        before(each)
        const { from, version: wanted } = each.step
        const version = wanted ?? (await references.versionOf(versionKey(from.subject, from.version), { signal }))
        if (version !== undefined)
          await write(() => unlessGone(target.deleteVersion(this.#plan.subject, version, { signal })))
        this.#done.add(each)
      }
    } catch (error) {
      // Every run would be refused it.
      if (isRefusal(error)) await this.forget()
      throw error
    }
  }

  /** They are done, or not to be done. */
  async forget(): Promise<void> {
    if (this.#note === undefined) return
    await removeNote(this.#run.target, this.#note)
    this.#note = undefined
  }

  #due(registered: readonly Registered[]): Registered[] {
    const live = new Set(registered.filter(({ step }) => !step.thenDelete).map(({ added }) => added.id))
    return registered.filter(
      // Where the registry chooses, a later live version of the same content is the same version.
      each => each.step.thenDelete && !this.#done.has(each) && (each.step.id !== undefined || !live.has(each.added.id))
    )
  }
}
