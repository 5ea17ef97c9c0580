import type { ClusterConfig } from '../kafka/types.js'
import type { ProducerLedgerPart } from '../control/ledger-part.js'

/** The cluster that a participant works on, as the FailoverClient hands it out: one object per epoch. */
export interface ClusterHandle {
  readonly alias: string
  readonly config: ClusterConfig
  readonly epoch: number
  /** The alias of the cluster where a record was first written, known from the producer id a link wrote it with. */
  originOf(producerId: string): string | undefined
}

/**
 * How a participant leaves its cluster. `graceful` talks to it once more (commits, leaves the group, waits for answers);
 * `abandon` awaits nothing on it and destroys the sockets.
 */
export interface QuiesceOptions {
  mode: 'graceful' | 'abandon'
  timeoutMs: number
}

/** What a move needs of a consumer handed out by FailoverClient. */
export interface ConsumerParticipant {
  readonly groupId: string
  /** Subscribed topics; a RegExp subscription counts with the topics that were read so far. */
  readonly topics: readonly string[]
  /**
   * No handler starts after this call. Waits for running handlers up to `timeoutMs`, then closes the old cluster's
   * sockets. The result of a handler that ends later is ignored.
   */
  quiesce(o: QuiesceOptions): Promise<void>
  /** The next offset to handle per partition that this instance handled, on the cluster it was read from. */
  positions(): { topic: string; partition: number; offset: bigint }[]
  /** Same group, subscriptions and handlers on another cluster, from the offsets committed there. */
  resume(to: ClusterHandle): Promise<void>
}

/** What a move needs of a producer handed out by FailoverClient. */
export interface ProducerParticipant {
  /** Topics it has sent to. */
  readonly topics: readonly string[]
  /** New sends wait from now on. */
  hold(): void
  /**
   * `graceful` waits for unanswered sends up to `timeoutMs`; `abandon` rejects them with `TWINLOG_SEND_IN_DOUBT`, counts
   * them as in doubt, and destroys the sockets. Neither sends anything again.
   */
  quiesce(o: QuiesceOptions): Promise<void>
  ledgerPart(): ProducerLedgerPart
  /** Forget acknowledged offsets below the replicated position. */
  replicatedTo(topic: string, partition: number, offset: bigint): void
  /** Connects to the new cluster and lets held sends go there. */
  resume(to: ClusterHandle): Promise<void>
}
