import { absoluteSubject, splitSubject } from '../../../src/schemas/names.js'
import { stages } from '../../../src/schemas/plan.js'
import type { SchemaPlan, SchemaStep, SubjectPlan } from '../../../src/schemas/plan-types.js'
import type {
  RegistryLevelConfig,
  RegistryMode,
  SchemaContent,
  SchemaReference,
  SchemaVersion
} from '../../../src/schemas/registry-types.js'
import type { Settings } from '../../../src/schemas/snapshot.js'

interface Stored extends SchemaContent {
  id: number
  deleted: boolean
}

/** What Confluent's registry does with the requests of a plan, in a few lines, and strict: what it would refuse is thrown. */
export class RegistryModel {
  readonly subjects = new Map<string, Map<number, Stored>>()
  readonly configs = new Map<string | undefined, RegistryLevelConfig>()
  readonly modes = new Map<string | undefined, RegistryMode>()
  readonly #nextId = new Map<string, number>()

  constructor(o: { firstId?: number } = {}) {
    this.#nextId.set('.', o.firstId ?? 1)
  }

  register(subject: string, content: SchemaContent, o: { id?: number | undefined; version?: number | undefined } = {}) {
    const { context } = splitSubject(subject)
    for (const reference of content.references) {
      const to = absoluteSubject(subject, reference.subject)
      if (!this.subjects.get(to)?.has(reference.version))
        throw new Error(`42201 ${subject} refers to ${to}/${reference.version}`)
    }
    const versions = this.subjects.get(subject) ?? new Map<number, Stored>()
    const same = this.#use(context, content)
    if (o.version === undefined) {
      for (const [version, stored] of versions)
        if (!stored.deleted && stored.id === same?.id) return { id: stored.id, version }
    }
    if (o.id !== undefined) {
      const owner = this.#byId(context, o.id)
      if (owner && !equal(owner, content)) throw new Error(`42205 id ${o.id} is taken`)
    }
    const id = o.id ?? same?.id ?? this.#takeId(context)
    const version = o.version ?? Math.max(0, ...versions.keys()) + 1
    for (const [other, stored] of versions)
      if (stored.deleted && stored.id === id && other < version) versions.delete(other)
    versions.set(version, { ...content, id, deleted: false })
    this.subjects.set(subject, versions)
    this.#nextId.set(context, Math.max(this.#nextId.get(context) ?? 1, id + 1))
    return { id, version }
  }

  deleteVersion(subject: string, version: number, permanent: boolean): void {
    const versions = this.subjects.get(subject)
    const stored = versions?.get(version)
    if (!versions || !stored) return
    const by = this.#referrer(subject, version)
    if (by !== undefined) throw new Error(`42206 ${by} refers to ${subject}/${version}`)
    stored.deleted = true
    if (![...versions.values()].some(({ deleted }) => !deleted)) {
      this.configs.delete(subject)
      this.modes.delete(subject)
    }
    if (permanent) versions.delete(version)
    if (versions.size === 0) this.subjects.delete(subject)
  }

  /** By anything, deleted versions included. */
  isReferred(subject: string, version: number): boolean {
    return this.#referrer(subject, version, true) !== undefined
  }

  lookup(subject: string, content: SchemaContent): { id: number; version: number } | null {
    for (const [version, stored] of this.subjects.get(subject) ?? [])
      if (equal(stored, content)) return { id: stored.id, version }
    return null
  }

  table(): Map<string, SchemaVersion[]> {
    const table = new Map<string, SchemaVersion[]>()
    for (const [subject, versions] of this.subjects) {
      const list = [...versions].map(([version, stored]) => ({ subject, version, ...stored }))
      table.set(
        subject,
        list.sort((a, b) => a.version - b.version)
      )
    }
    return table
  }

  settings(subjects: Iterable<string>): Settings {
    const scopes = [undefined, ...subjects]
    const inherited = this.modes.get(undefined) ?? 'READWRITE'
    return {
      configs: new Map(scopes.map(scope => [scope, this.configs.get(scope)])),
      modes: new Map(scopes.map(scope => [scope, this.modes.get(scope)])),
      effectiveModes: new Map(scopes.map(scope => [scope, this.modes.get(scope) ?? inherited]))
    }
  }

  /** A text that says everything of a version, with what it refers to in place of numbers. `name`: of subjects, by one side's names. */
  deep(subject: string, version: number, name: (subject: string) => string): string {
    const stored = this.subjects.get(subject)?.get(version)
    if (!stored) return 'nothing'
    const references = stored.references.map(reference => {
      const to = absoluteSubject(subject, reference.subject)
      return [reference.name, name(to), this.deep(to, reference.version, name)]
    })
    return JSON.stringify([stored.schemaType, stored.schema, references])
  }

