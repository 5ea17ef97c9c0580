import { CONTROL_TOPIC, type ControlRecord, decodeControlRecord } from '../control/control-records.js'
import { applyRecord, type ControlView, emptyView, type MoveView } from '../control/moves.js'
import { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import { type LogRecord, TopicLog } from '../lineage/topic-log.js'

/**
 * Groups of services that are moving to this cluster, or have moved here: their offsets belong to the service from the first
 * word of the move on. No control topic, or no record of the group: the source is active.
 */
export class MovingGroups {
  readonly #alias: string
  readonly #log: TopicLog
  readonly #services = new Map<string, ControlView>()
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
    const groups = new Set<string>()
    for (const view of this.#services.values())
      for (const move of this.#movesHere(view)) for (const group of groupsOf(move)) groups.add(group)
    return groups
  }

  /** A move to this cluster that is under way, and the one that brought the service here. */
  #movesHere(view: ControlView): MoveView[] {
    const settled = view.settled?.to === this.#alias ? view.moves.get(view.settled.epoch) : undefined
    const open = [...view.moves.values()].filter(move => move.outcome === 'open' && move.record.to === this.#alias)
    return settled ? [settled, ...open] : open
  }

  #fold(record: ControlRecord | undefined): void {
    if (!record) return
    const view = this.#services.get(record.service) ?? emptyView()
    applyRecord(view, record)
    this.#services.set(record.service, view)
  }
}

function groupsOf(move: MoveView): string[] {
  return [...move.record.groups, ...[...move.answers.values()].flatMap(answer => answer.groups)]
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
