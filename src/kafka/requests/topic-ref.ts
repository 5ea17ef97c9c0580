/** A topic named both ways, so that a request can go by id where the broker can and by name where it cannot. */
export interface TopicRef {
  topic: string
  /** Base64url of 16 bytes, or '' when unknown. */
  topicId: string
}

export const NO_TOPIC_ID = 'AAAAAAAAAAAAAAAAAAAAAA'

export function isTopicId(topicId: string): boolean {
  return topicId.length === 22 && topicId !== NO_TOPIC_ID
}

/** Completes what a response says about a topic (name or id) with the other half, from the request. */
export class TopicRefs {
  readonly #byId: Map<string, TopicRef>
  readonly #byName: Map<string, TopicRef>

  constructor(topics: readonly TopicRef[]) {
    this.#byId = new Map(topics.map(ref => [ref.topicId, ref]))
    this.#byName = new Map(topics.map(ref => [ref.topic, ref]))
  }

  byId(topicId: string): TopicRef {
    return this.#byId.get(topicId) ?? { topic: '', topicId }
  }

  byName(topic: string): TopicRef {
    return this.#byName.get(topic) ?? { topic, topicId: '' }
  }
}
