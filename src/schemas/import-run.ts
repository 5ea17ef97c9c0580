import { TwinlogError } from '../errors.js'
import type { Logger } from '../logger.js'
import { ImportScope } from './import-scope.js'
import { DEFAULT_CONTEXT, scopeOf, splitSubject } from './names.js'
import type { SchemaPlan, SubjectPlan } from './plan-types.js'
import { isOccupied, isUnreachable } from './refusals.js'
import type { RegistryClient } from './registry-types.js'

/** How a context of the target comes to IMPORT in this run. */
type Way =
  /** It is in IMPORT already, and stays. */
  | { kind: 'operator' }
  | { kind: 'context'; scope: ImportScope; epoch: number; entering: Promise<void> | undefined }
  | { kind: 'subjects' }

/** A subject that can be registered into under given ids. */
export interface SubjectImport {
  /** The scope is the subject itself: deleting its last live version ends it. */
  own: ImportScope | undefined
  /** Others may have written to the subject since the plan was made: look before writing. */
  unsure: boolean
  epoch: number
}

/** IMPORT for all of a run: contexts as a whole, or subject by subject, as the plan says. */
export class ImportRun {
  readonly #target: RegistryClient
  readonly #plan: SchemaPlan
  readonly #owner: string
  readonly #logger: Logger
  readonly #ways = new Map<string | undefined, Way>()
  /** Of subjects, until they are left. */
  readonly #own = new Set<ImportScope>()
  #hasContexts = true

  constructor(o: { target: RegistryClient; plan: SchemaPlan; owner: string; logger: Logger }) {
    this.#target = o.target
    this.#plan = o.plan
    this.#owner = o.owner
    this.#logger = o.logger
  }

  /** Whether notes can be kept on the target. */
  get canNote(): boolean {
    return this.#hasContexts
  }

