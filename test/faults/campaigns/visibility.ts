import { setTimeout as sleep } from 'node:timers/promises'
import { ClusterClient } from '../../../src/kafka/cluster.js'
import { listOffsetsRequest } from '../../../src/kafka/requests/list-offsets.js'
import { consoleLogger } from '../../../src/logger.js'
import type { KafkaCluster } from '../../support/kafka.js'
import type { Bed } from './bed.js'

const EVERY_MS = 100
const LATEST = -1n

/** A record was on the source at `from` and could be read on the target at `to`. */
export interface Delay {
  partition: number
  from: number
  to: number
}

/**
 * Looks at the ends of both topics ten times a second. As offsets are the same on both sides (stable lanes), the times at which an offset is
 * first seen here and there tell how long a record took, to a look or two.
 */
export class Visibility {
  readonly #bed: Bed
  readonly #topic: string
  readonly #partitions: number
  /** Source ends not yet seen on the target, by partition, oldest first. */
  readonly #open: { end: bigint; at: number }[][]
  readonly #delays: Delay[] = []
  #running: Promise<void> | undefined
  #stopped = false

  constructor(o: { bed: Bed; topic: string; partitions: number }) {
    this.#bed = o.bed
    this.#topic = o.topic
    this.#partitions = o.partitions
    this.#open = Array.from({ length: o.partitions }, () => [])
  }

  start(): void {
    this.#running = this.#run()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
  }

  /** Longest delay of each partition among records that came to the source between these times. */
  longest(from: number, to: number): number[] {
    const longest = Array<number>(this.#partitions).fill(0)
    for (const delay of this.#delays) {
      if (delay.from < from || delay.from >= to) continue
      longest[delay.partition] = Math.max(longest[delay.partition] ?? 0, delay.to - delay.from)
    }
    return longest
  }

  async #run(): Promise<void> {
    const [east, west] = await Promise.all([connected(this.#bed.east), connected(this.#bed.west)])
    const seen = Array<bigint>(this.#partitions).fill(0n)
    try {
      while (!this.#stopped) {
        const looked = Date.now()
        const [source, target] = await Promise.all([this.#ends(east), this.#ends(west)])
        const now = Date.now()
        for (let partition = 0; partition < this.#partitions; partition++) {
          const open = this.#open[partition] ?? []
          const end = source?.get(partition) ?? 0n
          if (end > (seen[partition] ?? 0n)) open.push({ end, at: looked })
          if (end > (seen[partition] ?? 0n)) seen[partition] = end
          const there = target?.get(partition) ?? 0n
          while (open[0] && open[0].end <= there)
            this.#delays.push({ partition, from: (open.shift() as { at: number }).at, to: now })
        }
        await sleep(Math.max(0, EVERY_MS - (Date.now() - looked)))
      }
    } finally {
      east.destroy()
      west.destroy()
    }
  }

  async #ends(client: ClusterClient): Promise<Map<number, bigint> | undefined> {
    const node = client.leaderOf(this.#topic, 0)?.nodeId
    if (node === undefined || node < 0) {
      await client.metadata({ topics: [this.#topic] }).catch(() => undefined)
      return undefined
    }
    const partitions = Array.from({ length: this.#partitions }, (_, partition) => ({ partition, timestamp: LATEST }))
    const request = listOffsetsRequest({ isolation: 'read_committed', topics: [{ topic: this.#topic, partitions }] })
    const answer = await client.send({ node }, request).catch(() => undefined)
    return answer && new Map(answer.partitions.map(({ partition, offset }) => [partition, offset]))
  }
}

async function connected(cluster: KafkaCluster): Promise<ClusterClient> {
  const client = new ClusterClient(cluster.config(), { logger: consoleLogger('error') })
  await client.connect()
  return client
}
