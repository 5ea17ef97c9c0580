import { absoluteSubject, scopeOf, splitSubject, versionKey } from '../../../src/schemas/names.js'
import type { SchemaPlan, SchemaStep, SubjectPlan } from '../../../src/schemas/plan-types.js'
import type { SchemaVersion } from '../../../src/schemas/registry-types.js'
import type { MemoryRegistry } from './memory-registry.js'

/** The plan that copies what the target lacks. Of references that only the numbers differ in, nothing is checked. */
export function planOf(
  source: MemoryRegistry,
  target: MemoryRegistry,
  o: {
    ids?: 'preserve' | 'translate'
    importScope?: 'auto' | 'subject' | 'context'
    extra?: (subject: string) => SchemaStep[]
  } = {}
): SchemaPlan {
  const ids = o.ids ?? 'preserve'
  const known = new Map<string, { subject: string; version: number; id: number }>()
  const subjects: SubjectPlan[] = []
  for (const subject of source.versions.keys()) {
    const there = target.of(subject)
    const missing = source.of(subject).filter(version => {
      const found = there.find(other =>
        ids === 'preserve'
          ? other.version === version.version && (version.deleted || !other.deleted)
          : other.schema === version.schema
      )
      if (found !== undefined)
        known.set(versionKey(subject, version.version), { subject, version: found.version, id: found.id })
      return found === undefined
    })
    const steps = [...missing.map(version => registerStep(version, ids)), ...(o.extra?.(subject) ?? [])]
    if (steps.length === 0) continue
    const targetHas = there.length === 0 ? 'nothing' : there.some(({ deleted }) => !deleted) ? 'live' : 'deleted'
    subjects.push({ from: subject, subject, steps, after: [], targetHas })
  }
  for (const plan of subjects) {
    const needs = plan.steps.flatMap(step =>
      step.kind === 'register' ? step.refersTo.map(({ subject }) => subject) : []
    )
    plan.after = [...new Set(needs)].filter(
      need => need !== plan.subject && subjects.some(({ subject }) => subject === need)
    )
  }
  const contexts = [...new Set(subjects.map(({ subject }) => splitSubject(subject).context))]
  const occupied = contexts.filter(context =>
    [...target.versions.keys()].some(subject => splitSubject(subject).context === context)
  )
  const whole = o.importScope === 'context' ? contexts : contexts.filter(context => !occupied.includes(context))
  return {
    ids,
    subjects,
    levels: [],
    conflicts: [],
    compared: source.versions.size,
    configsCompared: 0,
    importScopes: ids === 'translate' ? [] : o.importScope === 'subject' ? 'subjects' : whole.map(scopeOf),
    occupiedScopes: whole.filter(context => occupied.includes(context)).map(scopeOf),
    idContext: '.',
    known,
    changes: subjects.reduce((sum, { steps }) => sum + steps.length, 0),
    toJSON: () => ({})
  }
}

function registerStep(from: SchemaVersion, ids: 'preserve' | 'translate'): SchemaStep {
  return {
    kind: 'register',
    from,
    ...(ids === 'preserve' ? { id: from.id, version: from.version } : {}),
    references: from.references,
    refersTo: from.references.map(({ subject, version }) => ({
      subject: absoluteSubject(from.subject, subject),
      version
    })),
    thenDelete: from.deleted
  }
}

/** Versions by short notes: `v(3, { deleted: true })`. The text names subject, version and id. */
export function fill(registry: MemoryRegistry, subject: string, versions: VersionNote[]): void {
  for (const note of versions) {
    const { id, version, deleted = false, references = [], schema = `{"type":"fixed","size":${id},"name":"s"}` } = note
    registry.put({ subject, version, id, deleted, schemaType: 'AVRO', schema, references })
  }
}

export interface VersionNote {
  id: number
  version: number
  deleted?: boolean
  schema?: string
  references?: { name: string; subject: string; version: number }[]
}

export const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
