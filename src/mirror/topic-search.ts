import { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import { kafkaError } from '../kafka/protocol-errors.js'
import type { TopicMetadata } from '../kafka/types.js'
import { exactNames, isExact, matches, type Selector } from '../util/selector.js'

const UNKNOWN_TOPIC = 3

/** Looks on the source for topics that match the selector, and tells once of names that are not there. */
export class TopicSearch {
  readonly #source: ClusterClient
  readonly #selector: Selector
  readonly #onMissing: (error: TwinlogError) => void
  readonly #missing = new Set<string>()

  constructor(o: { source: ClusterClient; selector: Selector; missing: (error: TwinlogError) => void }) {
    this.#source = o.source
    this.#selector = o.selector
    this.#onMissing = o.missing
  }

  async find(): Promise<TopicMetadata[]> {
    const selector = this.#selector
    const names = exactNames(selector).filter(name => matches(selector, name))
    const { topics } = await this.#source.metadata(isExact(selector) ? { topics: names } : {})
    const found = [...topics.values()].filter(topic => topic.errorCode === 0 && matches(selector, topic.name))
    for (const name of names) this.#tell(name, topics.get(name)?.errorCode ?? UNKNOWN_TOPIC)
    if (names.length === 0) this.#tell(undefined, found.length === 0 ? UNKNOWN_TOPIC : 0)
    return found
  }

  #tell(name: string | undefined, errorCode: number): void {
    if (errorCode === 0) this.#missing.delete(name ?? '')
    if (errorCode === 0 || this.#missing.has(name ?? '')) return
    const error = missing(this.#source.alias, name, errorCode)
    if (error.retriable && errorCode !== UNKNOWN_TOPIC) return
    this.#missing.add(name ?? '')
    this.#onMissing(error)
  }
}

/**
 * Topics that were there and are not in an answer any more: those that do not exist. Asked by name, a broker also says when it is
 * only the right to see them that is gone.
 */
export async function deletedTopics(cluster: ClusterClient, names: readonly string[]): Promise<Set<string>> {
  if (names.length === 0) return new Set()
  const { topics } = await cluster.metadata({ topics: names })
  return new Set(names.filter(name => topics.get(name)?.errorCode === UNKNOWN_TOPIC))
}

function missing(cluster: string, name: string | undefined, errorCode: number): TwinlogError {
  const advice = 'create it there or check mirror.topics; the Mirror keeps looking'
  if (errorCode !== UNKNOWN_TOPIC)
    return kafkaError(errorCode, `cannot see topic ${name} on ${cluster}`, { cluster, topic: name })
  if (name === undefined) {
    const message = `no topic on the source ${cluster} matches mirror.topics: ${advice}`
    return new TwinlogError('TWINLOG_UNKNOWN_TOPIC', message, { cluster })
  }
  const message = `topic ${name} is not on the source ${cluster}: ${advice}`
  return new TwinlogError('TWINLOG_UNKNOWN_TOPIC', message, { cluster, topic: name })
}
