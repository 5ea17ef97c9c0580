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
    const id = `${partition} ${topic}`
    let entry = this.#entries.get(id)
    if (entry === undefined) this.#entries.set(id, (entry = { topic, partition, count: 0, keys: [] }))
    entry.count++
    if (key === null || key === undefined) return
    if (this.#keys >= MAX_IN_DOUBT_KEYS) {
      entry.keysOmitted = (entry.keysOmitted ?? 0) + 1
      return
    }
    this.#keys++
    entry.keys.push(typeof key === 'string' ? key : key.toString('utf8'))
  }

  clear(): void {
    this.#entries.clear()
    this.#keys = 0
  }

  list(): InDoubtSends[] {
    return [...this.#entries.values()].map(entry => ({ ...entry, keys: [...entry.keys] }))
  }
}
