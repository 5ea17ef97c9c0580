import type { ProducerLedgerPart } from '../control/ledger-part.js'
import { AcknowledgedRanges } from './acknowledged.js'
import { InDoubtRecords } from './producer-in-doubt.js'

/** What producers that have disconnected leave behind: their records are as lost as anybody's when the cluster is. */
export class LedgerResidue {
  readonly #acknowledged = new AcknowledgedRanges()
  readonly #inDoubt = new InDoubtRecords()

  get topics(): string[] {
    const { acknowledged, inDoubt } = this.ledgerPart()
    return [...new Set([...acknowledged, ...inDoubt].map(({ topic }) => topic))]
  }

  keep({ acknowledged, inDoubt }: ProducerLedgerPart): void {
    for (const range of acknowledged) this.#acknowledged.add(range)
    for (const sends of inDoubt) this.#inDoubt.addAll(sends)
  }

  ledgerPart(): ProducerLedgerPart {
    return { acknowledged: this.#acknowledged.list(), inDoubt: this.#inDoubt.list() }
  }

  replicatedTo(topic: string, partition: number, offset: bigint): void {
    this.#acknowledged.dropBelow(topic, partition, offset)
  }

  clear(): void {
    this.#acknowledged.clear()
    this.#inDoubt.clear()
  }
}
