import { TwinlogError } from '../errors.js'
import type { Logger } from '../logger.js'
import { SubjectRun } from './apply-subject.js'
import { FirstId } from './first-id.js'
import type { IdMap } from './id-map.js'
import { restoreMode } from './import-note.js'
import { ImportRun } from './import-run.js'
import { inOrder } from './in-order.js'
import { splitSubject } from './names.js'
import type { ApplyResult, SchemaConflict, SchemaPlan, SchemaStep, SubjectOutcome, SubjectPlan } from './plan-types.js'
import { ConflictError, conflictOf, endsTheRun } from './refusals.js'
import type { RegistryClient } from './registry-types.js'
import { type Added, setConfig } from './subject-undo.js'
import { TargetReferences } from './target-references.js'

export interface ApplyOptions {
  plan: SchemaPlan
  target: RegistryClient
  /** Learns what was registered. */
  ids: IdMap
  /** Subjects at a time. */
  concurrency: number
  logger: Logger
  signal?: AbortSignal | undefined
  /** Called as subjects are done, or given up. */
  progress?: ((done: number, total: number) => void) | undefined
  /** Who runs, for whoever finds its notes. */
  owner: string
}

/** What one subject needs of the run it is part of. */
export interface ApplyContext {
  readonly target: RegistryClient
  readonly imports: ImportRun
  readonly references: TargetReferences
  readonly firstId: FirstId
  readonly owner: string
  readonly signal: AbortSignal | undefined
  /** Before each step. */
  throwIfOver(): void
  registered(subject: string, step: SchemaStep & { kind: 'register' }, added: Added): void
}

/** Its level is reported under this name. */
const THE_REGISTRY = '(registry)'

/** So many subjects in a row that fail for want of an answer: it is the registry, not the subjects. */
const FAILURES_IN_A_ROW = 10

/**
 * Does what a plan says. What is refused is reported for its subject and everything that comes after it, the rest goes on; only what no
 * subject would fare better with (unreachable, aborted) is thrown. However it ends, scopes are taken out of IMPORT; where that was not
 * possible their notes are left for {@link repairImports}.
 */
export async function applyPlan(o: ApplyOptions): Promise<ApplyResult> {
  return new PlanRun(o).run()
}

class PlanRun implements ApplyContext {
  readonly target: RegistryClient
  readonly imports: ImportRun
  readonly references: TargetReferences
  readonly firstId: FirstId
  readonly owner: string
  readonly signal: AbortSignal | undefined
  readonly #o: ApplyOptions
  readonly #outcomes: SubjectOutcome[] = []
  readonly #result: ApplyResult
  #failures = 0

  constructor(o: ApplyOptions) {
    this.#o = o
    this.target = o.target
    this.owner = o.owner
    this.signal = o.signal
    this.imports = new ImportRun(o)
    this.references = new TargetReferences(o.target, o.plan)
    this.firstId = new FirstId(o.target.name)
    this.#result = { outcomes: this.#outcomes, ids: new Map(), registered: [], stopped: undefined }
  }

  async run(): Promise<ApplyResult> {
    const { plan, ids } = this.#o
    this.throwIfOver()
    ids.retry()
    // Levels before what is registered under them, except in IMPORT, where they do not count and `normalize` would change texts.
    if (plan.ids === 'translate') await this.#levels('config')
    await this.#subjects()
    if (plan.ids === 'preserve') await this.#levels('config')
    await this.#levels('mode')
    return { ...this.#result, stopped: this.firstId.stopped }
  }

  throwIfOver(): void {
    const { signal } = this.#o
    if (signal?.aborted === true)
      throw new TwinlogError('TWINLOG_ABORTED', 'aborted by the caller', { cause: signal.reason })
    if (this.firstId.stopped !== undefined) throw new ConflictError('blocked', this.firstId.stopped.message)
  }

  registered(subject: string, { from }: SchemaStep & { kind: 'register' }, { id, version }: Added): void {
    this.#result.registered.push({ subject, from, id, version })
    const { plan, ids } = this.#o
    if (splitSubject(from.subject).context !== plan.idContext) return
    this.#result.ids.set(from.id, id)
    if (plan.ids === 'preserve') ids.learn([{ sourceId: from.id, targetId: id }])
    else ids.add(from.id, id)
  }

  async #subjects(): Promise<void> {
    const { plan, concurrency, signal } = this.#o
    const items = plan.subjects.map(subject => ({ name: subject.subject, after: subject.after, subject }))
    try {
      const refused = await this.#prepare()
      if (refused !== undefined) {
        for (const { name } of items) this.#end({ subject: name, done: 0, conflict: conflictOf(name, refused) })
        return
      }
      await inOrder(items, {
        concurrency,
        signal,
        run: ({ subject }) => this.#subject(subject),
        blocked: ({ name }, by) => this.#end({ subject: name, done: 0, conflict: blockedBy(name, by) })
      })
    } finally {
      await this.imports.closeAll()
    }
    if (signal?.aborted === true) this.throwIfOver()
  }

  /** Why no subject can be written to. */
  async #prepare(): Promise<ConflictError | undefined> {
    try {
      await this.imports.prepare()
      return undefined
    } catch (error) {
      if (error instanceof ConflictError) return error
      throw error
    }
  }

  async #subject(plan: SubjectPlan): Promise<boolean> {
    const outcome = await new SubjectRun(plan, this).run()
    this.#end(outcome)
    this.#failures = outcome.conflict?.retriable === true ? this.#failures + 1 : 0
    if (this.#failures === FAILURES_IN_A_ROW) throw outOfOrder(this.target, outcome.conflict?.message)
    return outcome.conflict === undefined
  }

  #end(outcome: SubjectOutcome): void {
    this.#outcomes.push(outcome)
    this.#o.progress?.(this.#outcomes.length, this.#o.plan.subjects.length)
  }

  async #levels(kind: 'config' | 'mode'): Promise<void> {
    for (const { scope, steps } of this.#o.plan.levels) {
      const subject = scope ?? THE_REGISTRY
      for (const step of steps) {
        if (step.kind !== kind || this.firstId.stopped !== undefined) continue
        this.throwIfOver()
        try {
          await this.#level(scope, step)
          this.#outcomes.push({ subject, done: 1 })
        } catch (error) {
          if (endsTheRun(error)) throw error
          this.#outcomes.push({ subject, done: 0, conflict: conflictOf(subject, error) })
        }
      }
    }
  }

  async #level(scope: string | undefined, step: SchemaStep): Promise<void> {
    const o = { signal: this.signal }
    if (step.kind === 'config') return setConfig(this.target, scope, step.config, o)
    if (step.kind !== 'mode') return
    if (step.mode !== undefined) return this.target.putMode(scope, step.mode, o)
    return restoreMode(this.target, scope, undefined)
  }
}

function blockedBy(subject: string, by: string | undefined): SchemaConflict {
  const message =
    by === undefined ? 'it would have to come after itself' : `it comes after ${by}, which could not be done`
  return { subject, kind: 'blocked', message }
}

function outOfOrder(target: RegistryClient, message: string | undefined): TwinlogError {
  const text = `registry ${target.name} fails for one subject after the other; the last failure: ${message}`
  return new TwinlogError('TWINLOG_SCHEMA_REGISTRY', text, { retriable: true })
}
