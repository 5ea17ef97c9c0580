import { setTimeout as sleep } from 'node:timers/promises'
import type { Comparison, Difference, OracleRecord } from '../../support/oracle.js'
import type { Bed } from './bed.js'

export interface Verdict {
  comparison: Comparison
  note?: string
}

const BATCH = 40
const PAUSE_MS = 10

/** Writes numbered records, partition by partition, each with its number as value, and remembers what the source has acknowledged. */
export class NumberedLoad {
  readonly #bed: Bed
  readonly #partitions: number
  readonly #keys: number
  readonly #written: number[]
  #running: Promise<void> | undefined
  #stopped = false

  constructor(o: { bed: Bed; partitions: number; keys: number }) {
    this.#bed = o.bed
    this.#partitions = o.partitions
    this.#keys = o.keys
    this.#written = Array<number>(o.partitions).fill(0)
  }

  /** Numbers below this one were written to the partition. */
  written(partition: number): number {
    return this.#written[partition] ?? 0
  }

  keyOf(number: number): string {
    // Neither round robin nor random: some keys are hot, some are written once in a while.
    return `k${Math.floor(((number * 7_919) % (this.#keys * this.#keys)) ** 0.5)}`
  }

  readonly start = (topic: string): { stop(): Promise<void> } => {
    this.#running ??= this.#run(topic)
    return {
      stop: async () => {
        this.#stopped = true
        await this.#running
      }
    }
  }

  async #run(topic: string): Promise<void> {
    for (let turn = 0; !this.#stopped; turn++) {
      const partition = turn % this.#partitions
      const from = this.written(partition)
      const send = Array.from({ length: BATCH }, (_unused, index) => ({
        key: this.keyOf(from + index),
        value: String(from + index)
      }))
      await this.#bed.oracle.write({ cluster: this.#bed.east.bootstrap, topic, steps: [{ send, partition }] })
      this.#written[partition] = from + BATCH
      await sleep(PAUSE_MS)
    }
  }
}

/**
 * A source that was compacted while it was copied, to a target that is not: what the source has now is on the target, the latest value of
 * each key is the latest on both, and everything on the target was written, once, in order.
 */
export async function judgeCompacted(
  bed: Bed,
  load: NumberedLoad,
  topic: string,
  partitions: number
): Promise<Verdict> {
  const findings = new Findings()
  let left = 0
  for (let partition = 0; partition < partitions; partition++) {
    const source = numbersOf(await bed.oracle.read({ cluster: bed.east.bootstrap, topic, partition }))
    const target = numbersOf(await bed.oracle.read({ cluster: bed.west.bootstrap, topic, partition }))
    const found = findings.of(partition, source, target)
    found.ascending(target)
    const onTarget = new Set(target)
    for (const number of source) if (!onTarget.has(number)) found.add('missing', `the source still has ${number}`)
    for (const number of target)
      if (!(number < load.written(partition))) found.add('extra', `${number} was never written`)
    const latest = new Map<string, number>()
    for (let number = 0; number < load.written(partition); number++) latest.set(load.keyOf(number), number)
    for (const number of latest.values()) if (!onTarget.has(number)) found.add('missing', `${number} is a key's latest`)
    left += load.written(partition) - source.length
  }
  return { ...findings.verdict(), note: `compaction took ${left} records of the source` }
}

export type Keep = (number: number) => boolean

/**
 * Filters that changed while records flowed: what both keep is there once, in order; what one of them keeps is there only in stretches in which
 * it counted, and there are at most so many of these. The last one is the new filter's.
 */
export async function judgeFilters(
  bed: Bed,
  load: NumberedLoad,
  topic: string,
  o: { partitions: number; before: Keep; after: Keep; mostChanges: number }
): Promise<Verdict> {
  const findings = new Findings()
  const changes: number[] = []
  for (let partition = 0; partition < o.partitions; partition++) {
    const target = numbersOf(await bed.oracle.read({ cluster: bed.west.bootstrap, topic, partition }))
    const written = Array.from({ length: load.written(partition) }, (_unused, number) => number)
    const found = findings.of(partition, written, target)
    found.ascending(target)
    const there = new Set(target)
    for (const number of target) if (!(number < written.length)) found.add('extra', `${number} was never written`)
    let counts: 'before' | 'after' = 'before'
    let changed = 0
    for (const number of written) {
      const [old, young, is] = [o.before(number), o.after(number), there.has(number)]
      if (old && young && !is) found.add('missing', `both filters keep ${number}`)
      if (!old && !young && is) found.add('extra', `no filter keeps ${number}`)
      if (old === young) continue
      const filter = old === is ? 'before' : 'after'
      if (filter !== counts) changed += 1
      counts = filter
    }
    if (counts !== 'after') found.add('altered', 'the old filter counts at the end')
    if (changed > o.mostChanges) found.add('altered', `the filters changed ${changed} times`)
    changes.push(changed)
  }
  return { ...findings.verdict(), note: `the filter changed ${changes.join(', ')} times, by lane` }
}

const numbersOf = (records: readonly OracleRecord[]): number[] => records.map(({ value }) => Number(String(value)))

type Kind = Difference['kind']
const MOST_TOLD = 20

/** Counts what is wrong by the oracle's names. */
class Findings {
  readonly #counts: Record<Kind, number> = { missing: 0, extra: 0, repeated: 0, order: 0, altered: 0 }
  readonly #partitions: Comparison['partitions'] = []

  of(partition: number, source: readonly number[], target: readonly number[]) {
    const differences: Difference[] = []
    this.#partitions.push({ partition, sourceCount: source.length, targetCount: target.length, differences })
    const add = (kind: Kind, detail: string): void => {
      this.#counts[kind] += 1
      if (differences.length < MOST_TOLD) differences.push({ kind, detail })
    }
    const ascending = (numbers: readonly number[]): void => {
      const seen = new Set<number>()
      let last = -1
      for (const number of numbers) {
        if (seen.has(number)) add('repeated', String(number))
        else if (!(number > last)) add('order', `${number} behind ${last}`)
        seen.add(number)
        last = Math.max(last, number)
      }
    }
    return { add, ascending }
  }

  verdict(): Verdict {
    const sum = (field: 'sourceCount' | 'targetCount') =>
      this.#partitions.reduce((total, each) => total + each[field], 0)
    const { missing, extra, repeated, order, altered } = this.#counts
    return {
      comparison: {
        equal: missing + extra + repeated + order + altered === 0,
        sourceCount: sum('sourceCount'),
        targetCount: sum('targetCount'),
        missing,
        extra,
        repeated,
        outOfOrder: order,
        altered,
        partitions: this.#partitions
      }
    }
  }
}
