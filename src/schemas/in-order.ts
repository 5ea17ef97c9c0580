export interface OrderedItem {
  name: string
  /** Names that have to be done before. Those that are no item count as done. */
  after: readonly string[]
}

/**
 * Runs every item once, at most `concurrency` at a time, each as soon as everything it comes after is done. What `run` answers says whether
 * it went well: whatever comes after a failure, or waits for itself in a circle, is not run but handed to `blocked`. Items of one name run
 * one after the other. When `run` throws, nothing more is begun, and the first error is thrown when the rest has ended.
 */
export async function inOrder<T extends OrderedItem>(
  items: readonly T[],
  o: {
    concurrency: number
    run: (item: T) => Promise<boolean>
    /** `by`: the item that failed or was blocked itself; undefined: a circle. */
    blocked: (item: T, by: string | undefined) => void
    signal?: AbortSignal | undefined
  }
): Promise<void> {
  const graph = new Graph(items)
  const { ready } = graph
  const running = new Set<Promise<void>>()
  const errors: unknown[] = []
  let position = 0
  const isOver = () => errors.length > 0 || o.signal?.aborted === true
  const work = async () => {
    for (let node = ready[position]; node !== undefined && !isOver(); node = ready[position]) {
      position++
      try {
        for (const { item, by } of graph.settle(node, await o.run(node.item))) o.blocked(item, by)
      } catch (error) {
        errors.push(error)
      }
      start()
    }
  }
  const start = () => {
    while (running.size < o.concurrency && position < ready.length && !isOver()) {
      const worker: Promise<void> = work().finally(() => running.delete(worker))
      running.add(worker)
    }
  }
  start()
  while (running.size > 0) await Promise.race(running)
  if (errors.length > 0) throw errors[0]
  if (!isOver()) for (const item of graph.circles()) o.blocked(item, undefined)
}

interface Node<T> {
  item: T
  waitsFor: number
  before: Node<T>[]
  settled: boolean
  /** What it came after and did not go well. */
  failed: string | undefined
}

class Graph<T extends OrderedItem> {
  /** Grows as items become ready. */
  readonly ready: Node<T>[]
  readonly #nodes: Node<T>[]

  constructor(items: readonly T[]) {
    this.#nodes = items.map(item => ({ item, waitsFor: 0, before: [], settled: false, failed: undefined }))
    const byName = new Map<string, Node<T>>()
    for (const node of this.#nodes) {
      const twin = byName.get(node.item.name)
      if (twin !== undefined) link(twin, node)
      byName.set(node.item.name, node)
    }
    for (const node of this.#nodes) {
      for (const name of new Set(node.item.after)) {
        const need = byName.get(name)
        if (need !== undefined && name !== node.item.name) link(need, node)
      }
    }
    this.ready = this.#nodes.filter(node => node.waitsFor === 0)
  }

  /** What will not be run because of it. */
  settle(node: Node<T>, ok: boolean): { item: T; by: string }[] {
    const blocked: { item: T; by: string }[] = []
    if (!ok) node.failed = node.item.name
    const settled = [node]
    for (let one = settled.pop(); one !== undefined; one = settled.pop()) {
      one.settled = true
      for (const next of one.before) {
        next.waitsFor--
        if (one.failed !== undefined) next.failed ??= one.item.name
        if (next.waitsFor > 0) continue
        if (next.failed === undefined) {
          this.ready.push(next)
        } else {
          blocked.push({ item: next.item, by: next.failed })
          settled.push(next)
        }
      }
    }
    return blocked
  }

  /** What nothing is left to wait for but itself. */
  circles(): T[] {
    return this.#nodes.filter(node => !node.settled).map(node => node.item)
  }
}

function link<T>(first: Node<T>, then: Node<T>): void {
  first.before.push(then)
  then.waitsFor++
}
