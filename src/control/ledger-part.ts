/** Offsets `[from, to)` of one partition that the cluster acknowledged. */
export interface AckRange {
  topic: string
  partition: number
  from: bigint
  to: bigint
}

/** Sends whose fate on the old cluster is not known: never sent again by twinlog. */
export interface InDoubtSends {
  topic: string
  partition?: number | undefined
  count: number
  /** UTF-8 keys of the records that have one, up to 10,000 a producer. */
  keys: string[]
  /** Keys beyond that limit, only counted. */
  keysOmitted?: number | undefined
}

/** A producer's part of the ledger of a move. */
export interface ProducerLedgerPart {
  /** Offsets acknowledged on the old cluster and not yet known to be replicated. */
  acknowledged: AckRange[]
  inDoubt: InDoubtSends[]
}
