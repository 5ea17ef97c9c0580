import type { SchemaConflict, SchemaPlan, SchemaStep, SubjectPlan } from './plan-types.js'
import { table } from './table.js'

export type PlanFields = Omit<SchemaPlan, 'changes' | 'toJSON'>

/** What a sync would do, as something to look at. */
export class Plan implements SchemaPlan {
  readonly ids: 'preserve' | 'translate'
  readonly subjects: SubjectPlan[]
  readonly levels: { scope: string | undefined; steps: SchemaStep[] }[]
  readonly conflicts: SchemaConflict[]
  readonly compared: number
  readonly configsCompared: number
  readonly importScopes: (string | undefined)[] | 'subjects'
  readonly occupiedScopes: (string | undefined)[]
  readonly idContext: string
  readonly known: SchemaPlan['known']
  readonly then: SchemaPlan | undefined

  constructor(fields: PlanFields) {
    this.ids = fields.ids
    this.subjects = fields.subjects
    this.levels = fields.levels
    this.conflicts = fields.conflicts
    this.compared = fields.compared
    this.configsCompared = fields.configsCompared
    this.importScopes = fields.importScopes
    this.occupiedScopes = fields.occupiedScopes
    this.idContext = fields.idContext
    this.known = fields.known
    this.then = fields.then
  }

  /** Steps; a version that is registered and deleted again is one. */
  get changes(): number {
    const own = [...this.subjects, ...this.levels].reduce((sum, { steps }) => sum + steps.length, 0)
    return own + (this.then?.changes ?? 0)
  }

  toJSON(): Record<string, unknown> {
    return {
      ids: this.ids,
      changes: this.changes,
      compared: this.compared,
      configsCompared: this.configsCompared,
      importScopes: this.importScopes === 'subjects' ? 'subjects' : this.importScopes.map(scope => scope ?? null),
      levels: this.levels.map(({ scope, steps }) => ({ scope: scope ?? null, steps: steps.map(stepJson) })),
      subjects: this.subjects.map(({ from, subject, steps, after }) => ({
        from: from ?? null,
        subject,
        after,
        steps: steps.map(stepJson)
      })),
      conflicts: this.conflicts,
      ...(this.then === undefined ? {} : { then: this.then.toJSON() })
    }
  }

  toString(): string {
    const conflicts = this.conflicts.map(({ kind, message }) => ['conflict', `${kind}: ${message}`])
    const rows = [...stages(this).flatMap(stageRows), ...conflicts]
    const head = `${count(this.changes, 'change')}, ${count(this.conflicts.length, 'conflict')}; ${count(this.compared, 'subject')} compared, ids: ${this.ids}`
    return rows.length === 0 ? head : `${head}\n${table(['subject', 'what'], rows)}`
  }
}

/** The plan and those that follow it. */
export function stages(plan: SchemaPlan): SchemaPlan[] {
  return plan.then === undefined ? [plan] : [plan, ...stages(plan.then)]
}

export function count(number: number, noun: string): string {
  return `${number.toLocaleString('en-US')} ${noun}${number === 1 ? '' : 's'}`
}

function stageRows({ subjects, levels }: SchemaPlan): string[][] {
  const words = (steps: readonly SchemaStep[]) => steps.map(stepText).join(', ')
  return [
    ...levels.map(({ scope, steps }) => [scope ?? '(the registry)', words(steps)]),
    ...subjects.map(({ subject, steps }) => [subject, words(steps)])
  ]
}

function stepText(step: SchemaStep): string {
  switch (step.kind) {
    case 'config':
      return step.config === undefined ? 'remove config' : `config ${step.config.compatibilityLevel ?? 'other fields'}`
    case 'mode':
      return step.mode === undefined ? 'remove mode' : `mode ${step.mode}`
    case 'delete-subject':
      return step.permanent ? 'delete for good' : 'delete'
    case 'delete-version':
      return `delete version ${step.version}${step.permanent ? ' for good' : ''}`
    case 'register': {
      const id = step.id === undefined ? '' : ` as id ${step.id}`
      return `register version ${step.from.version}${id}${step.thenDelete ? ' and delete it' : ''}`
    }
  }
}

/** Without the texts of schemas: they make a plan unreadable, and the source has them. */
function stepJson(step: SchemaStep): Record<string, unknown> {
  if (step.kind !== 'register')
    return step.kind === 'config' ? { kind: step.kind, config: step.config ?? null } : { ...step }
  const { from, id, version, references, thenDelete } = step
  const source = { subject: from.subject, version: from.version, id: from.id, schemaType: from.schemaType }
  return { kind: step.kind, from: source, id: id ?? null, version: version ?? null, references, thenDelete }
}
