import { InvalidOptionError } from '../errors.js'
import { assertKnownKeys, assertObject, assertOneOf } from '../util/options.js'

export interface SubjectRenameOptions {
  /** New names of topics: by old name, or a function. A topic that the record does not name keeps its name. */
  topics: Record<string, string> | ((topic: string) => string)
  /**
   * How the serializers name subjects (`key.subject.name.strategy`, `value.subject.name.strategy`): `topic` is TopicNameStrategy
   * (`orders-value`), `record` RecordNameStrategy (`com.acme.Order`), `topic-record` TopicRecordNameStrategy (`orders-com.acme.Order`).
   */
  strategy: 'topic' | 'record' | 'topic-record'
}

/**
 * A `rename` for {@link SchemaSyncOptions} that follows renamed topics. With `record` subjects do not name topics and keep their names. With
 * `topic-record` the record's name is what follows the last dash: a record whose name has a dash itself (titles of JSON schemas can) is not
 * recognised and keeps its subject.
 *
 * @throws InvalidOptionError
 */
export function subjectRename(options: SubjectRenameOptions): (subject: string) => string {
  assertObject('subjectRename', options)
  assertKnownKeys('subjectRename', options, ['topics', 'strategy'])
  assertOneOf('subjectRename.strategy', options.strategy, ['topic', 'record', 'topic-record'])
  const { strategy } = options
  const topic = topicRename(options.topics)
  if (strategy === 'record') return subject => subject
  return subject => {
    const parts = strategy === 'topic' ? /^(.+)(-(?:key|value))$/s.exec(subject) : /^(.+)(-[^-]+)$/s.exec(subject)
    if (!parts) return subject
    const [, name = '', rest = ''] = parts
    return topic(name) + rest
  }
}

function topicRename(topics: SubjectRenameOptions['topics']): (topic: string) => string {
  if (typeof topics === 'function') return topics
  assertObject('subjectRename.topics', topics)
  for (const [from, to] of Object.entries(topics)) {
    if (typeof to !== 'string' || to.length === 0)
      throw new InvalidOptionError(`subjectRename.topics[${JSON.stringify(from)}]`, 'must be the new name of the topic')
  }
  const names = new Map(Object.entries(topics))
  return topic => names.get(topic) ?? topic
}
