import { versionKey } from './names.js'
import { components, type VersionNode } from './topology.js'

/** Versions of one subject that are registered in one go. */
export interface Part {
  subject: string
  nodes: VersionNode[]
  /** Subjects of the same stage that come before. */
  after: string[]
  /** The subject's first and last part. */
  first: boolean
  last: boolean
}

/**
 * Subjects are done one after the other, each as a whole. Where subjects refer to each other in turns (a/2 → b/1 → a/1), that has no
 * order, and their versions are dealt out over several stages.
 *
 * `nodes`: what is to be registered, what is referred to before what refers.
 */
export function stagesOf(nodes: readonly VersionNode[]): Part[][] {
  const keys = new Map(nodes.map(node => [node.key, node]))
  const needs = (node: VersionNode) =>
    node.refersTo.flatMap(({ subject, version }) => {
      const needed = keys.get(versionKey(subject, version))
      return needed && needed.from.subject !== node.from.subject ? [needed] : []
    })
  const entangled = entangledSubjects(nodes, needs)
  const stageOf = new Map<VersionNode, number>()
  const reached = new Map<string, number>()
  for (const node of nodes) {
    const { subject } = node.from
    const group = entangled.get(subject)
    let stage = reached.get(subject) ?? 0
    for (const needed of needs(node)) {
      const turns = group !== undefined && group === entangled.get(needed.from.subject)
      stage = Math.max(stage, (stageOf.get(needed) ?? 0) + (turns ? 1 : 0))
    }
    stageOf.set(node, stage)
    reached.set(subject, stage)
  }
  return partsOf(nodes, stageOf, needs)
}

function partsOf(
  nodes: readonly VersionNode[],
  stageOf: ReadonlyMap<VersionNode, number>,
  needs: (node: VersionNode) => VersionNode[]
): Part[][] {
  const stages: Map<string, Part>[] = []
  const parts = new Map<string, Part[]>()
  for (const node of nodes) {
    const { subject } = node.from
    const index = stageOf.get(node) ?? 0
    const stage = (stages[index] ??= new Map<string, Part>())
    let part = stage.get(subject)
    if (!part) {
      part = { subject, nodes: [], after: [], first: false, last: false }
      stage.set(subject, part)
      parts.set(subject, [...(parts.get(subject) ?? []), part])
    }
    part.nodes.push(node)
    for (const needed of needs(node)) {
      if (stageOf.get(needed) === index && !part.after.includes(needed.from.subject))
        part.after.push(needed.from.subject)
    }
  }
  for (const list of parts.values()) {
    const [first, last] = [list[0], list.at(-1)]
    if (first) first.first = true
    if (last) last.last = true
  }
  return stages.filter(stage => stage.size > 0).map(stage => [...stage.values()])
}

/** Subjects that depend on each other in a circle, by the number of their circle. */
function entangledSubjects(
  nodes: readonly VersionNode[],
  needs: (node: VersionNode) => VersionNode[]
): ReadonlyMap<string, number> {
  const edges = new Map<string, Set<string>>()
  for (const node of nodes) {
    const list = edges.get(node.from.subject) ?? new Set<string>()
    edges.set(node.from.subject, list)
    for (const needed of needs(node)) list.add(needed.from.subject)
  }
  const groups = new Map<string, number>()
  for (const [index, group] of components(edges.keys(), subject => [...(edges.get(subject) ?? [])]).entries()) {
    if (group.length > 1) for (const subject of group) groups.set(subject, index)
  }
  return groups
}
