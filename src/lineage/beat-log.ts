import type { ClusterClient } from '../kafka/cluster.js'
import { decodeEntry, encodeEntry } from './state-values.js'
import { TopicLog } from './topic-log.js'

/** Apart from the state topics, whose records must be kept for a week: a sign of life a second must not. */
const BEATS_TOPIC = 'twinlog.beats.internal'
const RETENTION_MS = 3_600_000

/** A sign of life of a process that owns lanes. */
export interface Beat {
  link: string
  owner: string
  atMs: number
  /** It has let go of everything it owned. */
  stopped?: boolean | undefined
}

/** Which owners of lanes are alive, as they say themselves. The last word of each counts. */
export class BeatLog {
  readonly #log: TopicLog
  readonly #beats = new Map<string, Beat>()
  #next = 0n
  #ready = false

  constructor(cluster: ClusterClient) {
    this.#log = new TopicLog(cluster, BEATS_TOPIC)
  }

  async write(beat: Beat): Promise<void> {
    if (!this.#ready) {
      const configs = {
        'cleanup.policy': 'delete',
        'retention.ms': String(RETENTION_MS),
        'segment.ms': String(RETENTION_MS)
      }
      await this.#log.ensure({ partitions: 1, configs })
      this.#ready = true
    }
    await this.#log.append(0, [{ key: Buffer.from(beat.owner), value: encodeEntry(beat) }])
  }

  /** Reads to the end; a cluster without the topic has no owners. */
  async refresh(): Promise<void> {
    if (!this.#ready && (await this.#log.partitionCount()) === 0) return
    this.#ready = true
    const { records, next } = await this.#log.readToEnd(0, this.#next)
    this.#next = next
    for (const { key, value, offset } of records) {
      if (!key || !value) continue
      this.#beats.set(key.toString(), decodeEntry<Beat>(value, `entry at offset ${offset} of ${BEATS_TOPIC}`))
    }
  }

  beat(owner: string): Beat | undefined {
    return this.#beats.get(owner)
  }
}
