/** What was known when a fetch request went out. Every message of its answer carries it. */
export interface FetchTag {
  /** Counts up when a rejoin begins and again when it ends: a message of an older one may belong to somebody else. */
  readonly generation: number
  readonly sequence: number
}

export interface PartitionPosition {
  topic: string
  partition: number
  offset: bigint
}

interface Entry {
  position: bigint | undefined
  committed: bigint | undefined
  /** Messages fetched before this sequence were overtaken by a seek and move nothing. */
  validFrom: number
}

/**
 * The next offset to handle of each partition a consumer owns. In mode `handled` it follows what handlers finished;
 * in mode `committed` (autoCommit: false) only what the user committed counts, because the end of a handler then does not
 * mean that its work is done.
 */
export class HandledPositions {
  readonly #mode: 'handled' | 'committed'
  #entries = new Map<string, Map<number, Entry>>()
  #generation = 0
  #sequence = 0
  #frozen = false

  constructor(mode: 'handled' | 'committed') {
    this.#mode = mode
  }

  /** Nothing changes any more: results that come in later belong to a cluster that was left. */
  freeze(): void {
    this.#frozen = true
  }

  /** A rejoin begins: what was fetched until now may go to another member. */
  beginRejoin(): void {
    this.#generation++
  }

  /** A rejoin is over. Partitions that are still owned keep their positions if nobody else can have owned them. */
  assign(assignment: Record<string, number[]>, consecutive: boolean): void {
    this.#generation++
    if (this.#frozen) return
    const entries = new Map<string, Map<number, Entry>>()
    for (const [topic, partitions] of Object.entries(assignment)) {
      const kept = new Map<number, Entry>()
      for (const partition of partitions) {
        const old = consecutive ? this.#entries.get(topic)?.get(partition) : undefined
        const known = old !== undefined && old.position === old.committed ? old : undefined
        kept.set(partition, known ?? { position: undefined, committed: undefined, validFrom: 0 })
      }
      entries.set(topic, kept)
    }
    this.#entries = entries
  }

  /** A fetch request goes out: its offsets are where the consumer stands, also after a default offset or a control record. */
  fetching(requested: { topic: string; partitions: { partition: number; fetchOffset: bigint }[] }[]): FetchTag {
    for (const { topic, partitions } of this.#frozen ? [] : requested) {
      for (const { partition, fetchOffset } of partitions) {
        const entry = this.#entry(topic, partition)
        if (entry === undefined || fetchOffset < 0n) continue
        const ahead = this.#mode === 'handled' && entry.position !== undefined && fetchOffset > entry.position
        if (entry.position === undefined || ahead) entry.position = fetchOffset
      }
    }
    return { generation: this.#generation, sequence: ++this.#sequence }
  }

  /** False for a message that was fetched before the last rejoin. */
  isCurrent(tag: FetchTag): boolean {
    return !this.#frozen && tag.generation === this.#generation
  }

  /** True when the record was handled already, which happens when a partition moves between two fetchers of kafkajs. */
  isHandled(topic: string, partition: number, offset: bigint, tag: FetchTag): boolean {
    if (this.#mode !== 'handled') return false
    const entry = this.#entry(topic, partition)
    return entry?.position !== undefined && tag.sequence >= entry.validFrom && offset < entry.position
  }

  /** A handler finished: `next` is the next offset to handle. Late and overtaken results move nothing. */
  handled(topic: string, partition: number, next: bigint, tag: FetchTag): void {
    if (this.#mode !== 'handled' || !this.isCurrent(tag)) return
    const entry = this.#entry(topic, partition)
    if (entry !== undefined && tag.sequence >= entry.validFrom) entry.position = next
  }

  /** The user, or a reset of an offset out of range, goes elsewhere. Undefined: to the log's start or end, not known yet. */
  seek(topic: string, partition: number, offset: bigint | undefined): void {
    const entry = this.#entry(topic, partition)
    if (entry === undefined || this.#frozen) return
    entry.position = offset
    entry.validFrom = this.#sequence + 1
  }

  committed(topic: string, partition: number, offset: bigint): void {
    const entry = this.#entry(topic, partition)
    if (entry === undefined || this.#frozen) return
    entry.committed = offset
    if (this.#mode === 'committed') entry.position = offset
  }

  uncommitted(): PartitionPosition[] {
    if (this.#mode !== 'handled') return []
    return this.#list(entry => entry.position !== entry.committed)
  }

  list(): PartitionPosition[] {
    return this.#list(() => true)
  }

  #entry(topic: string, partition: number): Entry | undefined {
    return this.#entries.get(topic)?.get(partition)
  }

  #list(wanted: (entry: Entry) => boolean): PartitionPosition[] {
    const positions: PartitionPosition[] = []
    for (const [topic, partitions] of this.#entries) {
      for (const [partition, entry] of partitions) {
        if (entry.position !== undefined && wanted(entry)) positions.push({ topic, partition, offset: entry.position })
      }
    }
    return positions
  }
}
