import { InvalidOptionError } from '../../errors.js'
import type { SchemaGate } from '../../schemas/gate-types.js'
import {
  assertKnownKeys,
  assertObject,
  assertOneOf,
  assertPositiveInteger,
  assertSelector
} from '../../util/options.js'
import type { Selector } from '../../util/selector.js'
import type { RecordErrorPolicy } from '../options.js'

export type SchemaTimeoutPolicy = 'wait' | 'stop-partition' | 'dead-letter'

/** What the option needs of a SchemaSync. */
export interface SchemaGateSource {
  gate(o: { subjectsOf: 'topic' | 'any' }): SchemaGate
}

export interface SchemasOptions {
  /** The SchemaSync between the two clusters' registries; its `ids` decide whether records are rewritten. Confluent: Schema Linking. */
  sync: SchemaGateSource
  /** Topics whose keys and values carry schema ids. Nobody looks into the records of the others. */
  topics: Selector
  /** How long a record waits for its schema before `onTimeout` is asked, in milliseconds. @defaultValue 60000 */
  timeoutMs?: number | undefined
  /**
   * What happens then. `wait`: its lane waits on, with a `schema:missing` event. `stop-partition`: the lane fails, and is tried again.
   * `dead-letter`: the record goes to the topic of `onRecordError: { deadLetterTopic }`, and the lane goes on. @defaultValue 'wait'
   */
  onTimeout?: SchemaTimeoutPolicy | undefined
  /**
   * Which subjects can be a topic's: those whose names begin with the topic's (topic and topic-record name strategy), or any that the
   * SchemaSync has chosen (record name strategy). With `any`, a binary key or value that begins with 0 and the number of some schema is
   * taken for one. @defaultValue 'topic'
   */
  subjectsOf?: 'topic' | 'any' | undefined
}

export interface ResolvedSchemas {
  sync: SchemaGateSource
  topics: Selector
  timeoutMs: number
  onTimeout: SchemaTimeoutPolicy
  subjectsOf: 'topic' | 'any'
}

const DEFAULT_TIMEOUT_MS = 60_000

export function resolveSchemas(
  value: SchemasOptions | undefined,
  onRecordError: RecordErrorPolicy
): ResolvedSchemas | undefined {
  if (value === undefined) return undefined
  assertObject('mirror.schemas', value)
  assertKnownKeys('mirror.schemas', value, ['sync', 'topics', 'timeoutMs', 'onTimeout', 'subjectsOf'])
  const {
    sync,
    topics,
    timeoutMs = DEFAULT_TIMEOUT_MS,
    onTimeout = 'wait',
    subjectsOf = 'topic'
  } = value as SchemasOptions
  if (typeof sync !== 'object' || sync === null || typeof sync.gate !== 'function')
    throw new InvalidOptionError('mirror.schemas.sync', 'must be a SchemaSync')
  assertSelector('mirror.schemas.topics', topics)
  assertPositiveInteger('mirror.schemas.timeoutMs', timeoutMs)
  assertOneOf('mirror.schemas.onTimeout', onTimeout, ['wait', 'stop-partition', 'dead-letter'])
  assertOneOf('mirror.schemas.subjectsOf', subjectsOf, ['topic', 'any'])
  if (onTimeout === 'dead-letter' && typeof onRecordError === 'string')
    throw new InvalidOptionError(
      'mirror.schemas.onTimeout',
      "'dead-letter' needs a topic to write to: mirror.onRecordError must be { deadLetterTopic }"
    )
  return { sync, topics, timeoutMs, onTimeout, subjectsOf }
}
