import type { ClusterClient } from '../kafka/cluster.js'
import type { ClusterMetadata } from '../kafka/types.js'

const GATHER_MS = 20

/** Metadata for many lanes at once: whoever asks within a moment shares one request, so a lost broker causes one question, not a thousand. */
export class MetadataFeed {
  readonly #cluster: ClusterClient
  readonly #wanted = new Set<string>()
  #pending: Promise<ClusterMetadata> | undefined

  constructor(cluster: ClusterClient) {
    this.#cluster = cluster
  }

  refresh(topic: string): Promise<ClusterMetadata> {
    this.#wanted.add(topic)
    this.#pending ??= new Promise((resolve, reject) => {
      setTimeout(() => {
        const topics = [...this.#wanted]
        this.#wanted.clear()
        this.#pending = undefined
        this.#cluster.metadata({ topics }).then(resolve, reject)
      }, GATHER_MS)
    })
    return this.#pending
  }
}
