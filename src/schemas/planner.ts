import { type CompareInput, type Comparison, compare } from './compare.js'
import { type Conflicts, findConflicts, toRegister } from './conflicts.js'
import { scopeOf, splitSubject, versionKey } from './names.js'
import { Plan } from './plan.js'
import { planDeletes } from './plan-deletes.js'
import { effectiveMode, levelSteps, opens } from './plan-settings.js'
import type { SchemaConflict, SchemaPlan, SubjectPlan } from './plan-types.js'
import type { Settings } from './snapshot.js'
import { stagesOf } from './stages.js'
import { SubjectDraft } from './subject-draft.js'
import type { VersionNode } from './topology.js'

export interface PlanInput extends CompareInput {
  settings: { source: Settings; target: Settings }
  syncMode: boolean
  syncDeletes: boolean
  importScope: 'auto' | 'subject' | 'context'
  /** Config fields that the target has shown to drop. */
  droppedConfig: ReadonlySet<string>
  /** Every subject of the target, also such whose versions were not read. */
  targetNames: ReadonlySet<string>
  /** `target` has the versions of all of them. */
  targetIsWhole: boolean
  /** All that is selected is compared, so what only the target has can be told. */
  whole: boolean
  /** Subjects of the target by whose source they were copied before: with `rename` a name alone does not tell. */
  formerly: ReadonlyMap<string, string>
  /** The number of this version of the target was inferred, not read. */
  guessed: (at: { subject: string; version: number }) => boolean
}

type Known = Map<string, { subject: string; version: number; id: number }>

/**
 * What has to be done to make the target like the source. Pure: the same snapshots and answers give the same plan. While questions are open
 * (see `answers`) it is provisional.
 */
export function planSync(input: PlanInput): { plan: Plan; comparison: Comparison } {
  const comparison = compare(input)
  const conflicts = findConflicts(comparison, input)
  const deletes = planDeletes(comparison, conflicts, input)
  const known: Known = new Map(comparison.known)
  const drafts = new Map<string, SubjectDraft>()
  const deleting = new Set(deletes.stages.flat().map(({ subject }) => subject))
  for (const compared of comparison.subjects.values()) {
    if (!conflicts.has(compared.from))
      drafts.set(compared.from, new SubjectDraft(compared, input, deleting.has(compared.subject)))
  }
  const parts = stagesOf(registrations(comparison, conflicts, input, known))
  const stages = parts.map(stage => stage.flatMap(part => drafts.get(part.subject)?.part(part) ?? []))
  const registering = new Set(parts.flat().map(({ subject }) => subject))
  const [first = [], ...later] = stages
  for (const [subject, draft] of drafts) {
    const alone = registering.has(subject) ? undefined : draft.settingsAlone()
    if (alone) first.push(alone)
  }
  // The last part of a subject's deletes puts its settings again.
  const ends = new Map(deletes.stages.flat().map(plan => [plan.subject, plan]))
  const removing = deletes.stages.map(stage =>
    stage.map(plan => (ends.get(plan.subject) === plan ? withSettings(plan, drafts.get(plan.from ?? ''), input) : plan))
  )
  const found = [...[...conflicts.values()].flat(), ...deletes.conflicts]
  return { plan: chain([first, ...later, ...removing], found, known, input), comparison }
}

/** In topological order: what is to be registered of subjects without a conflict. */
function registrations(comparison: Comparison, conflicts: Conflicts, input: PlanInput, known: Known): VersionNode[] {
  const wanted = new Set<string>()
  for (const compared of comparison.subjects.values()) {
    if (conflicts.has(compared.from)) continue
    for (const { from } of toRegister(compared)) wanted.add(versionKey(from.subject, from.version))
  }
  const nodes = comparison.topology.order.filter(({ key }) => wanted.has(key))
  if (input.ids === 'translate') {
    for (const { refersTo } of nodes)
      for (const to of refersTo) makeExact(versionKey(to.subject, to.version), comparison, input, known)
  }
  return nodes
}

