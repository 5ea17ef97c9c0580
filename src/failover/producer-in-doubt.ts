import type { InDoubtSends } from '../control/ledger-part.js'

/** More keys than this are only counted: the ledger of a long outage must not fill the memory of the service. */
export const MAX_IN_DOUBT_KEYS = 10_000

export interface ExposedMessage {
  topic: string
  partition: number
  key: Buffer | string | null | undefined
}

/** Records that may have been appended and were never acknowledged to the caller. */
export class InDoubtRecords {
  readonly #entries = new Map<string, InDoubtSends>()
  #keys = 0

  add({ topic, partition, key }: ExposedMessage): void {
    const keys = key === null || key === undefined ? [] : [typeof key === 'string' ? key : key.toString('utf8')]
    this.addAll({ topic, partition, count: 1, keys })
  }

  addAll({ topic, partition, count, keys, keysOmitted = 0 }: InDoubtSends): void {
    const id = `${partition} ${topic}`
    let entry = this.#entries.get(id)
    if (entry === undefined) this.#entries.set(id, (entry = { topic, partition, count: 0, keys: [] }))
    entry.count += count
    const kept = keys.slice(0, MAX_IN_DOUBT_KEYS - this.#keys)
    this.#keys += kept.length
    entry.keys.push(...kept)
    const omitted = keysOmitted + keys.length - kept.length
    if (omitted > 0) entry.keysOmitted = (entry.keysOmitted ?? 0) + omitted
  }

  clear(): void {
    this.#entries.clear()
    this.#keys = 0
  }

  list(): InDoubtSends[] {
    return [...this.#entries.values()].map(entry => ({ ...entry, keys: [...entry.keys] }))
  }
}
