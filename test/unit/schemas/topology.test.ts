import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { SchemaVersion } from '../../../src/schemas/registry-types.js'
import { tableOf } from '../../../src/schemas/snapshot.js'
import { components, topology } from '../../../src/schemas/topology.js'

function version(subject: string, number: number, refs: [string, number][] = []): SchemaVersion {
  const references = refs.map(([to, version]) => ({ name: `${to}.avsc`, subject: to, version }))
  return { subject, version: number, id: 1, schemaType: 'AVRO', schema: '"string"', references, deleted: false }
}

function order(...versions: SchemaVersion[]) {
  const table = tableOf(versions)
  const { order, cyclic } = topology(table.keys(), table)
  return { order: order.map(({ from }) => `${from.subject}/${from.version}`), cyclic: [...cyclic].sort() }
}

describe('the order of registration', () => {
  it('puts what is referred to before who refers, and versions in their order', () => {
    const { order: keys } = order(version('a', 1, [['z', 2]]), version('z', 2), version('z', 1), version('a', 2))
    expect(keys).toEqual(['z/1', 'z/2', 'a/1', 'a/2'])
  })

  it('goes back and forth between two subjects that refer to each other in turns', () => {
    const result = order(version('a', 1), version('b', 1, [['a', 1]]), version('a', 2, [['b', 1]]))
    expect(result).toEqual({ order: ['a/1', 'b/1', 'a/2'], cyclic: [] })
  })

  it('resolves a relative reference in the context of who refers', () => {
    const result = order(version(':.c:a', 1, [['b', 1]]), version(':.c:b', 1), version('b', 1))
    expect(result.order.indexOf(':.c:b/1')).toBeLessThan(result.order.indexOf(':.c:a/1'))
  })

  it('names the subjects of a cycle, and not those that hang on it', () => {
    const result = order(
      version('a', 1, [['b', 1]]),
      version('b', 1, [['a', 1]]),
      version('c', 1, [['a', 1]]),
      version('self', 1, [['self', 1]])
    )
    expect(result).toEqual({ order: ['c/1'], cyclic: ['a', 'b', 'self'] })
  })

  it('has no edges to what it does not know', () => {
    expect(order(version('a', 1, [['gone', 7]]))).toEqual({ order: ['a/1'], cyclic: [] })
  })

  it('does not mind chains of any length', () => {
    const many = Array.from({ length: 20_000 }, (_, index) =>
      version(`s${index}`, 1, index === 0 ? [] : [[`s${index - 1}`, 1]])
    )
    expect(order(...many.reverse()).order.at(-1)).toBe('s19999/1')
  })
})

describe('components', () => {
  it('are what a slow search finds, in an order that never runs ahead', () => {
    const graphs = fc.array(fc.array(fc.nat(7), { maxLength: 4 }), { minLength: 1, maxLength: 8 })
    fc.assert(
      fc.property(graphs, graph => {
        const next = (node: string) => (graph[Number(node)] ?? []).filter(to => to < graph.length).map(String)
        const nodes = graph.map((_, index) => String(index))
        const reach = new Map(nodes.map(node => [node, reachable(node, next)]))
        const found = components(nodes, next)
        expect(found.flat().sort()).toEqual([...nodes].sort())
        const place = new Map(found.flatMap((list, index) => list.map(node => [node, index] as const)))
        for (const a of nodes) {
          for (const b of nodes) {
            const together = a === b || (reach.get(a)!.has(b) && reach.get(b)!.has(a))
            expect(place.get(a) === place.get(b)).toBe(together)
            if (reach.get(a)!.has(b)) expect(place.get(b)!).toBeLessThanOrEqual(place.get(a)!)
          }
        }
      })
    )
  })
})

function reachable(from: string, next: (node: string) => string[]): Set<string> {
  const seen = new Set<string>()
  const todo = next(from)
  for (let node = todo.pop(); node !== undefined; node = todo.pop()) {
    if (seen.has(node)) continue
    seen.add(node)
    todo.push(...next(node))
  }
  return seen
}
