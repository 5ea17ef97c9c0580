import { absoluteSubject, versionKey } from './names.js'
import type { SchemaVersion } from './registry-types.js'
import type { SubjectTable } from './snapshot.js'

export interface VersionNode {
  key: string
  from: SchemaVersion
  /** What it refers to, by qualified names. */
  refersTo: { subject: string; version: number }[]
}

export interface Topology {
  /** What others refer to comes before them, versions of a subject ascend. Members of cycles are left out. */
  order: VersionNode[]
  nodes: ReadonlyMap<string, VersionNode>
  /** Subjects with versions that refer to themselves, on whatever way round. */
  cyclic: ReadonlySet<string>
}

export function references(from: SchemaVersion): { subject: string; version: number }[] {
  return from.references.map(({ subject, version }) => ({ subject: absoluteSubject(from.subject, subject), version }))
}

/** In which order versions of these subjects can be registered. References to what is not in the table are no edges. */
export function topology(subjects: Iterable<string>, table: SubjectTable): Topology {
  const nodes = new Map<string, VersionNode>()
  const before = new Map<string, string[]>()
  for (const subject of subjects) {
    let previous: string | undefined
    for (const from of table.get(subject) ?? []) {
      const key = versionKey(subject, from.version)
      const refersTo = references(from)
      nodes.set(key, { key, from, refersTo })
      before.set(key, [...(previous === undefined ? [] : [previous]), ...refersTo.map(keyOf)])
      previous = key
    }
  }
  const order: VersionNode[] = []
  const cyclic = new Set<string>()
  for (const component of components(nodes.keys(), key => (before.get(key) ?? []).filter(other => nodes.has(other)))) {
    const members = component.flatMap(key => nodes.get(key) ?? [])
    const [first] = members
    if (members.length === 1 && first && !before.get(first.key)?.includes(first.key)) order.push(first)
    else for (const { from } of members) cyclic.add(from.subject)
  }
  return { order, nodes, cyclic }
}

/**
 * Strongly connected components, those that others lead to first (Tarjan). A loop of its own instead of calls: chains of references and
 * versions are as long as users make them.
 */
export function components(nodes: Iterable<string>, next: (node: string) => readonly string[]): string[][] {
  const index = new Map<string, number>()
  const low = new Map<string, number>()
  const open: string[] = []
  const isOpen = new Set<string>()
  const found: string[][] = []
  const enter = (node: string) => {
    index.set(node, index.size)
    low.set(node, index.size - 1)
    open.push(node)
    isOpen.add(node)
    return { node, next: next(node), at: 0 }
  }
  const lower = (node: string, other: number) => low.set(node, Math.min(low.get(node) ?? other, other))
  for (const root of nodes) {
    if (index.has(root)) continue
    const path = [enter(root)]
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const child = top.next[top.at++]
      if (child !== undefined) {
        const seen = index.get(child)
        if (seen === undefined) path.push(enter(child))
        else if (isOpen.has(child)) lower(top.node, seen)
        continue
      }
      path.pop()
      const lowest = low.get(top.node) ?? 0
      const parent = path.at(-1)
      if (parent) lower(parent.node, lowest)
      if (lowest !== index.get(top.node)) continue
      const component = open.splice(open.lastIndexOf(top.node))
      for (const node of component) isOpen.delete(node)
      found.push(component)
    }
  }
  return found
}

function keyOf({ subject, version }: { subject: string; version: number }): string {
  return versionKey(subject, version)
}
