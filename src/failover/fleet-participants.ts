import { setTimeout as sleep } from 'node:timers/promises'
import { toTwinlogError, type TwinlogError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { Answer } from '../control/moves.js'
import { LedgerResidue } from './ledger-residue.js'
import type { ClusterHandle, ConsumerParticipant, ProducerParticipant, QuiesceOptions } from './participants.js'

const RESUME_ATTEMPTS = 6

/** The consumers and producers of this instance, moved as one. */
export class LocalParticipants {
  readonly #consumers = new Set<ConsumerParticipant>()
  readonly #producers = new Set<ProducerParticipant>()
  readonly #logger: Logger
  readonly #onError: (error: TwinlogError) => void
  /** Those that never came up on the cluster they were moved to: what they remember is of the one before. */
  readonly #stale = new Set<ConsumerParticipant | ProducerParticipant>()
  readonly #residue = new LedgerResidue()
  #cluster: ClusterHandle | undefined
  /** True between leaving a cluster and resuming on one. */
  #away = false

  constructor(o: { logger: Logger; onError: (error: TwinlogError) => void }) {
    this.#logger = o.logger
    this.#onError = o.onError
  }

  get away(): boolean {
    return this.#away
  }

  /** Where consumers and producers start; afterwards `resume` says it. */
  begin(on: ClusterHandle): void {
    this.#cluster = on
  }

  get topics(): string[] {
    const all = [...this.#consumers, ...this.#producers, this.#residue]
    return [...new Set(all.flatMap(participant => participant.topics))]
  }

  get groups(): string[] {
    return [...new Set([...this.#consumers].map(consumer => consumer.groupId))]
  }

  add(participant: { consumer: ConsumerParticipant } | { producer: ProducerParticipant }): () => void {
    if ('consumer' in participant) {
      const { consumer } = participant
      this.#consumers.add(consumer)
      // It slipped in behind the move's record: it has handled nothing yet, so it just stops.
      if (this.#away) this.#guard(consumer.quiesce({ mode: 'abandon', timeoutMs: 0 }))
      return () => {
        this.#consumers.delete(consumer)
        this.#stale.delete(consumer)
      }
    }
    const { producer } = participant
    this.#producers.add(producer)
    if (this.#away) {
      producer.hold()
      this.#guard(producer.quiesce({ mode: 'abandon', timeoutMs: 0 }))
    }
    return () => {
      this.#producers.delete(producer)
      if (!this.#stale.delete(producer)) this.#residue.keep(producer.ledgerPart())
    }
  }

  /** Leaves the cluster; afterwards no handler starts, nothing is sent, and the positions are final. */
  async leave(o: QuiesceOptions): Promise<void> {
    this.#away = true
    for (const producer of this.#producers) producer.hold()
    const all = [...this.#consumers, ...this.#producers]
    await Promise.all(
      all.map(async participant => {
        try {
          await participant.quiesce(o)
        } catch (error) {
          this.#logger.warn({ error: String(error) }, 'did not leave the cluster in peace; its sockets are destroyed')
          await participant.quiesce({ mode: 'abandon', timeoutMs: 0 })
        }
      })
    )
  }

  /** Valid after `leave`. */
  answer(instance: string): Answer {
    const fresh = <T extends ConsumerParticipant | ProducerParticipant>(all: Set<T>) =>
      [...all].filter(one => !this.#stale.has(one))
    const parts = [...fresh(this.#producers), this.#residue].map(one => one.ledgerPart())
    return {
      instance,
      topics: this.topics,
      groups: this.groups,
      positions: fresh(this.#consumers).flatMap(consumer =>
        consumer.positions().map(position => ({ groupId: consumer.groupId, ...position }))
      ),
      ledger: { acknowledged: parts.flatMap(part => part.acknowledged), inDoubt: parts.flatMap(part => part.inDoubt) }
    }
  }

  /** Everything works on this cluster when it resolves; what can't is told as an error event, the others go on. */
  async resume(to: ClusterHandle, signal: AbortSignal): Promise<void> {
    this.#away = false
    const all = [...this.#producers, ...this.#consumers]
    if (to !== this.#cluster) for (const participant of all) this.#stale.add(participant)
    if (to.alias !== this.#cluster?.alias) this.#residue.clear()
    this.#cluster = to
    await Promise.all(all.map(participant => this.#resumeOne(participant, to, signal)))
  }

  /** The ledger forgets what the standby clusters have. */
  async trim(reached: (topic: string, partition: number) => Promise<bigint | undefined>): Promise<void> {
    const cluster = this.#cluster
    for (const producer of [...this.#producers, this.#residue]) {
      const partitions = new Map(producer.ledgerPart().acknowledged.map(r => [`${r.topic} ${r.partition}`, r]))
      for (const { topic, partition } of partitions.values()) {
        const offset = await reached(topic, partition)
        // A move may have begun meanwhile: from then on the ledger is what it is. Behind it, offsets are those of another cluster.
        if (this.#away || this.#cluster !== cluster) return
        if (offset !== undefined) producer.replicatedTo(topic, partition, offset)
      }
    }
  }

  async #resumeOne(
    participant: ConsumerParticipant | ProducerParticipant,
    to: ClusterHandle,
    signal: AbortSignal
  ): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await participant.resume(to)
        this.#stale.delete(participant)
        return
      } catch (error) {
        if (signal.aborted) return
        if (attempt === RESUME_ATTEMPTS) {
          return this.#onError(
            toTwinlogError(error, 'TWINLOG_UNREACHABLE', `a consumer or producer could not resume on ${to.alias}`, {
              cluster: to.alias
            })
          )
        }
        this.#logger.warn({ cluster: to.alias, attempt, error: String(error) }, 'could not resume yet, trying again')
        await sleep(200 * 2 ** attempt, undefined, { signal, ref: false }).catch(() => undefined)
      }
    }
  }

  #guard(work: Promise<void>): void {
    work.catch((error: unknown) => this.#logger.warn({ error: String(error) }, 'could not leave the old cluster'))
  }
}
