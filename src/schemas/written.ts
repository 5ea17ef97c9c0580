import type { ApplyResult, SubjectPlan } from './plan-types.js'
import type { SchemaVersion } from './registry-types.js'

export interface Written {
  versions: SchemaVersion[]
  /** The registry did not tell the numbers of new versions: they are what a registry gives in its order. */
  guessed: boolean
}

/** What a subject of the target holds after its plan was carried out in full, so that it need not be read again. */
export function written(
  before: readonly SchemaVersion[],
  { subject, steps }: SubjectPlan,
  registered: readonly ApplyResult['registered'][number][]
): Written {
  const versions = new Map(before.map(version => [version.version, version]))
  let guessed = false
  const doomed: number[] = []
  for (const step of steps) {
    if (step.kind === 'delete-subject') {
      for (const [number, version] of versions) remove(versions, number, version, step.permanent)
    } else if (step.kind === 'delete-version') {
      const version = versions.get(step.version)
      if (version) remove(versions, step.version, version, step.permanent)
    } else if (step.kind === 'register') {
      const done = registered.find(({ from }) => from === step.from)
      if (!done) continue
      const told = done.version ?? step.version
      const same = told ?? sameId(versions, done.id)
      const number = same ?? Math.max(0, ...versions.keys()) + 1
      if (step.thenDelete) doomed.push(number)
      // What the registry took for a version that it has: its own text stands.
      if (step.version === undefined && same !== undefined && versions.get(same)?.deleted === false) continue
      if (told === undefined) guessed = true
      const { schemaType, schema, metadata, ruleSet } = step.from
      const content = { schemaType, schema, references: step.references, metadata, ruleSet }
      versions.set(number, { subject, version: number, id: done.id, deleted: false, ...content })
    }
  }
  for (const number of doomed) {
    const version = versions.get(number)
    if (version) remove(versions, number, version, false)
  }
  return { versions: [...versions.values()].sort((a, b) => a.version - b.version), guessed }
}

/** What the registry took for a live version that it has already got no number of its own. */
function sameId(versions: ReadonlyMap<number, SchemaVersion>, id: number): number | undefined {
  for (const [number, version] of versions) if (version.id === id && !version.deleted) return number
  return undefined
}

function remove(
  versions: Map<number, SchemaVersion>,
  number: number,
  version: SchemaVersion,
  permanent: boolean
): void {
  if (permanent) versions.delete(number)
  else versions.set(number, { ...version, deleted: true })
}