  /** Before anything is written: whether IMPORT can be had at all, and contexts that are entered as a whole. */
  async prepare(): Promise<void> {
    const subjects = this.#plan.subjects.filter(needsImport)
    if (subjects.length === 0) return
    // Apicurio answers, but with something else than contexts.
    this.#hasContexts = (await this.#target.contexts())?.includes(DEFAULT_CONTEXT) === true
    const scopes = new Set(subjects.map(({ subject }) => contextOf(subject)))
    for (const scope of scopes) {
      if ((await this.#target.mode(scope, { resolved: true })) === 'IMPORT') this.#ways.set(scope, { kind: 'operator' })
      else if (!this.#hasContexts)
        await this.#requireImport(subjects.filter(({ subject }) => contextOf(subject) === scope))
      else this.#ways.set(scope, { kind: 'subjects' })
    }
    for (const scope of scopes) {
      if (this.#ways.get(scope)?.kind === 'subjects' && this.#isWhole(scope)) await this.#enterContext(scope)
    }
  }

  async open(plan: SubjectPlan): Promise<SubjectImport> {
    const way = this.#ways.get(contextOf(plan.subject)) ?? { kind: 'subjects' }
    const unsure = plan.targetHas !== 'nothing'
    if (way.kind === 'operator') return { own: undefined, unsure, epoch: 0 }
    if (way.kind === 'context') return { own: undefined, unsure: unsure || way.epoch > 0, epoch: way.epoch }
    const own = await this.#enterSubject(plan.subject, unsure)
    return { own, unsure, epoch: 0 }
  }

  /** After a refusal: it was ended by a repair of another process, by a delete that cleared it, or the subject has a mode of its own. */
  async again(subject: string, open: SubjectImport): Promise<SubjectImport> {
    if (open.own !== undefined) {
      await open.own.enter({ force: true })
      return { ...open, unsure: true }
    }
    const scope = contextOf(subject)
    const way = this.#ways.get(scope)
    if (way?.kind === 'context') {
      if (way.epoch > open.epoch) return { ...open, unsure: true, epoch: way.epoch }
      if ((await this.#target.mode(scope, { resolved: true })) !== 'IMPORT') {
        way.entering ??= this.#enterAgain(way).finally(() => (way.entering = undefined))
        await way.entering
        return { ...open, unsure: true, epoch: way.epoch }
      }
    }
    if (!this.#hasContexts) throw unsupported(this.#target, subject)
    return { own: await this.#enterSubject(subject, true), unsure: true, epoch: open.epoch }
  }

  async close(open: SubjectImport): Promise<void> {
    if (open.own === undefined) return
    await open.own.leave()
    this.#own.delete(open.own)
  }

  /** Everything that is still entered. Throws the first failure when all was tried; what failed keeps its note. */
  async closeAll(): Promise<void> {
    const contexts = [...this.#ways.values()].flatMap(way => (way.kind === 'context' ? way.scope : []))
    const errors: unknown[] = []
    for (const scope of [...this.#own, ...contexts]) {
      await scope.leave({ careful: true }).catch((error: unknown) => errors.push(error))
      // Nothing is gained by finding that out for each.
      if (errors.some(isUnreachable)) break
    }
    if (errors.length > 0) throw errors[0]
  }

  #isWhole(scope: string | undefined): boolean {
    return this.#plan.importScopes !== 'subjects' && this.#plan.importScopes.includes(scope)
  }

  async #enterContext(scope: string | undefined): Promise<void> {
    const occupied = this.#plan.occupiedScopes.includes(scope)
    const importing = this.#scope(scope)
    const way: Way = { kind: 'context', scope: importing, epoch: 0, entering: undefined }
    this.#ways.set(scope, way)
    try {
      // Of the registry itself Confluent asks that no context has a subject, our note among them.
      await importing.enter({ force: occupied || scope === undefined })
      // From here on nobody else can register there, so this answer stays true.
      if (occupied || (await this.#isEmpty(scope))) return
      await importing.leave({ careful: true })
    } catch (error) {
      if (!isOccupied(error)) throw error
    }
    this.#logger.info(
      { registry: this.#target.name, context: scope ?? '.' },
      'the context has subjects by now: it is imported subject by subject'
    )
    this.#ways.set(scope, { kind: 'subjects' })
  }

  async #isEmpty(scope: string | undefined): Promise<boolean> {
    const subjects = await this.#target.subjects({ prefix: scope ?? '', deleted: true })
    return !subjects.some(subject => contextOf(subject) === scope)
  }

  async #enterAgain(way: Way & { kind: 'context' }): Promise<void> {
    await way.scope.enter({ force: true })
    way.epoch++
  }

  async #enterSubject(subject: string, force: boolean): Promise<ImportScope> {
    const own = this.#scope(subject)
    this.#own.add(own)
    try {
      await own.enter({ force })
    } catch (error) {
      // In doubt it stays on the list, and is left at the end of the run.
      await own.leave()
      this.#own.delete(own)
      throw error
    }
    return own
  }

  #scope(scope: string | undefined): ImportScope {
    return new ImportScope({ target: this.#target, scope, owner: this.#owner })
  }

  async #requireImport(subjects: readonly SubjectPlan[]): Promise<void> {
    for (const { subject } of subjects) {
      if ((await this.#target.mode(subject, { resolved: true })) !== 'IMPORT') throw unsupported(this.#target, subject)
      this.#ways.set(contextOf(subject), { kind: 'operator' })
    }
  }
}

/** `undefined` for the default context. */
function contextOf(subject: string): string | undefined {
  return scopeOf(splitSubject(subject).context)
}

function needsImport({ steps }: SubjectPlan): boolean {
  return steps.some(step => step.kind === 'register' && step.id !== undefined)
}

function unsupported(target: RegistryClient, subject: string): TwinlogError {
  const message = `registry ${target.name} has no contexts, where notes about an import could be kept, and ${subject} is not in IMPORT mode: put the registry into IMPORT mode yourself if it has it, or use ids: 'translate'`
  return new TwinlogError('TWINLOG_UNSUPPORTED', message, { subject })
}
