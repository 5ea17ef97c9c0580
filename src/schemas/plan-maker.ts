import { InvalidOptionError } from '../errors.js'
import { askRegistries } from './ask-registries.js'
import { closure } from './closure.js'
import type { Comparison } from './compare.js'
import { type NameMap, scopeOf, splitSubject } from './names.js'
import type { Plan } from './plan.js'
import { type PlanInput, planSync } from './planner.js'
import { Answers } from './questions.js'
import { RegistryReader } from './registry-reader.js'
import type { RegistryClient } from './registry-types.js'
import { SettingsChoice, type SettingsPair } from './settings-choice.js'
import { NO_SETTINGS } from './snapshot.js'
import { SyncMemory } from './sync-memory.js'

export interface PlanMakerOptions {
  source: RegistryClient
  target: RegistryClient
  names: NameMap
  ids: 'preserve' | 'translate'
  syncConfig: boolean
  /** Asked for by name: every config is read in every run. */
  everyConfig: boolean
  syncMode: boolean
  syncDeletes: boolean
  importScope: 'auto' | 'subject' | 'context'
  concurrency: number
}

export interface Prepared {
  plan: Plan
  comparison: Comparison
  input: PlanInput
  /** Config fields that the target is seen to drop for the first time. */
  newlyDropped: string[]
}

export interface PrepareOptions {
  /** These subjects of the source and what they refer to; undefined: all that is selected. */
  only?: readonly string[] | undefined
  /** Both sides were just read as far as `only` goes. */
  isRead?: boolean | undefined
  /** Configs and modes of all subjects, whatever it costs. */
  every?: boolean | undefined
  settings?: SettingsPair | undefined
  signal?: AbortSignal | undefined
}

/** More than that is a mistake of ours: an answer never opens a question that was answered. */
const MOST_ROUNDS = 100

/** Reads both registries and makes a plan; what was read is kept for the next time. */
export class PlanMaker {
  readonly source: RegistryReader
  readonly target: RegistryReader
  readonly memory = new SyncMemory()
  readonly names: NameMap
  readonly #o: PlanMakerOptions
  readonly #answers = new Answers()
  readonly #choice: SettingsChoice

  constructor(o: PlanMakerOptions) {
    this.#o = o
    this.names = o.names
    this.#choice = new SettingsChoice(o)
    const { concurrency, names } = o
    const prefix = (context: string | undefined) => (context === undefined ? undefined : (scopeOf(context) ?? ''))
    this.source = new RegistryReader({ client: o.source, prefix: prefix(names.sourceContext), concurrency })
    this.target = new RegistryReader({ client: o.target, prefix: prefix(names.targetContext), concurrency })
  }

  async prepare(o: PrepareOptions = {}): Promise<Prepared> {
    const settings = o.settings ?? (await this.settings(o))
    const subjects = await this.#readSubjects(o)
    const input: PlanInput = this.#input(subjects, o)
    await this.#choice.readLevels(subjects, settings, o)
    const first = await this.#plan({ ...input, settings: { source: NO_SETTINGS, target: settings.target.settings } }, o)
    await this.#choice.readSettings(subjects, { plan: first.plan, there: this.target.view.names }, settings, o)
    const newlyDropped = this.memory.checkConfigs(settings.target.settings.configs)
    const complete = { ...input, settings: { source: settings.source.settings, target: settings.target.settings } }
    const { plan, comparison } = await this.#plan(complete, o)
    for (const compared of comparison.subjects.values())
      if (compared.versions.some(({ at }) => at)) this.memory.formerly.set(compared.subject, compared.from)
    return { plan, comparison, input: complete, newlyDropped }
  }

  /** Readers of config and modes, for one run. */
  settings(o: { signal?: AbortSignal | undefined }): Promise<SettingsPair> {
    return this.#choice.settings(o)
  }

  /** Undefined where a registry has none, as Apicurio. */
  contexts(o: { signal?: AbortSignal | undefined }): ReturnType<SettingsChoice['contexts']> {
    return this.#choice.contexts(o)
  }

  /** For subjects that are about to be created; the others' are read when it is their turn. */
  async readConfigsAhead(
    subjects: readonly string[],
    settings: SettingsPair,
    o: { signal?: AbortSignal | undefined }
  ): Promise<void> {
    const { names } = this.target.view
    const fresh = subjects.filter(subject => !names.has(this.names.toTarget(subject)))
    await this.#choice.readAhead(fresh, settings, o)
  }

  /** Subjects of the source that are selected, by the last look at its list. Two that become one are refused. */
  selected(): string[] {
    const { names } = this.#o
    const selected = [...this.source.view.names].filter(subject => names.selects(subject)).sort()
    refuseCollisions(selected, names)
    return selected
  }

