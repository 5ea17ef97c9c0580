import type { ComparedSubject, ComparedVersion, Comparison } from './compare.js'
import type { ContentComparer } from './content-comparer.js'
import { scopeOf, splitSubject, versionKey } from './names.js'
import { effectiveMode, modeSteps, opens } from './plan-settings.js'
import type { SchemaConflict, SchemaConflictKind } from './plan-types.js'
import type { PlanInput } from './planner.js'
import type { SchemaVersion } from './registry-types.js'

/** By the source's names. */
export type Conflicts = Map<string, SchemaConflict[]>

/** What cannot be made alike, as far as it shows before anything is written. */
export function findConflicts(comparison: Comparison, input: PlanInput): Conflicts {
  const conflicts: Conflicts = new Map()
  const ids = input.ids === 'preserve' ? new TakenIds(input, comparison.contents) : undefined
  for (const compared of comparison.subjects.values()) {
    const found = [
      ...cycles(compared, comparison),
      ...contents(compared),
      ...(ids?.conflicts(compared) ?? brokenOrder(compared, input)),
      ...missingReferences(compared, comparison, input),
      ...readOnly(compared, input)
    ]
    if (found.length > 0) conflicts.set(compared.from, found)
  }
  spread(conflicts, comparison)
  return conflicts
}

export function toRegister(compared: ComparedSubject): ComparedVersion[] {
  return compared.versions.filter(({ state }) => state === 'missing' || state === 'dead')
}

function conflict(
  { subject, from }: ComparedSubject,
  kind: SchemaConflictKind,
  message: string,
  at: { version?: number; id?: number } = {}
): SchemaConflict {
  const name = from === subject ? `"${subject}"` : `"${subject}" (source: "${from}")`
  return { subject, kind, message: `${name}: ${message}`, ...at }
}

function cycles(compared: ComparedSubject, { topology }: Comparison): SchemaConflict[] {
  if (!topology.cyclic.has(compared.from) || toRegister(compared).length === 0) return []
  const message =
    'its schemas refer to themselves by way of others, so there is no order in which they could be registered'
  return [conflict(compared, 'reference-cycle', message)]
}

function contents(compared: ComparedSubject): SchemaConflict[] {
  const differing = compared.versions.filter(({ state }) => state === 'id-differs' || state === 'content-differs')
  return (['id-differs', 'content-differs'] as const).flatMap(state => {
    const [first, ...others] = differing.filter(version => version.state === state)
    if (!first) return []
    const { version, id } = first.from
    const message =
      state === 'id-differs'
        ? `version ${version} has id ${id} on the source and id ${first.at?.id} on the target, with the same content${also(others)}; ` +
          'records of the source cannot be read by it. Delete the version on the target for good, or copy with ids: "translate"'
        : `version ${version} is another schema on the target (id ${first.at?.id}, on the source id ${id})${also(others)}. ` +
          'Delete it on the target for good if it is not needed, or copy into another context'
    return [conflict(compared, state === 'id-differs' ? 'id-differs' : 'version-taken', message, { version, id })]
  })
}

function also(others: readonly ComparedVersion[]): string {
  return others.length === 0 ? '' : ` (the same goes for version ${list(others.map(({ from }) => from.version))})`
}

/** The target's newest version must be the source's: it is what serializers take that ask for the latest. */
function brokenOrder(compared: ComparedSubject, { ids }: PlanInput): SchemaConflict[] {
  const newest = compared.versions.filter(({ from }) => !from.deleted).at(-1)
  const late = toRegister(compared).filter(({ from }) => !from.deleted)
  if (ids !== 'translate' || late.length === 0 || !newest || late.includes(newest)) return []
  const versions = late.map(({ from }) => from.version)
  const message =
    `version ${newest.from.version} of the source is on the target, ${list(versions)} before it ${versions.length > 1 ? 'are' : 'is'} not; ` +
    'registered now, an old version would be the latest one. Delete the subject on the target for good and copy it anew'
  return [conflict(compared, 'version-order', message, { version: versions[0] ?? 0 })]
}

function missingReferences(compared: ComparedSubject, comparison: Comparison, input: PlanInput): SchemaConflict[] {
  const { nodes } = comparison.topology
  return toRegister(compared).flatMap(({ from }) => {
    const refersTo = nodes.get(versionKey(from.subject, from.version))?.refersTo ?? []
    return refersTo
      .filter(({ subject, version }) => !nodes.has(versionKey(subject, version)) && !isThere(subject, version, input))
      .map(to => {
        const where = input.names.inSource(to.subject)
          ? 'which the source does not have'
          : 'which is outside the copied context and not on the target'
        const message = `version ${from.version} refers to version ${to.version} of "${to.subject}", ${where}`
        return conflict(compared, 'missing-reference', message, { version: from.version, id: from.id })
      })
  })
}

