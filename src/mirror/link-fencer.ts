import type { ClusterClient } from '../kafka/cluster.js'
import { type FencePartition, type FenceResult, fencePartitions, linkTransactionalId } from '../lineage/fence.js'
import type { Logger } from '../logger.js'

const GATHER_MS = 20

interface Wish {
  partition: FencePartition
  resolve(identity: FenceResult): void
  reject(error: unknown): void
}

/**
 * Fences with the link's transactional id, one at a time: two at once would take the epoch from each other. Whoever asks within a
 * moment shares one, so a thousand lanes that change hands cost one transaction.
 */
export class LinkFencer {
  readonly #target: ClusterClient
  readonly #link: string
  readonly #logger: Logger
  #wishes: Wish[] = []
  #running: Promise<void> | undefined

  constructor(o: { target: ClusterClient; link: string; logger: Logger }) {
    this.#target = o.target
    this.#link = o.link
    this.#logger = o.logger
  }

  fence(partition: FencePartition): Promise<FenceResult> {
    return new Promise((resolve, reject) => {
      this.#wishes.push({ partition, resolve, reject })
      this.#running ??= this.#run()
    })
  }

  async #run(): Promise<void> {
    while (this.#wishes.length > 0) {
      await new Promise(resolve => setTimeout(resolve, GATHER_MS))
      const wishes = this.#wishes
      this.#wishes = []
      await this.#fence(wishes)
    }
    // At once: a wish that came a moment later would be nobody's.
    this.#running = undefined
  }

  async #fence(wishes: Wish[]): Promise<void> {
    try {
      const identity = await fencePartitions({
        cluster: this.#target,
        transactionalId: linkTransactionalId(this.#link),
        partitions: wishes.map(wish => wish.partition),
        logger: this.#logger
      })
      for (const wish of wishes) wish.resolve(identity)
    } catch (error) {
      // One of them may be the reason: then only that one fails.
      if (wishes.length === 1) wishes[0]?.reject(error)
      else for (const wish of wishes) await this.#fence([wish])
    }
  }
}
