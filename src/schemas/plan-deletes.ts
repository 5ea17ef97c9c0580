import type { Comparison } from './compare.js'
import type { Conflicts } from './conflicts.js'
import { versionKey } from './names.js'
import { effectiveMode, modeSteps, opens } from './plan-settings.js'
import type { SchemaConflict, SchemaStep, SubjectPlan } from './plan-types.js'
import type { PlanInput } from './planner.js'
import type { SchemaVersion } from './registry-types.js'
import { tableOf } from './snapshot.js'
import { type Part, stagesOf } from './stages.js'
import { references, topology, type VersionNode } from './topology.js'

/** What only the target has. */
export interface Extra {
  /** By the source's name; undefined: the source has no such subject. */
  from: string | undefined
  subject: string
  versions: readonly SchemaVersion[]
}

export interface Deletes {
  /** One stage after the other. */
  stages: SubjectPlan[][]
  conflicts: SchemaConflict[]
}

interface Removal {
  from: string | undefined
  subject: string
  soft: SchemaVersion[]
  permanent: SchemaVersion[]
}

/** Versions and whole subjects of the selection that the source does not have, not even softly deleted. */
export function extras(comparison: Comparison, input: PlanInput): Extra[] {
  const found: Extra[] = []
  const compared = new Set<string>()
  for (const { from, subject, extra } of comparison.subjects.values()) {
    compared.add(subject)
    if (extra.length > 0) found.push({ from, subject, versions: extra })
  }
  if (!input.whole) return found
  for (const [subject, versions] of input.target) {
    if (compared.has(subject) || !input.names.inTarget(subject)) continue
    const from = input.formerly.get(subject) ?? input.names.fromTarget(subject)
    if (from !== undefined && !input.source.has(from)) found.push({ from: undefined, subject, versions })
  }
  return found
}

/** With `syncDeletes`: what the source has deleted, dependants first. */
export function planDeletes(comparison: Comparison, conflicts: Conflicts, input: PlanInput): Deletes {
  if (!input.syncDeletes) return { stages: [], conflicts: [] }
  const extra = extras(comparison, input)
  const sourceIsEmpty = ![...input.source.keys()].some(subject => input.names.inSource(subject))
  if (sourceIsEmpty && extra.length > 0) return { stages: [], conflicts: [refusedAltogether(extra)] }
  const removals = new Map<string, Removal>()
  for (const { from, subject, versions } of extra) {
    if (from !== undefined && conflicts.has(from)) continue
    if (!confirmed(from, subject, input)) continue
    removals.set(subject, { from, subject, soft: versions.filter(({ deleted }) => !deleted), permanent: [...versions] })
  }
  for (const { from, subject, versions } of comparison.subjects.values()) {
    const soft = new Set(versions.flatMap(({ state, at }) => (state === 'live' && at ? [at] : [])))
    if (soft.size === 0 || conflicts.has(from)) continue
    const removal = removals.get(subject) ?? { from, subject, soft: [], permanent: [] }
    removals.set(subject, { ...removal, soft: [...removal.soft, ...soft] })
  }
  const kept = [...keepReadOnly(removals, input), ...keepReferred(removals, input)]
  return {
    stages: stagesOf(deletionOrder(removals)).map(stage => stage.map(part => steps(part, removals, input))),
    conflicts: kept
  }
}

function refusedAltogether(extra: readonly Extra[]): SchemaConflict {
  const message =
    `the source lists no subject at all, the target has ${extra.length} of the selection: nothing is deleted. ` +
    'If the source really was emptied, delete them on the target'
  return { subject: '*', kind: 'deletes-refused', message }
}

/** A list that is read by pages can miss a version: before anything goes for good the source is asked for the subject itself. */
function confirmed(from: string | undefined, subject: string, input: PlanInput): boolean {
  const name = from ?? input.formerly.get(subject) ?? input.names.fromTarget(subject)
  if (name === undefined) return false
  const key = JSON.stringify(['versions', name])
  const there = input.answers.versions({ kind: 'versions', key, subject: name })
  if (there === undefined) return false
  const read = (input.source.get(name) ?? []).map(({ version }) => version)
  return read.length === (there?.length ?? 0) && read.every(version => there?.includes(version))
}

