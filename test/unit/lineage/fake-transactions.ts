import type { FakePartition } from './fake-partition.js'

interface Transaction {
  producerId: bigint
  epoch: number
  state: 'empty' | 'ongoing' | 'committed' | 'aborted'
  partitions: Set<FakePartition>
}

interface Identity {
  producerId: bigint
  epoch: number
}

const coordinators = new WeakMap<object, FakeTransactions>()

/** A transaction coordinator as those of Kafka 4.1 behave towards InitProducerId 4, AddPartitionsToTxn 3, EndTxn 3 and Produce ≤ 11. */
export class FakeTransactions {
  readonly #ids = new Map<string, Transaction>()
  #nextProducerId = 1_000n

  /** One coordinator for all clients of one cluster. */
  static of(topics: object): FakeTransactions {
    const known = coordinators.get(topics) ?? new FakeTransactions()
    coordinators.set(topics, known)
    return known
  }

  /** Gives a transactional id a known producer id; its first InitProducerId then answers the epoch behind this one. */
  assign(transactionalId: string, producerId: bigint, epoch = -1): void {
    this.#ids.set(transactionalId, { producerId, epoch, state: 'empty', partitions: new Set() })
  }

  identityOf(transactionalId: string): Identity | undefined {
    return this.#ids.get(transactionalId)
  }

  /** An open transaction is aborted with a marker of the bumped epoch, and the caller has to come again for one of its own. */
  init(transactionalId: string): { errorCode: number; producerId: bigint; producerEpoch: number } {
    const known = this.#ids.get(transactionalId) ?? this.#create(transactionalId)
    if (known.state === 'ongoing') {
      this.expire(transactionalId)
      return { errorCode: 51, producerId: -1n, producerEpoch: -1 }
    }
    known.epoch += 1
    known.state = 'empty'
    return { errorCode: 0, producerId: known.producerId, producerEpoch: known.epoch }
  }

  /** What the coordinator does with a transaction that was left open for too long. */
  expire(transactionalId: string): void {
    const known = this.#ids.get(transactionalId)
    if (known?.state !== 'ongoing') return
    known.epoch += 1
    this.#finish(known, 'abort')
  }

  add(transactionalId: string, identity: Identity, partitions: readonly FakePartition[]): number {
    const known = this.#ids.get(transactionalId)
    const refused = stranger(known, identity)
    if (!known || refused) return refused
    if (known.state !== 'ongoing') known.partitions.clear()
    known.state = 'ongoing'
    for (const partition of partitions) known.partitions.add(partition)
    return 0
  }

  /** A repetition of what was decided is a success. */
  end(transactionalId: string, identity: Identity, commit: boolean): number {
    const known = this.#ids.get(transactionalId)
    const refused = stranger(known, identity)
    if (!known || refused) return refused
    const [type, state] = commit ? (['commit', 'committed'] as const) : (['abort', 'aborted'] as const)
    if (known.state === 'ongoing') this.#finish(known, type)
    return known.state === state ? 0 : 48
  }

  /** Why a transactional batch may not be appended; 0: it may. */
  refusal(transactionalId: string | null, producerId: bigint, epoch: number, partition: FakePartition): number {
    if (transactionalId === null) return 53
    const known = this.#ids.get(transactionalId)
    if (known?.producerId !== producerId) return 49
    if (epoch < known.epoch) return 47
    return known.state === 'ongoing' && known.partitions.has(partition) ? 0 : 48
  }

  #finish(known: Transaction, type: 'commit' | 'abort'): void {
    for (const partition of known.partitions) partition.marker(known.producerId, known.epoch, type)
    known.state = type === 'commit' ? 'committed' : 'aborted'
  }

  #create(transactionalId: string): Transaction {
    this.assign(transactionalId, this.#nextProducerId++)
    return this.#ids.get(transactionalId) as Transaction
  }
}

/** Another producer id: 49; another epoch: fenced. */
function stranger(known: Transaction | undefined, identity: Identity): number {
  if (known?.producerId !== identity.producerId) return 49
  return known.epoch === identity.epoch ? 0 : 90
}
