import type { ClusterClient } from '../kafka/cluster.js'
import { TopicLog } from '../lineage/topic-log.js'
import { CONTROL_TOPIC, type ControlRecord, decodeControlRecord, encodeControlRecord } from './control-records.js'
import { applyRecord, type ControlView, emptyView } from './moves.js'

/** One service's view of one cluster's control topic: appends, and reads on from where it was. */
export class ControlTopic {
  readonly #log: TopicLog
  readonly #service: string
  #view: ControlView = emptyView()
  #next = 0n
  /** Reads run one after the other: each record is applied once, in order. */
  #reading: Promise<unknown> = Promise.resolve()

  constructor(cluster: ClusterClient, service: string) {
    this.#log = new TopicLog(cluster, CONTROL_TOPIC)
    this.#service = service
  }

  get view(): ControlView {
    return this.#view
  }

  /** Kept for ever: an instance that was away for a year must still learn where its service works. */
  async ensure(): Promise<void> {
    await this.#log.ensure({
      partitions: 1,
      configs: { 'cleanup.policy': 'delete', 'retention.ms': '-1', 'retention.bytes': '-1' }
    })
  }

  async append(records: ControlRecord[]): Promise<void> {
    await this.#log.append(0, records.map(encodeControlRecord))
  }

  /** True when something new of this service was read. Includes everything appended before the call. */
  refresh(): Promise<boolean> {
    const read = this.#reading.then(() => this.#read())
    this.#reading = read.catch(() => undefined)
    return read
  }

  async #read(): Promise<boolean> {
    const { records, next } = await this.#log.readToEnd(0, this.#next)
    let changed = false
    for (const entry of records) {
      const record = decodeControlRecord(entry, this.#service)
      if (record) applyRecord(this.#view, record)
      changed ||= record !== undefined
      this.#next = entry.offset + 1n
    }
    this.#next = next
    return changed
  }
}
