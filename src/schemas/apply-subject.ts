import { TwinlogError, toTwinlogError } from '../errors.js'
import type { ApplyContext } from './apply.js'
import type { SubjectImport } from './import-run.js'
import type { SchemaStep, SubjectOutcome, SubjectPlan } from './plan-types.js'
import {
  ConflictError,
  conflictOf,
  endsTheRun,
  isIncompatible,
  isNotInImport,
  isUnreachable,
  unlessGone
} from './refusals.js'
import type { SchemaContent } from './registry-types.js'
import { type Registered, SubjectDeletes } from './subject-deletes.js'
import { type Added, setConfig, SubjectUndo } from './subject-undo.js'

type RegisterStep = SchemaStep & { kind: 'register' }

/** How often IMPORT may be taken away from one subject. */
const ENTRIES = 5

/** All steps of one subject, in order. What it cannot finish for good it takes back. */
export class SubjectRun {
  readonly #plan: SubjectPlan
  readonly #run: ApplyContext
  readonly #undo: SubjectUndo
  readonly #deletes: SubjectDeletes
  readonly #done: Registered[] = []
  #import: SubjectImport | undefined
  #entries = 0
  #steps = 0
  #at: { version?: number | undefined; id?: number | undefined } = {}

  constructor(plan: SubjectPlan, run: ApplyContext) {
    this.#plan = plan
    this.#run = run
    this.#undo = new SubjectUndo(run.target, plan.subject)
    this.#deletes = new SubjectDeletes(plan, run)
  }

  /** Throws only what ends the whole run. IMPORT is left, if the registry answers. */
  async run(): Promise<SubjectOutcome> {
    const { subject } = this.#plan
    const errors: unknown[] = []
    const note = (error: unknown) => void errors.push(error)
    await this.#all().catch(note)
    const at = this.#at
    if (errors.length > 0) await this.#giveUp(errors[0]).catch(note)
    // The end of the run tries it once for all.
    if (!errors.some(isUnreachable)) await this.#close().catch(note)
    for (const { step, added } of this.#done) this.#run.registered(subject, step, added)
    const fatal = errors.find(endsTheRun)
    if (fatal !== undefined) throw toTwinlogError(fatal, 'TWINLOG_INTERNAL', `subject ${subject}`)
    const [first, ...later] = errors.map(error => conflictOf(subject, error, at))
    if (first === undefined) return { subject, done: this.#steps }
    // What is left of the subject is worth knowing too.
    const rest = later.map(({ message }) => `; then it could not be put back as it was: ${message}`).join('')
    return { subject, done: this.#steps, conflict: { ...first, message: first.message + rest } }
  }

  async #all(): Promise<void> {
    const { steps } = this.#plan
    let registers = steps.filter(step => step.kind === 'register').length
    for (const step of steps) {
      this.#at = {}
      this.#run.throwIfOver()
      await this.#do(step)
      this.#steps++
      if (step.kind !== 'register' || --registers > 0) continue
      await this.#deleteAsOnSource()
      await this.#deletes.forget()
    }
  }

  async #do(step: SchemaStep): Promise<void> {
    const { target, signal } = this.#run
    const { subject } = this.#plan
    switch (step.kind) {
      case 'config':
        if (this.#registersLeft()) await this.#undo.rememberConfig({ signal })
        return this.#write(() => setConfig(target, subject, step.config, { signal }))
      case 'register':
        this.#at = { version: step.from.version, id: step.from.id }
        return this.#register(step)
      case 'delete-version':
        this.#at = { version: step.version }
        return this.#delete(step.permanent, o => target.deleteVersion(subject, step.version, o))
      case 'delete-subject':
        return this.#delete(step.permanent, o => target.deleteSubject(subject, o))
      case 'mode':
        await this.#close()
        if (step.mode === undefined) return unlessGone(target.deleteMode(subject, { signal }))
        return target.putMode(subject, step.mode, { signal })
    }
  }

  async #register(step: RegisterStep): Promise<void> {
    const { schemaType, schema, metadata, ruleSet } = step.from
    const references =
      step.id === undefined ? await this.#run.references.resolve(step, { signal: this.#run.signal }) : step.references
    const content: SchemaContent = { schemaType, schema, references, metadata, ruleSet }
    const added =
      step.id === undefined ? await this.#registerAnew(content) : await this.#registerAs(step, content, step.id)
    this.#done.push({ step, added })
    if (step.id === undefined) this.#run.references.registered(step, this.#plan.subject, added)
  }

  async #registerAnew(content: SchemaContent): Promise<Added> {
    const { target, signal } = this.#run
    if (this.#plan.targetHas !== 'nothing' && this.#done.length === 0) await this.#undo.lookAtVersions({ signal })
    const register = () => target.register(this.#plan.subject, content, { signal })
    const { id, version } = await register().catch(async (error: unknown) => {
      if (!isIncompatible(error) || !this.#deletes.areDue(this.#done)) throw error
      // What is deleted on the source does not count there.
      const at = this.#at
      await this.#undo.keepSettings(() => this.#deleteAsOnSource())
      this.#at = at
      return register()
    })
    const added = { content, id, version }
    this.#undo.added(added)
    return added
  }

  async #registerAs(step: RegisterStep, content: SchemaContent, id: number): Promise<Added> {
    const { target, signal, firstId } = this.#run
    const { subject } = this.#plan
    await this.#open()
    await this.#deletes.announce()
    const register = async () => {
      const answer = await target.register(subject, content, { id, version: step.version, signal })
      // Most registries tell only the id.
      const version = answer.version ?? step.version
      const kept = answer.id === id && version === step.version
      const added = { content, id: answer.id, version: kept ? version : answer.version }
      this.#undo.added(added)
      if (!kept) throw firstId.differs(subject, step, answer)
      return added
    }
    return this.#write(() => firstId.through(register))
  }

  /** What needs IMPORT is tried again when it was taken away. */
  async #write<T>(request: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await request()
      } catch (error) {
        if (!isNotInImport(error) || this.#import === undefined || ++this.#entries > ENTRIES) throw error
        this.#import = await this.#run.imports.again(this.#plan.subject, this.#import)
        await this.#look()
      }
    }
  }

