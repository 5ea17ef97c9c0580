import type { Logger } from '../logger.js'
import { applyPlan } from './apply.js'
import { type HeldBack, signatureOf } from './held-back.js'
import type { IdMap } from './id-map.js'
import { repairImports } from './import-repair.js'
import { splitSubject } from './names.js'
import { Plan, stages } from './plan.js'
import type { PlanMaker, Prepared } from './plan-maker.js'
import type { ApplyResult, SchemaConflict, SchemaPlan, SubjectOutcome } from './plan-types.js'
import type { RegistryClient } from './registry-types.js'
import type { SettingsPair } from './settings-choice.js'
import { touched } from './sync-memory.js'
import { written } from './written.js'

export interface SyncRunOptions {
  maker: PlanMaker
  source: RegistryClient
  target: RegistryClient
  map: IdMap
  ids: 'preserve' | 'translate'
  concurrency: number
  /** Who runs, for whoever finds what a crash left. */
  owner: string
  logger: Logger
  warn: (message: string) => void
  only?: readonly string[] | undefined
  /** Subjects that were refused before and are not tried now. Undefined: everything is tried. */
  heldBack?: HeldBack | undefined
  signal?: AbortSignal | undefined
}

export interface SyncRunResult {
  prepared: Prepared
  outcomes: SubjectOutcome[]
  conflicts: SchemaConflict[]
  registered: ApplyResult['registered']
  repaired: number
}

/** From so many subjects on that have to be read one by one, they are registered while the next ones are read. */
const PIPELINE_FROM = 100
/** Soon something to register, then few ends at which registrations wait for the last of them. */
const FIRST_CHUNK = 25
const LARGEST_CHUNK = 400

/** One sync, from the notes of a crashed one to the last mode. */
export class SyncRun {
  readonly #o: SyncRunOptions
  readonly #outcomes: SubjectOutcome[] = []
  readonly #registered: ApplyResult['registered'] = []
  /** By subject of the target: what was refused in this run is not tried a second time. */
  readonly #refused = new Map<string, SchemaConflict>()
  #repaired = 0

  constructor(o: SyncRunOptions) {
    this.#o = o
  }

  async run(): Promise<SyncRunResult> {
    const { maker, target, logger, only, signal } = this.#o
    const contexts = await maker.contexts({ signal })
    if (contexts.target !== undefined) this.#repaired = (await repairImports(target, { logger, signal })).length
    try {
      const settings = only === undefined && this.#o.ids === 'translate' ? await this.#pipeline() : undefined
      const prepared = await maker.prepare({ only, isRead: settings !== undefined, settings, signal })
      this.#warn(prepared)
      await this.#apply(prepared)
      const conflicts = unique([...prepared.plan.conflicts, ...this.#refused.values()])
      return { prepared, outcomes: this.#outcomes, conflicts, registered: this.#registered, repaired: this.#repaired }
    } finally {
      maker.endRun()
    }
  }

  /**
   * A first sync from a registry that has to be read subject by subject: reading takes as long as registering, and neither has to wait for
   * the other. What refers to something further down the list takes it along. Undefined: there was no need to, and nothing is read yet.
   */
  async #pipeline(): Promise<SettingsPair | undefined> {
    const { maker, signal } = this.#o
    const names = await maker.unreadOfSource({ signal })
    if (names === undefined || names.length < PIPELINE_FROM) return undefined
    maker.selected()
    await maker.readTarget({ signal })
    const settings = await maker.settings({ signal })
    const chunks = growing(names)
    let reading = this.#readChunk(chunks[0] ?? [], settings)
    for (const [index, only] of chunks.entries()) {
      await reading
      reading = this.#readChunk(chunks[index + 1] ?? [], settings)
      // Its failure is thrown when it is waited for.
      reading.catch(() => undefined)
      const prepared = await maker.prepare({ only, isRead: true, settings, signal })
      await this.#apply(prepared)
      this.#assumeConfigs(prepared.plan, settings)
    }
    return settings
  }

  async #readChunk(subjects: readonly string[], settings: SettingsPair): Promise<void> {
    await Promise.all([
      this.#o.maker.source.readSubjects(subjects, { signal: this.#o.signal }),
      this.#o.maker.readConfigsAhead(subjects, settings, { signal: this.#o.signal })
    ])
  }

  #assumeConfigs(plan: SchemaPlan, settings: SettingsPair): void {
    for (const { subjects } of stages(plan)) {
      for (const { subject, steps, targetHas } of subjects) {
        if (targetHas !== 'nothing' || this.#refused.has(subject)) continue
        const config = steps.findLast(({ kind }) => kind === 'config')
        settings.target.assumeConfig(subject, config?.kind === 'config' ? config.config : undefined)
      }
    }
  }

  async #apply(prepared: Prepared): Promise<void> {
    this.#learn(prepared)
    for (const stage of stages(prepared.plan)) {
      const plan = this.#withoutRefused(stage, prepared)
      if (plan.changes > 0) await this.#applyStage(plan, prepared)
    }
  }