  #use(context: string, content: SchemaContent): Stored | undefined {
    return this.#all(context).find(stored => equal(stored, content))
  }

  #byId(context: string, id: number): Stored | undefined {
    return this.#all(context).find(stored => stored.id === id)
  }

  #all(context: string): Stored[] {
    return [...this.subjects]
      .filter(([subject]) => splitSubject(subject).context === context)
      .flatMap(([, versions]) => [...versions.values()])
  }

  #takeId(context: string): number {
    return this.#nextId.get(context) ?? 1
  }

  #referrer(subject: string, version: number, byDeleted = false): string | undefined {
    for (const [other, versions] of this.subjects) {
      for (const [number, stored] of versions) {
        if (stored.deleted && !byDeleted) continue
        const refers = (to: SchemaReference) => absoluteSubject(other, to.subject) === subject && to.version === version
        if (stored.references.some(refers)) return `${other}/${number}`
      }
    }
    return undefined
  }
}

/** Does what a plan says, as the executor would: stage by stage, each subject after those it names. */
export function applyTo(model: RegistryModel, plan: SchemaPlan): Map<string, number> {
  const settled = new Map<string, number>()
  const places = new Map([...plan.known].map(([key, { version }]) => [key, version]))
  for (const { subjects, levels } of stages(plan)) {
    for (const { scope, steps } of levels) for (const step of steps) settingOf(model, scope, step)
    for (const subject of ordered(subjects)) applySubject(model, subject, places, settled)
  }
  return settled
}

function applySubject(
  model: RegistryModel,
  { subject, steps }: SubjectPlan,
  places: Map<string, number>,
  settled: Map<string, number>
): void {
  let registers = steps.filter(({ kind }) => kind === 'register').length
  const doomed: number[] = []
  for (const step of steps) {
    if (step.kind === 'delete-subject') {
      const versions = [...(model.subjects.get(subject)?.keys() ?? [])]
      for (const version of versions) model.deleteVersion(subject, version, false)
      if (step.permanent) for (const version of versions) model.deleteVersion(subject, version, true)
    } else if (step.kind === 'delete-version') {
      model.deleteVersion(subject, step.version, step.permanent)
    } else if (step.kind === 'register') {
      const references = step.references.map((reference, index) => {
        const to = step.refersTo[index]!
        const version = step.id === undefined ? places.get(`${to.subject}\n${to.version}`) : reference.version
        if (version === undefined) throw new Error(`${subject}: no place of ${to.subject}/${to.version}`)
        return { ...reference, version }
      })
      const { schemaType, schema } = step.from
      const { id, version } = model.register(subject, { schemaType, schema, references }, step)
      if (step.id !== undefined && id !== step.id) throw new Error('another id')
      places.set(`${step.from.subject}\n${step.from.version}`, version)
      settled.set(`${step.from.subject}\n${step.from.version}\n${step.from.id}`, id)
      if (step.thenDelete) doomed.push(version)
      if (--registers === 0) for (const version of doomed.reverse()) model.deleteVersion(subject, version, false)
    } else {
      settingOf(model, subject, step)
    }
  }
}

function settingOf(model: RegistryModel, scope: string | undefined, step: SchemaStep): void {
  if (step.kind === 'config') {
    if (step.config === undefined) model.configs.delete(scope)
    else model.configs.set(scope, { ...model.configs.get(scope), ...step.config })
  }
  if (step.kind === 'mode') {
    if (step.mode === undefined) model.modes.delete(scope)
    else model.modes.set(scope, step.mode)
  }
}

function ordered(subjects: readonly SubjectPlan[]): SubjectPlan[] {
  const done = new Set<string>()
  const list: SubjectPlan[] = []
  const names = new Set(subjects.map(({ subject }) => subject))
  let left = [...subjects]
  while (left.length > 0) {
    const ready = left.filter(({ after }) => after.every(name => done.has(name) || !names.has(name)))
    if (ready.length === 0) throw new Error(`a circle of ${left.map(({ subject }) => subject).join()}`)
    for (const subject of ready) done.add(subject.subject)
    list.push(...ready)
    left = left.filter(subject => !ready.includes(subject))
  }
  return list
}

function equal(a: SchemaContent, b: SchemaContent): boolean {
  const words = ({ schemaType, schema, references, metadata, ruleSet }: SchemaContent) =>
    JSON.stringify([schemaType, schema, references, metadata, ruleSet])
  return words(a) === words(b)
}
