import type { ClusterClient } from '../kafka/cluster.js'
import { TwinlogError } from '../errors.js'
import { CONTROL_TOPIC, type ControlRecord, decodeControlRecord } from '../failover/control-records.js'
import { type LogRecord, TopicLog } from '../lineage/topic-log.js'

/**
 * Groups of services that are moving to this cluster, or have moved here: their offsets belong to the service from the first
 * word of the move on. No control topic, or no record of the group: the source is active.
 */
export class MovingGroups {
  readonly #alias: string
  readonly #log: TopicLog
  readonly #moves = new Map<string, { epoch: number; groups: string[]; aborted: boolean; to: string }>()
  #next = 0n

  constructor(cluster: ClusterClient) {
    this.#alias = cluster.alias
    this.#log = new TopicLog(cluster, CONTROL_TOPIC)
  }

  async groups(): Promise<Set<string>> {
    if ((await this.#log.partitionCount()) > 0) {
      const { records, next } = await this.#log.readToEnd(0, this.#next)
      this.#next = next
      for (const record of records) this.#fold(decode(record))
    }
    const newest = new Map<string, { epoch: number; moved: boolean }>()
    for (const move of this.#moves.values()) {
      if (move.aborted) continue
      for (const group of move.groups) {
        if ((newest.get(group)?.epoch ?? -1) < move.epoch) newest.set(group, { epoch: move.epoch, moved: move.to === this.#alias })
      }
    }
    return new Set([...newest].filter(([, { moved }]) => moved).map(([group]) => group))
  }

  #fold(record: ControlRecord | undefined): void {
    if (!record) return
    const key = `${record.service}/${record.epoch}`
    const known = this.#moves.get(key)
    if (record.type === 'move' && !known) this.#moves.set(key, { epoch: record.epoch, groups: [...record.groups], aborted: false, to: record.to })
    else if (record.type === 'abort' && known) known.aborted = true
    else if ((record.type === 'stopped' || record.type === 'drained') && known) known.groups.push(...record.groups)
  }
}

/** A service with a newer twinlog does not stop group sync for the others. */
function decode(record: LogRecord): ControlRecord | undefined {
  try {
    return decodeControlRecord(record, record.key?.toString() ?? '')
  } catch (error) {
    if (error instanceof TwinlogError && error.code === 'TWINLOG_STATE_INVALID') return undefined
    throw error
  }
}