  async #open(): Promise<void> {
    if (this.#import !== undefined) return
    this.#import = await this.#run.imports.open(this.#plan)
    if (this.#import.unsure) await this.#look()
  }

  /** In IMPORT a version number that is in use would be overwritten without a word. */
  async #look(): Promise<void> {
    const { target, signal } = this.#run
    const there = await this.#undo.lookAtVersions({ signal })
    for (const step of this.#plan.steps) {
      if (step.kind !== 'register' || step.version === undefined || !there.has(step.version)) continue
      const found = await target.version(this.#plan.subject, step.version, { deleted: true, signal })
      if (found?.deleted === true && !this.#done.some(done => done.step === step))
        this.#undo.rememberDeleted(step.version)
      if (found === undefined || found.id === step.id) continue
      const message = `version ${step.version} is another schema on the target by now (id ${found.id}, not ${step.id}): it was registered there since the plan was made`
      throw new ConflictError('version-taken', message, { version: step.version, id: step.id })
    }
  }

  async #deleteAsOnSource(): Promise<void> {
    const write = (request: () => Promise<void>) => this.#write(request)
    await this.#deletes.do(this.#done, write, ({ step: { from } }) => {
      this.#at = { version: from.version, id: from.id }
    })
  }

  async #delete(
    permanent: boolean,
    request: (o: { permanent: boolean; signal: AbortSignal | undefined }) => Promise<void>
  ): Promise<void> {
    const { signal } = this.#run
    await this.#write(() => unlessGone(request({ permanent: false, signal })))
    if (permanent) await this.#write(() => unlessGone(request({ permanent: true, signal })))
  }

  /**
   * A version that was refused for good: those before it go as well. What did not come to its end for want of an answer stays, and the
   * next run goes on there; so do versions whose config, mode or deletes failed, which are right as they are.
   */
  async #giveUp(thrown: unknown): Promise<void> {
    if (endsTheRun(thrown) || (thrown instanceof TwinlogError && thrown.retriable)) return
    if (!this.#registersLeft()) return
    await this.#undo.takeBack({
      write: request => this.#write(request),
      keepsMode: this.#import?.own !== undefined
    })
    for (const { step } of this.#done.splice(0)) this.#run.references.forget(step)
    this.#steps = 0
    await this.#deletes.forget()
  }

  #registersLeft(): boolean {
    const { steps } = this.#plan
    return steps.slice(this.#steps).some(step => step.kind === 'register')
  }

  async #close(): Promise<void> {
    const open = this.#import
    this.#import = undefined
    if (open !== undefined) await this.#run.imports.close(open)
  }
}
