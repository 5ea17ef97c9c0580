import type { FetchParams, FetchSessionParams, TopicLookup } from '../kafka/requests/fetch.js'
import type { TopicRef } from '../kafka/requests/topic-ref.js'

/** What is asked about one partition. */
export interface FetchQuestion {
  fetchOffset: bigint
  lastFetchedEpoch: number
  maxBytes: number
}

export interface FetchPlace extends TopicRef {
  partition: number
}

interface Entry {
  readonly place: FetchPlace
  /** Higher comes first in a request that names everything. */
  readonly rank: number
  wanted: FetchQuestion | undefined
  /** What the broker was asked last; undefined: it does not have the partition in its session. */
  told: FetchQuestion | undefined
  /** Has to leave the session once, so that the broker tells everything about it anew. */
  anew: boolean
}

type SessionRequest = Pick<FetchParams, 'topics'> & { session: FetchSessionParams }

const FETCH_SESSION_ID_NOT_FOUND = 70
const INVALID_FETCH_SESSION_EPOCH = 71
const FETCH_SESSION_TOPIC_ID_ERROR = 106
/** The broker has lost the session, or its idea of it differs: another one is opened at once. */
export const SESSION_ERRORS: ReadonlySet<number> = new Set([
  FETCH_SESSION_ID_NOT_FOUND,
  INVALID_FETCH_SESSION_EPOCH,
  FETCH_SESSION_TOPIC_ID_ERROR
])
const LAST_EPOCH = 0x7fffffff

/**
 * An incremental fetch session (KIP-227) as its client sees it: what the broker believes we ask, and what has changed since. A
 * request names only changes, an answer only partitions with something new: data, another high watermark or log start, an error, a
 * preferred replica. So thousands of idle partitions cost nothing. Pure bookkeeping; one request at a time.
 *
 * A broker without room for a session answers with id 0: then each request names everything, and each asks for a session again.
 */