/** Gone from the source, or never copied: the target can have it all the same, and with `preserve` by the same number. */
function isThere(subject: string, version: number, { ids, names, target }: PlanInput): boolean {
  if (ids === 'translate') return false
  return target.get(names.toTarget(subject))?.some(there => there.version === version) === true
}

function readOnly(compared: ComparedSubject, input: PlanInput): SchemaConflict[] {
  if (toRegister(compared).length === 0) return []
  if (opens(compared.subject, modeSteps(compared.from, compared.subject, input), input)) return []
  const mode = effectiveMode(compared.subject, input)
  const stands = input.ids === 'preserve' ? mode !== 'READONLY_OVERRIDE' : mode === 'READWRITE'
  if (stands) return []
  const how =
    input.ids === 'preserve'
      ? 'mode READONLY_OVERRIDE, which no IMPORT mode overrides'
      : mode === 'IMPORT'
        ? 'mode IMPORT, where schemas are accepted only with ids of their own; copy with ids: "preserve", or put the mode back'
        : `mode ${mode}`
  return [conflict(compared, 'read-only', `the target has ${how}`)]
}

/** Who needs what will not be there cannot be copied either. */
function spread(conflicts: Conflicts, comparison: Comparison): void {
  const dependants = new Map<string, Map<string, ComparedVersion>>()
  for (const compared of comparison.subjects.values()) {
    for (const version of toRegister(compared)) {
      for (const to of comparison.topology.nodes.get(versionKey(compared.from, version.from.version))?.refersTo ?? []) {
        if (to.subject === compared.from || comparison.known.has(versionKey(to.subject, to.version))) continue
        const list = dependants.get(to.subject) ?? new Map<string, ComparedVersion>()
        dependants.set(to.subject, list.set(compared.from, version))
      }
    }
  }
  const todo = [...conflicts.keys()]
  for (let cause = todo.pop(); cause !== undefined; cause = todo.pop()) {
    for (const [subject, { from }] of dependants.get(cause) ?? []) {
      const compared = comparison.subjects.get(subject)
      if (!compared || conflicts.has(subject)) continue
      const message = `version ${from.version} refers to "${cause}", which cannot be copied`
      conflicts.set(subject, [conflict(compared, 'blocked', message, { version: from.version, id: from.id })])
      todo.push(subject)
    }
  }
}

/** Ids of the target, by context: each counts its own. */
class TakenIds {
  readonly #input: PlanInput
  readonly #contents: ContentComparer
  readonly #ids = new Map<string, Map<number, SchemaVersion>>()
  readonly #contexts = new Set<string>()

  constructor(input: PlanInput, contents: ContentComparer) {
    this.#input = input
    this.#contents = contents
    for (const subject of input.targetNames) this.#contexts.add(splitSubject(subject).context)
    for (const [subject, versions] of input.target) {
      const { context } = splitSubject(subject)
      const ids = this.#ids.get(context) ?? new Map<number, SchemaVersion>()
      this.#ids.set(context, ids)
      for (const version of versions) if (!ids.has(version.id)) ids.set(version.id, version)
    }
  }

  conflicts(compared: ComparedSubject): SchemaConflict[] {
    const taken = toRegister(compared).flatMap(version => {
      const by = this.#taken(version.from, compared.subject)
      return by === undefined ? [] : [{ version, by }]
    })
    const [first, ...others] = taken
    if (!first) return []
    const { version, id } = first.version.from
    const message =
      `id ${id} (version ${version}) belongs to another schema on the target${first.by === '' ? '' : `: ${first.by}`}` +
      `${also(others.map(other => other.version))}. Copy into a context of its own (target.context), or with ids: "translate"`
    return [conflict(compared, 'id-taken', message, { version, id })]
  }

  /** By whom; undefined: by nobody, or by the same content. */
  #taken(from: SchemaVersion, subject: string): string | undefined {
    const { context } = splitSubject(subject)
    const there = this.#ids.get(context)?.get(from.id)
    const references = this.#input.names.references(from.subject, from.references)
    if (there) {
      if (this.#contents.same(from, references, there)) return undefined
      const found = this.#contents.find(from, references, there.subject)
      return found === undefined || found?.id === from.id ? undefined : `version ${there.version} of "${there.subject}"`
    }
    if (this.#input.targetIsWhole || !this.#contexts.has(context)) return undefined
    const scope = scopeOf(context) ?? ':.:'
    const key = JSON.stringify(['id', scope, from.id])
    const held = this.#input.answers.id({ kind: 'id', key, id: from.id, scope })
    if (held === undefined || held === null) return undefined
    const at = { ...held, subject, version: 0, id: from.id, deleted: false }
    return this.#contents.same(from, references, at) ? undefined : ''
  }
}

function list(numbers: readonly number[]): string {
  return numbers.join(', ')
}
