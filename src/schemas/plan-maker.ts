import { InvalidOptionError } from '../errors.js'
import { askRegistries } from './ask-registries.js'
import { closure } from './closure.js'
import type { Comparison } from './compare.js'
import { ALWAYS_READ, ConfigSweep } from './config-sweep.js'
import { type NameMap, OWN_CONTEXT, scopeOf, splitSubject } from './names.js'
import type { Plan } from './plan.js'
import { type PlanInput, planSync } from './planner.js'
import { Answers } from './questions.js'
import { RegistryReader } from './registry-reader.js'
import type { RegistryClient } from './registry-types.js'
import { SettingsReader } from './settings-reader.js'
import { NO_SETTINGS } from './snapshot.js'
import { SyncMemory, touched } from './sync-memory.js'

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

export interface SettingsPair {
  source: SettingsReader
  target: SettingsReader
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
  readonly #sweep = new ConfigSweep()
  #contexts: { source: string[] | undefined; target: string[] | undefined } | undefined

  constructor(o: PlanMakerOptions) {
    this.#o = o
    this.names = o.names
    const { concurrency, names } = o
    const prefix = (context: string | undefined) => (context === undefined ? undefined : (scopeOf(context) ?? ''))
    this.source = new RegistryReader({ client: o.source, prefix: prefix(names.sourceContext), concurrency })
    this.target = new RegistryReader({ client: o.target, prefix: prefix(names.targetContext), concurrency })
  }

  async prepare(o: PrepareOptions = {}): Promise<Prepared> {
    const settings = o.settings ?? (await this.settings(o))
    const subjects = await this.#readSubjects(o)
    const input: PlanInput = this.#input(subjects, o)
    await this.#readLevels(input, settings, o)
    const first = await this.#plan({ ...input, settings: { source: NO_SETTINGS, target: settings.target.settings } }, o)
    await this.#readSettings(subjects, first.plan, settings, o)
    const newlyDropped = this.memory.checkConfigs(settings.target.settings.configs)
    const complete = { ...input, settings: { source: settings.source.settings, target: settings.target.settings } }
    const { plan, comparison } = await this.#plan(complete, o)
    for (const compared of comparison.subjects.values())
      if (compared.versions.some(({ at }) => at)) this.memory.formerly.set(compared.subject, compared.from)
    return { plan, comparison, input: complete, newlyDropped }
  }

  /** Readers of config and modes, for one run. */
  async settings(o: { signal?: AbortSignal | undefined }): Promise<SettingsPair> {
    const { source, target } = this.#o
    const contexts = await this.contexts(o)
    return {
      source: new SettingsReader(source, { exact: contexts.source !== undefined }),
      target: new SettingsReader(target, { exact: contexts.target !== undefined })
    }
  }

  /** Undefined where a registry has none, as Apicurio. */
  async contexts({ signal, fresh }: { signal?: AbortSignal | undefined; fresh?: boolean }) {
    const { source, target } = this.#o
    const real = (list: string[] | undefined) => (list?.includes('.') === true ? list : undefined)
    if (this.#contexts === undefined || fresh === true) {
      const [here, there] = await Promise.all([source.contexts({ signal }), target.contexts({ signal })])
      this.#contexts = { source: real(here), target: real(there) }
    }
    return this.#contexts
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

  /** For subjects that are about to be created; the others' are read when it is their turn. */
  async readConfigsAhead(
    subjects: readonly string[],
    settings: SettingsPair,
    { signal }: { signal?: AbortSignal | undefined }
  ): Promise<void> {
    const { names, syncConfig, concurrency } = this.#o
    const { view } = this.target
    const fresh = subjects.filter(subject => !view.names.has(names.toTarget(subject)))
    if (syncConfig) await settings.source.readConfigs(fresh, { concurrency, signal })
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

  async #readLevels(input: PlanInput, settings: SettingsPair, o: PrepareOptions): Promise<void> {
    const { names, concurrency } = this.#o
    const { syncConfig, syncMode } = this.#looksAt(o)
    const read = { concurrency, signal: o.signal }
    // Config and mode of a whole context are copied only when everything is.
    const whole = !names.narrowed && o.only === undefined && (syncConfig || syncMode)
    const contexts = await this.contexts({ signal: o.signal, fresh: whole })
    const targets = new Set([...input.subjects].map(subject => scopeOf(splitSubject(names.toTarget(subject)).context)))
    const known = (scope: string | undefined) =>
      scope === undefined || contexts.target?.includes(scope.slice(1, -1)) === true
    await settings.target.readModes([undefined, ...[...targets].filter(known)], read)
    if (!whole) return
    for (const context of contexts.source ?? ['.']) {
      const there = context === OWN_CONTEXT ? undefined : names.contextToTarget(context)
      if (there === undefined) continue
      if (syncConfig) await both(settings, 'readConfigs', [scopeOf(context)], [scopeOf(there)], read)
      if (syncMode) await both(settings, 'readModes', [scopeOf(context)], [scopeOf(there)], read)
    }
  }

  async #readSettings(
    subjects: readonly string[],
    plan: Plan,
    settings: SettingsPair,
    o: PrepareOptions
  ): Promise<void> {
    const { names, concurrency, everyConfig } = this.#o
    const { syncConfig, syncMode } = this.#looksAt(o)
    const { view } = this.target
    const read = { concurrency, signal: o.signal }
    const writing = touched(plan)
    const changed = new Set(subjects.filter(subject => writing.has(names.toTarget(subject))))
    const every = o.every === true || everyConfig
    const chosen = o.only === undefined ? this.#sweep.choose(subjects, changed, every) : changed
    // Of a subject that is not there nothing can be set, but for a config that somebody left behind.
    const small = every || (o.only === undefined && subjects.length <= ALWAYS_READ)
    const targets = [...chosen]
      .map(subject => names.toTarget(subject))
      .filter(subject => small || view.names.has(subject))
    if (syncConfig) await both(settings, 'readConfigs', chosen, targets, read)
    if (syncMode) await both(settings, 'readModes', chosen, targets, read)
    await settings.target.readModes(
      [...writing].filter(subject => view.names.has(subject)),
      read
    )
  }

  #looksAt({ every }: PrepareOptions): { syncConfig: boolean; syncMode: boolean } {
    return { syncConfig: this.#o.syncConfig || every === true, syncMode: this.#o.syncMode || every === true }
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

async function both(
  settings: SettingsPair,
  read: 'readConfigs' | 'readModes',
  source: Iterable<string | undefined>,
  target: Iterable<string | undefined>,
  o: { concurrency: number; signal?: AbortSignal | undefined }
): Promise<void> {
  await Promise.all([settings.source[read](source, o), settings.target[read](target, o)])
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