/** A version number that was only inferred is no reference: the registry says which it is. */
function makeExact(key: string, comparison: Comparison, input: PlanInput, known: Known): void {
  const there = known.get(key)
  const node = comparison.topology.nodes.get(key)
  if (!there || !node || !input.guessed(there)) return
  const written = input.names.references(node.from.subject, node.from.references)
  const references = written.map((reference, index) => {
    const to = node.refersTo[index]
    if (!to) return reference
    const deeper = versionKey(to.subject, to.version)
    makeExact(deeper, comparison, input, known)
    return { ...reference, version: known.get(deeper)?.version ?? reference.version }
  })
  const found = comparison.contents.find(node.from, references, there.subject)
  if (found) known.set(key, { ...there, version: found.version })
}

function withSettings(plan: SubjectPlan, draft: SubjectDraft | undefined, input: PlanInput): SubjectPlan {
  const emptied = (input.source.get(plan.from ?? '') ?? []).every(({ deleted }) => deleted)
  if (!draft) return plan
  return { ...plan, steps: [...plan.steps, ...(emptied ? draft.settingsAfterEmptying() : draft.modeAfterDeletes)] }
}

/** One plan for each stage, each with the next in `then`. */
function chain(stages: SubjectPlan[][], conflicts: SchemaConflict[], known: Known, input: PlanInput): Plan {
  const subjects = stages.map(stage => stage.filter(plan => isWritable(plan, input, conflicts)))
  const levels = levelSteps(input)
  const compared = [...input.subjects]
  const fields = {
    ids: input.ids,
    compared: compared.length,
    configsCompared: compared.filter(subject => input.settings.source.configs.has(subject)).length,
    idContext: input.names.idContext,
    known
  }
  const make = (index: number): Plan => {
    const last = index === subjects.length - 1
    const next = last ? undefined : make(index + 1)
    const list = subjects[index] ?? []
    return new Plan({
      ...fields,
      subjects: list,
      levels: levels.flatMap(({ scope, steps }) => {
        // A mode comes last of all: READONLY would end everything that follows.
        const due = steps.filter(({ kind }) => (kind === 'mode' ? last : index === 0))
        return due.length === 0 ? [] : [{ scope, steps: due }]
      }),
      conflicts: index === 0 ? conflicts : [],
      ...importScopes(list, index, input),
      then: next !== undefined && next.changes > 0 ? next : undefined
    })
  }
  return make(0)
}

/** READONLY refuses config too, and IMPORT is entered only for what is registered. Deletes were looked at before. */
function isWritable({ subject, steps }: SubjectPlan, input: PlanInput, conflicts: SchemaConflict[]): boolean {
  const mode = effectiveMode(subject, input)
  if (mode !== 'READONLY' && mode !== 'READONLY_OVERRIDE') return true
  if (steps.some(({ kind }) => kind !== 'config' && kind !== 'mode') || !steps.some(({ kind }) => kind === 'config'))
    return true
  if (opens(subject, steps, input)) return true
  conflicts.push({
    subject,
    kind: 'read-only',
    message: `"${subject}": the target has mode ${mode}, which refuses config`
  })
  return false
}

function importScopes(
  subjects: readonly SubjectPlan[],
  stage: number,
  { ids, importScope, targetNames }: PlanInput
): Pick<SchemaPlan, 'importScopes' | 'occupiedScopes'> {
  if (ids === 'translate') return { importScopes: [], occupiedScopes: [] }
  const registering = subjects.filter(({ steps }) => steps.some(({ kind }) => kind === 'register'))
  const contexts = new Set(registering.map(({ subject }) => splitSubject(subject).context))
  const occupied = new Set<string>(stage > 0 ? contexts : [])
  for (const name of targetNames) occupied.add(splitSubject(name).context)
  const whole = [...contexts].filter(
    context => importScope === 'context' || (importScope === 'auto' && !occupied.has(context))
  )
  return {
    importScopes: whole.length === 0 ? 'subjects' : whole.map(scopeOf),
    occupiedScopes: whole.filter(context => occupied.has(context)).map(scopeOf)
  }
}