export class FetchSession {
  readonly #entries = new Map<string, Entry>()
  /** Entries whose wish may differ from what the broker was told. */
  readonly #changed = new Set<string>()
  readonly #topicsById = new Map<string, TopicRef>()
  readonly #topicsByName = new Map<string, TopicRef>()
  readonly #lookup: TopicLookup = {
    byId: topicId => this.#topicsById.get(topicId) ?? { topic: '', topicId },
    byName: topic => this.#topicsByName.get(topic) ?? { topic, topicId: '' }
  }
  #id = 0
  #epoch = 0
  #wanted = 0
  #rotation = 0

  /** Partitions that are asked for. */
  get size(): number {
    return this.#wanted
  }

  /** The broker keeps a session for us. */
  get open(): boolean {
    return this.#epoch > 0
  }

  /** Right after `next()`: something wanted was held back and goes with the next request. */
  get pending(): boolean {
    return this.#changed.size > 0
  }

  want(place: FetchPlace, question: FetchQuestion, rank = 1): void {
    const key = keyOf(place)
    let entry = this.#entries.get(key)
    if (!entry) {
      entry = { place, rank, wanted: undefined, told: undefined, anew: false }
      this.#entries.set(key, entry)
      this.#topicsById.set(place.topicId, place)
      this.#topicsByName.set(place.topic, place)
    }
    if (!entry.wanted) this.#wanted += 1
    else if (same(entry.wanted, question)) return
    entry.wanted = question
    this.#changed.add(key)
  }

  leave(place: FetchPlace): void {
    const key = keyOf(place)
    const entry = this.#entries.get(key)
    if (!entry?.wanted) return
    this.#wanted -= 1
    entry.wanted = undefined
    this.#changed.add(key)
  }

  /** The next answer shall hold everything about the partition again, changed or not. */
  askAnew(place: FetchPlace): void {
    const entry = this.#entries.get(keyOf(place))
    if (!entry?.told) return
    entry.anew = true
    this.#changed.add(keyOf(place))
  }

  /** What was asked about a partition of an answer, in this request or in an earlier one; undefined: nothing. */
  asked(topicId: string, partition: number): FetchQuestion | undefined {
    return this.#entries.get(`${topicId}/${partition}`)?.told
  }

  /** The request to send now. Its answer, or its loss, must be told before the next. */
  next(): SessionRequest {
    return this.#epoch === 0 ? this.#everything() : this.#changes()
  }

  /** False: the broker has lost the session, the next request opens another one, and this answer holds nothing. */
  answered(answer: { errorCode: number; sessionId: number }): boolean {
    const { errorCode, sessionId } = answer
    if (errorCode === FETCH_SESSION_ID_NOT_FOUND) return this.#reset(0)
    if (errorCode !== 0) return this.#reset(this.#id)
    if (sessionId > 0 && (this.#epoch === 0 || sessionId === this.#id)) {
      this.#id = sessionId
      this.#epoch = this.#epoch === LAST_EPOCH ? 1 : this.#epoch + 1
    } else {
      this.#id = 0
      this.#epoch = 0
    }
    return true
  }

  /** Whether the broker saw the last request is not known: the session is closed and another one opened. */
  lost(): void {
    this.#reset(this.#id)
  }

  #reset(id: number): false {
    this.#id = id
    this.#epoch = 0
    return false
  }

  #everything(): SessionRequest {
    const entries: Entry[] = []
    for (const [key, entry] of this.#entries) {
      entry.told = entry.wanted
      entry.anew = false
      if (entry.wanted) entries.push(entry)
      else this.#remove(key)
    }
    this.#changed.clear()
    // Another one comes first each time: when the answer is full, nobody starves. (In a session the broker sees to that itself.)
    this.#rotation = entries.length === 0 ? 0 : (this.#rotation + 1) % entries.length
    const turned = [...entries.slice(this.#rotation), ...entries.slice(0, this.#rotation)]
    turned.sort((a, b) => b.rank - a.rank)
    return this.#request(turned, [])
  }

  #changes(): SessionRequest {
    const sent: Entry[] = []
    const forgotten: Entry[] = []
    const changed = [...this.#changed]
    this.#changed.clear()
    const names = new Set<string>()
    const forget = (key: string, entry: Entry) => {
      entry.told = undefined
      forgotten.push(entry)
      names.add(nameOf(entry.place))
      if (entry.wanted) this.#changed.add(key)
      else this.#remove(key)
    }
    for (const key of changed) {
      const entry = this.#entries.get(key)
      if (!entry) continue
      const { wanted, told, anew } = entry
      entry.anew = false
      if (told && (anew || !wanted)) forget(key, entry)
      else if (!wanted) this.#remove(key)
    }
    for (const key of changed) {
      const entry = this.#entries.get(key)
      if (!entry?.wanted || this.#changed.has(key)) continue
      // Brokers forget after they have added: a re-created topic that is known by name would be lost again.
      if (!entry.told && names.has(nameOf(entry.place))) {
        this.#changed.add(key)
        continue
      }
      if (entry.told && same(entry.told, entry.wanted)) continue
      entry.told = entry.wanted
      sent.push(entry)
    }
    return this.#request(sent, forgotten)
  }

  #request(sent: Entry[], forgotten: Entry[]): SessionRequest {
    const topics: FetchParams['topics'] = []
    // Runs of one topic only: a topic may come several times, and the order counts.
    for (const { place, told } of sent) {
      let topic = topics.at(-1)
      if (topic?.topicId !== place.topicId || topic.topic !== place.topic) {
        topic = { topic: place.topic, topicId: place.topicId, partitions: [] }
        topics.push(topic)
      }
      topic.partitions.push({ partition: place.partition, ...(told as FetchQuestion) })
    }
    const gone = new Map<string, FetchSessionParams['forgotten'][number]>()
    for (const { place } of forgotten) {
      const topic = gone.get(place.topicId) ?? { topic: place.topic, topicId: place.topicId, partitions: [] }
      topic.partitions.push(place.partition)
      gone.set(place.topicId, topic)
    }
    const session = { id: this.#id, epoch: this.#epoch, forgotten: [...gone.values()], lookup: this.#lookup }
    return { topics, session }
  }

  #remove(key: string): void {
    this.#entries.delete(key)
    this.#changed.delete(key)
  }
}

const keyOf = (place: FetchPlace) => `${place.topicId}/${place.partition}`
const nameOf = (place: FetchPlace) => `${place.topic}/${place.partition}`

const same = (a: FetchQuestion, b: FetchQuestion) =>
  a.fetchOffset === b.fetchOffset && a.lastFetchedEpoch === b.lastFetchedEpoch && a.maxBytes === b.maxBytes