  /** Subjects of the source that would have to be read one by one; undefined: it has lists. */
  unreadOfSource(o: { signal?: AbortSignal | undefined }): Promise<string[] | undefined> {
    return this.source.unread({ wanted: subject => this.#o.names.selects(subject), ...o })
  }

  async readTarget(o: { signal?: AbortSignal | undefined }): Promise<void> {
    await this.target.read({ wanted: subject => this.wantedOfTarget(subject), ...o })
  }

  /** What of the target can have to do with the selection. */
  wantedOfTarget(subject: string): boolean {
    const { names } = this.#o
    return names.inTarget(subject) && (names.renames || names.fromTarget(subject) !== undefined)
  }

  async #readSubjects(o: PrepareOptions): Promise<string[]> {
    const { names } = this.#o
    const { only, isRead, signal } = o
    if (only === undefined && isRead !== true) {
      await Promise.all([
        this.source.read({ wanted: subject => names.selects(subject), signal }),
        this.target.read({ wanted: subject => this.wantedOfTarget(subject), signal })
      ])
    } else if (only !== undefined && isRead !== true) {
      await this.source.readSubjects(only, { signal })
    }
    const subjects = await closure(only ?? this.selected(), this.source, names, { signal })
    refuseCollisions(subjects, names)
    await this.#readCounterparts(subjects, only !== undefined && isRead !== true, o)
    return subjects
  }

  /** Subjects of the target that the general reading did not bring: what is referred to without being selected. */
  async #readCounterparts(subjects: readonly string[], again: boolean, { signal }: PrepareOptions): Promise<void> {
    const { names } = this.#o
    const { table } = this.source.view
    const outside = subjects
      .flatMap(subject => table.get(subject) ?? [])
      .flatMap(({ subject, references }) => names.references(subject, references).map(to => ({ to, subject })))
      .map(({ to, subject }) =>
        to.subject.startsWith(':') ? to.subject : inContextOf(names.toTarget(subject), to.subject)
      )
      .map(plain)
      .filter(subject => !names.inTarget(subject))
    const own = subjects.map(subject => names.toTarget(subject))
    const { view } = this.target
    const missing = own.filter(subject => again || (view.names.has(subject) && !view.table.has(subject)))
    await this.target.readSubjects([...missing, ...outside.filter(subject => !view.table.has(subject))], { signal })
  }

  #input(subjects: readonly string[], { only }: PrepareOptions): PlanInput {
    const { ids, names, syncMode, syncDeletes, importScope } = this.#o
    const { view } = this.target
    return {
      ids,
      names,
      syncMode,
      syncDeletes,
      importScope: only === undefined ? importScope : 'subject',
      source: this.source.view.table,
      target: view.table,
      subjects,
      answers: this.#answers,
      settled: (from, subject) => this.memory.settled(from, subject),
      settings: { source: NO_SETTINGS, target: NO_SETTINGS },
      droppedConfig: this.memory.droppedConfig,
      targetNames: view.names,
      targetIsWhole: view.whole,
      whole: only === undefined,
      formerly: this.memory.formerly,
      guessed: at => this.target.isGuessed(at)
    }
  }

  async #plan(input: PlanInput, { signal }: PrepareOptions): Promise<{ plan: Plan; comparison: Comparison }> {
    const { source, target, concurrency } = this.#o
    for (let round = 0; round < MOST_ROUNDS; round++) {
      const planned = planSync(input)
      const open = this.#answers.takeOpen()
      if (open.length === 0) return planned
      await askRegistries(open, this.#answers, { source, target, concurrency, signal })
    }
    throw new Error('a plan that opens a question with every answer')
  }

  /** After a run: what was asked of the registries may be otherwise by the next one. */
  endRun(): void {
    this.#answers.keepForNextRun()
  }
}

function refuseCollisions(subjects: readonly string[], names: NameMap): void {
  const taken = new Map<string, string>()
  for (const subject of subjects) {
    const target = names.toTarget(subject)
    const other = taken.get(target)
    if (other !== undefined && other !== subject) {
      const problem = `makes one subject of two: "${other}" and "${subject}" would both be "${target}". Nothing was changed`
      throw new InvalidOptionError('schemas.rename', problem, { subject })
    }
    taken.set(target, subject)
  }
}

function inContextOf(parent: string, subject: string): string {
  const scope = scopeOf(splitSubject(parent).context)
  return scope === undefined ? subject : scope + subject
}

function plain(subject: string): string {
  return subject.startsWith(':.:') ? subject.slice(3) : subject
}
