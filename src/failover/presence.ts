import type { ClusterClient } from '../kafka/cluster.js'
import { listOffsetsRequest } from '../kafka/requests/list-offsets.js'
import { TopicLog } from '../lineage/topic-log.js'

/** Apart from the control topic, because its records must be kept for ever and heartbeats must not. */
const PRESENCE_TOPIC = 'twinlog.presence.internal'
export const PRESENCE_WINDOW_MS = 10_000
const RETENTION_MS = 3_600_000

export interface Heartbeat {
  service: string
  instance: string
  epoch: number
  topics: string[]
  groups: string[]
  /** The epoch of the move that this instance drives right now. */
  driving?: number
  /** The last word of an instance that ends: nobody has to wait for it. */
  left?: true
}

/** A heartbeat and the broker's clock when it came in. */
export interface TimedHeartbeat extends Heartbeat {
  timestamp: bigint
}

export function encodeHeartbeat(heartbeat: Heartbeat): { key: Buffer; value: Buffer } {
  const value = JSON.stringify({ v: 1, ...heartbeat, at: new Date().toISOString() })
  return { key: Buffer.from(heartbeat.service), value: Buffer.from(value) }
}

/** What can't be read is passed over: a heartbeat of a newer twinlog is missed for a second, and the next one says the same. */
export function decodeHeartbeat(
  entry: { key: Buffer | null; value: Buffer | null; timestamp: bigint },
  service: string
): TimedHeartbeat | undefined {
  if (entry.key?.toString() !== service || entry.value === null) return undefined
  try {
    const body = JSON.parse(entry.value.toString()) as Heartbeat & { v: number }
    if (body.v !== 1 || typeof body.instance !== 'string') return undefined
    const { instance, epoch, driving, left } = body
    return {
      service,
      instance,
      epoch,
      topics: body.topics ?? [],
      groups: body.groups ?? [],
      ...(driving === undefined ? {} : { driving }),
      ...(left ? { left } : {}),
      timestamp: entry.timestamp
    }
  } catch {
    return undefined
  }
}

/**
 * Who is alive: the newest heartbeat of each instance, unless it said goodbye or is older than the window. "Now" is the newest
 * time stamp in the log, so only the broker's clock counts (the topic stamps records itself).
 */
export function presentInstances(
  heartbeats: readonly TimedHeartbeat[],
  windowMs = PRESENCE_WINDOW_MS
): Map<string, TimedHeartbeat> {
  const newest = new Map<string, TimedHeartbeat>()
  let now = 0n
  for (const heartbeat of heartbeats) {
    newest.set(heartbeat.instance, heartbeat)
    if (heartbeat.timestamp > now) now = heartbeat.timestamp
  }
  for (const [instance, heartbeat] of newest) {
    if (heartbeat.left || heartbeat.timestamp < now - BigInt(windowMs)) newest.delete(instance)
  }
  return newest
}

/** The presence topic of one cluster. */
export class PresenceTopic {
  readonly #cluster: ClusterClient
  readonly #log: TopicLog

  constructor(cluster: ClusterClient) {
    this.#cluster = cluster
    this.#log = new TopicLog(cluster, PRESENCE_TOPIC)
  }

  async ensure(): Promise<void> {
    await this.#log.ensure({
      partitions: 1,
      configs: {
        'cleanup.policy': 'delete',
        'retention.ms': String(RETENTION_MS),
        'segment.ms': String(RETENTION_MS),
        'message.timestamp.type': 'LogAppendTime'
      }
    })
  }

  async beat(heartbeat: Heartbeat): Promise<void> {
    await this.#log.append(0, [encodeHeartbeat(heartbeat)])
  }

  /** Beats, so that there is a "now" in the log, and reads the window before it. */
  async present(own: Heartbeat): Promise<Map<string, TimedHeartbeat>> {
    const { baseOffset } = await this.#log.append(0, [encodeHeartbeat(own)])
    const { records: tail } = await this.#log.readToEnd(0, baseOffset)
    const now = tail[0]?.timestamp ?? BigInt(Date.now())
    const from = await this.#offsetAt(now - BigInt(PRESENCE_WINDOW_MS))
    const { records } = await this.#log.readToEnd(0, from ?? baseOffset)
    return presentInstances(records.flatMap(record => decodeHeartbeat(record, own.service) ?? []))
  }

  async #offsetAt(timestamp: bigint): Promise<bigint | undefined> {
    const leader = this.#cluster.leaderOf(PRESENCE_TOPIC, 0)
    if (!leader) return undefined
    const topics = [{ topic: PRESENCE_TOPIC, partitions: [{ partition: 0, timestamp }] }]
    const answer = await this.#cluster.send(
      { node: leader.nodeId },
      listOffsetsRequest({ isolation: 'read_uncommitted', topics })
    )
    const offset = answer.partitions[0]?.offset
    return offset === undefined || offset < 0n ? undefined : offset
  }
}
