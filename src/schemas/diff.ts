import { compare, type ComparedSubject } from './compare.js'
import { extras } from './plan-deletes.js'
import { configDiffers, levelSteps, modeDiffers } from './plan-settings.js'
import { count } from './plan.js'
import type { PlanInput } from './planner.js'
import type { RegistryLevelConfig } from './registry-types.js'
import { table } from './table.js'

export const SCHEMA_DIFFERENCES = [
  /** The target lacks it. */
  'missing',
  /** The source lacks it. */
  'extra',
  'id',
  'content',
  'version',
  'deleted',
  /** The compatibility level. */
  'level',
  /** Other fields of the config. */
  'config',
  'mode'
] as const

export type SchemaDifferenceKind = (typeof SCHEMA_DIFFERENCES)[number]

export interface SchemaDifference {
  kind: SchemaDifferenceKind
  /** Of the source; of the target where the source lacks it. Undefined: the subject as a whole. */
  version?: number | undefined
  /** What the source has, and what the target has. */
  source?: unknown
  target?: unknown
}

export interface SubjectDrift {
  /** On the source; undefined: only the target has it. */
  from: string | undefined
  /** On the target. A context (`:.ctx:`) or `(registry)` for config and mode of a whole. */
  subject: string
  differences: SchemaDifference[]
}

/** Where two registries differ. Nothing was changed for it. */
export class SchemaDrift {
  readonly at: Date
  readonly ids: 'preserve' | 'translate'
  /** Subjects of the source that were compared. */
  readonly compared: number
  /** Subjects that differ. */
  readonly subjects: readonly SubjectDrift[]

  constructor(fields: Pick<SchemaDrift, 'at' | 'ids' | 'compared' | 'subjects'>) {
    this.at = fields.at
    this.ids = fields.ids
    this.compared = fields.compared
    this.subjects = fields.subjects
  }

  /** Nothing differs. */
  get clean(): boolean {
    return this.subjects.length === 0
  }

  toJSON(): Record<string, unknown> {
    return {
      at: this.at.toISOString(),
      ids: this.ids,
      compared: this.compared,
      clean: this.clean,
      subjects: this.subjects
    }
  }

  /** For people. */
  toString(): string {
    const head = `${count(this.subjects.length, 'subject')} different, ${this.compared.toLocaleString('en-US')} compared, ids: ${this.ids}`
    if (this.clean) return head
    const rows = this.subjects.flatMap(({ subject, differences }) =>
      differences.map(({ kind, version, source, target }) => [
        subject,
        version === undefined ? '' : String(version),
        kind,
        text(source),
        text(target)
      ])
    )
    return `${head}\n${table(['subject', 'version', 'differs', 'source', 'target'], rows)}`
  }
}

/** By the same comparison as a plan, with all that a plan leaves alone. */
export function findDrift(input: PlanInput): SubjectDrift[] {
  const comparison = compare(input)
  const found: SubjectDrift[] = []
  const extra = new Map(extras(comparison, input).map(one => [one.subject, one]))
  for (const compared of comparison.subjects.values()) {
    const differences = [
      ...versionDifferences(compared, input),
      ...settingDifferences(compared.from, compared.subject, input)
    ]
    for (const { version, id } of extra.get(compared.subject)?.versions ?? [])
      differences.push({ kind: 'extra', version, target: { id } })
    extra.delete(compared.subject)
    if (differences.length > 0) found.push({ from: compared.from, subject: compared.subject, differences })
  }
  for (const { subject, versions } of extra.values()) {
    const ids = versions.map(({ version, id }) => ({ version, id }))
    found.push({ from: undefined, subject, differences: [{ kind: 'extra', target: ids }] })
  }
  const { configs, modes } = input.settings.target
  for (const { scope, steps } of levelSteps({ ...input, syncMode: true })) {
    const differences = steps.flatMap(step => {
      if (step.kind === 'config') return configDifferences(step.config, configs.get(scope), input)
      return step.kind === 'mode' ? [{ kind: 'mode' as const, source: step.mode, target: modes.get(scope) }] : []
    })
    found.push({ from: undefined, subject: scope ?? '(registry)', differences })
  }
  return found.sort((a, b) => (a.subject < b.subject ? -1 : 1))
}

function versionDifferences({ versions }: ComparedSubject, { ids }: PlanInput): SchemaDifference[] {
  if (versions.length > 0 && versions.every(({ state }) => state === 'missing'))
    return [{ kind: 'missing', source: versions.map(({ from }) => ({ version: from.version, id: from.id })) }]
  return versions.flatMap(({ from, at, state }): SchemaDifference[] => {
    const { version, id } = from
    const found: SchemaDifference[] = []
    if (state === 'missing') found.push({ kind: 'missing', version, source: { id } })
    if (state === 'id-differs' || (state === 'content-differs' && at?.id !== id))
      found.push({ kind: 'id', version, source: id, target: at?.id })
    if (state === 'content-differs') found.push({ kind: 'content', version })
    if (state === 'dead' || state === 'live')
      found.push({ kind: 'deleted', version, source: from.deleted, target: at?.deleted })
    if (ids === 'translate' && at && at.version !== version)
      found.push({ kind: 'version', version, source: version, target: at.version })
    return found
  })
}

function settingDifferences(from: string, subject: string, input: PlanInput): SchemaDifference[] {
  const { source, target } = input.settings
  const found = source.configs.has(from)
    ? configDifferences(source.configs.get(from), target.configs.get(subject), input)
    : []
  const [mode, modeThere] = [source.modes.get(from), target.modes.get(subject)]
  if (source.modes.has(from) && modeDiffers(mode, modeThere))
    found.push({ kind: 'mode', source: mode, target: modeThere })
  return found
}

function configDifferences(
  source: RegistryLevelConfig | undefined,
  target: RegistryLevelConfig | undefined,
  { droppedConfig }: PlanInput
): SchemaDifference[] {
  const { compatibilityLevel: level, ...rest } = source ?? {}
  const { compatibilityLevel: levelThere, ...restThere } = target ?? {}
  return [
    ...(level === levelThere ? [] : [{ kind: 'level' as const, source: level, target: levelThere }]),
    ...(configDiffers(rest, restThere, droppedConfig)
      ? [{ kind: 'config' as const, source: rest, target: restThere }]
      : [])
  ]
}

function text(value: unknown): string {
  if (value === undefined) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}