/** READONLY refuses deletes, and IMPORT is entered only for what is registered. */
function keepReadOnly(removals: Map<string, Removal>, input: PlanInput): SchemaConflict[] {
  return [...removals.values()].flatMap(({ from, subject }) => {
    const mode = effectiveMode(subject, input)
    if (mode !== 'READONLY' && mode !== 'READONLY_OVERRIDE') return []
    if (from !== undefined && opens(subject, modeSteps(from, subject, input), input)) return []
    removals.delete(subject)
    return [
      {
        subject,
        kind: 'read-only',
        message: `"${subject}": the target has mode ${mode}, which refuses deletes`
      } as const
    ]
  })
}

/** What stays must not lose what it refers to; the registry would refuse it too. */
function keepReferred(removals: Map<string, Removal>, input: PlanInput): SchemaConflict[] {
  const conflicts: SchemaConflict[] = []
  const goes = () => new Set([...removals.values()].flatMap(({ soft }) => soft))
  for (let changed = true; changed; ) {
    changed = false
    const going = goes()
    const referred = new Map<string, SchemaVersion>()
    for (const versions of input.target.values()) {
      for (const version of versions) {
        if (version.deleted || going.has(version)) continue
        for (const to of references(version)) referred.set(versionKey(to.subject, to.version), version)
      }
    }
    for (const { subject, soft } of removals.values()) {
      const held = soft.find(version => referred.has(versionKey(subject, version.version)))
      const by = held && referred.get(versionKey(subject, held.version))
      if (!held || !by) continue
      const message = `"${subject}": version ${held.version} is not deleted: version ${by.version} of "${by.subject}" on the target refers to it`
      conflicts.push({ subject, kind: 'blocked', message, version: held.version, id: held.id })
      removals.delete(subject)
      changed = true
    }
  }
  return conflicts
}

/** As nodes of the same kind as for registrations, with edges the other way round: who refers goes before what it refers to. */
function deletionOrder(removals: ReadonlyMap<string, Removal>): VersionNode[] {
  const all = [...removals.values()].flatMap(({ soft, permanent }) => [...new Set([...soft, ...permanent])])
  const table = tableOf(all)
  const { order, nodes } = topology(table.keys(), table)
  const reversed = new Map<string, VersionNode>()
  // What is deleted already no longer counts as referring. Circles are as good in any order: the registry refuses them.
  for (const { from, key } of new Set([...[...order].reverse(), ...nodes.values()]))
    reversed.set(key, { key, from, refersTo: [] })
  for (const { from, refersTo } of nodes.values()) {
    if (from.deleted) continue
    const { subject, version } = from
    for (const to of refersTo) reversed.get(versionKey(to.subject, to.version))?.refersTo.push({ subject, version })
  }
  return [...reversed.values()]
}

function steps(part: Part, removals: ReadonlyMap<string, Removal>, input: PlanInput): SubjectPlan {
  const { subject, after } = part
  const removal = removals.get(subject)
  const forGood = new Set(removal?.permanent)
  const versions = part.nodes.map(({ from }) => from)
  const inOne = isWhole(removal, versions, input)
  const plan: SchemaStep[] = inOne
    ? [{ kind: 'delete-subject', permanent: versions.every(version => forGood.has(version)) }]
    : versions.map(version => ({ kind: 'delete-version', version: version.version, permanent: forGood.has(version) }))
  return { from: removal?.from, subject, steps: plan, after, targetHas: 'live' }
}

/** Everything the subject has goes, in the same way, and nothing of it holds anything else of it. */
function isWhole(removal: Removal | undefined, versions: readonly SchemaVersion[], input: PlanInput): boolean {
  const [first] = versions
  if (!removal || !first || versions.length < 2) return false
  const all = input.target.get(first.subject) ?? []
  const inside = versions.some(version => references(version).some(({ subject }) => subject === first.subject))
  if (inside || (input.source.get(removal.from ?? '') ?? []).some(({ deleted }) => !deleted)) return false
  if (removal.from === undefined) return versions.length === all.length
  return removal.permanent.length === 0 && versions.length === all.filter(({ deleted }) => !deleted).length
}