  async #applyStage(plan: SchemaPlan, prepared: Prepared): Promise<void> {
    const { maker, target, map, concurrency, owner, logger, signal } = this.#o
    let result: ApplyResult
    try {
      result = await applyPlan({ plan, target, ids: map, concurrency, owner, logger, signal })
    } catch (error) {
      // How far it came nobody knows.
      for (const subject of touched(plan)) maker.target.forget(subject)
      throw error
    }
    maker.memory.remember(plan, result)
    this.#note(plan, result)
    this.#outcomes.push(...result.outcomes)
    this.#registered.push(...result.registered)
    if (result.stopped !== undefined) throw result.stopped
    for (const { subject, conflict } of result.outcomes) {
      if (conflict === undefined) {
        this.#o.heldBack?.release(subject)
        continue
      }
      this.#refused.set(subject, conflict)
      const from = plan.subjects.find(other => other.subject === subject)?.from
      const signature = signatureOf(prepared.input.source.get(from ?? ''), prepared.input.target.get(subject))
      if (conflict.retriable !== true && conflict.kind !== 'blocked') this.#o.heldBack?.hold(conflict, signature)
    }
  }

  #note(plan: SchemaPlan, { outcomes, registered }: ApplyResult): void {
    const { target } = this.#o.maker
    const failed = new Set(outcomes.flatMap(({ subject, conflict }) => (conflict ? [subject] : [])))
    const bySubject = new Map<string, ApplyResult['registered']>()
    for (const one of registered) {
      const list = bySubject.get(one.subject)
      if (list) list.push(one)
      else bySubject.set(one.subject, [one])
    }
    for (const subject of plan.subjects) {
      if (!subject.steps.some(({ kind }) => kind !== 'config' && kind !== 'mode')) continue
      if (failed.has(subject.subject)) {
        target.forget(subject.subject)
        continue
      }
      const before = target.view.table.get(subject.subject) ?? []
      const { versions, guessed } = written(before, subject, bySubject.get(subject.subject) ?? [])
      target.wrote(subject.subject, versions, guessed)
    }
  }

  #withoutRefused(plan: SchemaPlan, { input }: Prepared): SchemaPlan {
    const subjects = plan.subjects.filter(({ subject, from }) => {
      if (this.#refused.has(subject)) return false
      const signature = signatureOf(input.source.get(from ?? ''), input.target.get(subject))
      const reason = this.#o.heldBack?.reason(subject, signature)
      if (reason) this.#refused.set(subject, reason)
      return reason === undefined
    })
    return new Plan({ ...plan, subjects, then: undefined })
  }

  /** Ids of what is there already. */
  #learn({ comparison, input }: Prepared): void {
    const { map, ids } = this.#o
    const found = new Map<number, Set<number>>()
    for (const { from, subject, versions } of comparison.subjects.values()) {
      if (splitSubject(from).context !== input.names.idContext) continue
      for (const { from: version, at, state } of versions) {
        if (!at || state === 'id-differs' || state === 'content-differs' || at.subject !== subject) continue
        const targets = found.get(version.id) ?? new Set<number>()
        found.set(version.id, targets.add(at.id))
      }
    }
    for (const [sourceId, targets] of found) {
      const [first = sourceId] = targets
      const now = map.targetIdOf(sourceId)
      if (ids === 'preserve') map.learn([{ sourceId, targetId: sourceId }])
      // The same content can have several ids on the target: the one that was given out stays.
      else if (now === undefined || !targets.has(now)) map.add(sourceId, first)
    }
  }

  #warn({ comparison, newlyDropped }: Prepared): void {
    for (const field of comparison.contents.dropped)
      this.#o.warn(`the target does not keep ${field} of schemas; they are compared without`)
    if (newlyDropped.length > 0)
      this.#o.warn(`the target does not keep ${newlyDropped.join(', ')} of configs; they are compared without`)
  }
}

function growing(names: readonly string[]): string[][] {
  const chunks: string[][] = []
  let size = FIRST_CHUNK
  for (let at = 0; at < names.length; at += size, size = Math.min(size * 2, LARGEST_CHUNK))
    chunks.push(names.slice(at, at + size))
  return chunks
}

function unique(conflicts: readonly SchemaConflict[]): SchemaConflict[] {
  return [...new Map(conflicts.map(one => [JSON.stringify([one.subject, one.kind, one.message]), one])).values()]
}
