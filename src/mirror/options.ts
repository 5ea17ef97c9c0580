import { InvalidOptionError } from '../errors.js'
import { consoleLogger, type Logger } from '../logger.js'
import { assertCluster } from '../kafka/cluster-config.js'
import type { ClusterConfig } from '../kafka/types.js'
import {
  assertKnownKeys,
  assertLogger,
  assertName,
  assertObject,
  assertOneOf,
  assertPositiveInteger,
  assertSelector,
  assertTopicName
} from '../util/options.js'
import type { Selector } from '../util/selector.js'
import { resolveSchemas, type ResolvedSchemas, type SchemasOptions } from './schemas/options.js'
import { assertStart, type StartOption } from './start-position.js'
import type { Transform } from './transform-types.js'

export interface CreateTopicsOptions {
  /** Replication factor on the target. @defaultValue the source topic's, at most the number of target brokers */
  replicationFactor?: number | undefined
  /** Configs that are set on top of those copied from the source. */
  configs?: Record<string, string> | undefined
}

export interface MirrorOptions {
  /** Cluster to copy from: kafkajs's own KafkaConfig plus `alias`. */
  source: ClusterConfig
  /** Cluster to copy to. All state of the link lives here. */
  target: ClusterConfig
  /** Topics by name, RegExp (full match) or both. Internal topics are matched only when named exactly. MM2: `topics`, `topics.exclude`. */
  topics: Selector
  /** Name of the link; every process with the same link shares the work's state. @defaultValue `${source.alias}-${target.alias}` */
  link?: string | undefined
  /**
   * Where lanes begin that have no history: for what exists on the source when the link is created. Partitions found later begin at
   * `earliest`. A lane that has begun never looks at it again. MM2: `auto.offset.reset` of its consumer. @defaultValue 'earliest'
   */
  start?: StartOption | undefined
  /** Which records are copied: committed ones, or also those of aborted and open transactions. MM2: `consumer.isolation.level`. @defaultValue 'read_committed' */
  isolation?: Isolation | undefined
  /**
   * Filters, changes, multiplies or routes records: one function for all topics, or one by topic name. It must be deterministic.
   * Connect: single message transforms. See docs/transforms.md.
   */
  transform?: Transform | Record<string, Transform> | undefined
  /** How long a transform may take for one record, in milliseconds. @defaultValue 30000 */
  transformTimeoutMs?: number | undefined
  /**
   * What happens to a record that cannot be copied: its transform failed, the target refuses it, it is damaged on the source. `stop-partition`
   * keeps the lane there until the cause is gone. `skip` and a dead-letter topic leave it out, with an event. Connect: `errors.tolerance`,
   * `errors.deadletterqueue.topic.name`. @defaultValue 'stop-partition'
   */
  onRecordError?: RecordErrorPolicy | undefined
  /**
   * What happens when records are gone that were not copied (deleted by retention, lost by the source's unclean election, topic created anew), or
   * when the target lost what was copied. Always an event. MM2 goes on silently. @defaultValue 'stop-partition'
   */
  onGap?: 'continue' | 'stop-partition' | undefined
  /**
   * Processes with the same link and group share its lanes, through the target's group coordinator. `false`: this process copies every lane,
   * whoever else does. Connect: the workers' `group.id`. @defaultValue `{ group: 'twinlog.<link>' }`
   */
  workers?: { group: string } | false | undefined
  limits?: LimitOptions | undefined
  /** Which records that links wrote on the source are sent on: none (mesh), or all but the target's own (chains). @defaultValue 'local' */
  forward?: 'local' | 'all-but-target' | undefined
  /**
   * No record before its schema: records of the chosen topics wait until the target's registry has what they name, and where ids differ
   * between the registries they are rewritten. See docs/transforms.md. Confluent: Schema Linking.
   */
  schemas?: SchemasOptions | undefined
  /** Fetches from replicas in this rack where the source's brokers offer it. Java: `client.rack`. */
  rackId?: string | undefined
  /** Create missing topics on the target with the source's partition count and configs. MM2 always does. @defaultValue true */
  createTopics?: boolean | CreateTopicsOptions | undefined
  /** Carry committed offsets of consumer groups over, exactly translated. MM2: `sync.group.offsets.enabled`. @defaultValue true */
  syncGroups?: boolean | undefined
  /** How often topics and partitions are looked for, in milliseconds. MM2: `refresh.topics.interval.seconds` (600 s). @defaultValue 5000 */
  discoveryIntervalMs?: number | undefined
  /** pino-shaped. @defaultValue console at `warn` */
  logger?: Logger | undefined
}

export type Isolation = 'read_committed' | 'read_uncommitted'
export type RecordErrorPolicy = 'stop-partition' | 'skip' | { deadLetterTopic: string }

export interface LimitOptions {
  /** Memory for records between source and target, all lanes together. @defaultValue 67108864 (64 MiB) */
  bytesInFlight?: number | undefined
  /** Fetched from the source at most. @defaultValue no limit */
  bytesPerSecond?: number | undefined
  /** Topics with a higher number are fetched first; 1 is everybody's. */
  priorities?: Record<string, number> | undefined
}

export interface ResolvedLimits {
  bytesInFlight: number
  bytesPerSecond: number | undefined
  priorities: Record<string, number>
}

export interface ResolvedMirrorOptions {
  source: ClusterConfig
  target: ClusterConfig
  topics: Selector
  link: string
  start: StartOption
  isolation: Isolation
  /** The transform of a topic, if it has one. */
  transform: (topic: string) => Transform | undefined
  transformTimeoutMs: number
  onRecordError: RecordErrorPolicy
  onGap: 'continue' | 'stop-partition'
  /** `required`: the user asked for the group by name, so doing without it is an error. */
  workers: false | { group: string; required: boolean }
  limits: ResolvedLimits
  forward: 'local' | 'all-but-target'
  schemas?: ResolvedSchemas | undefined
  rackId: string | undefined
  createTopics: false | { replicationFactor: number | undefined; configs: Record<string, string> }
  syncGroups: boolean
  discoveryIntervalMs: number
  logger: Logger
}

const DEFAULT_BYTES_IN_FLIGHT = 64 << 20
/** One fetch answer must fit. */
const LEAST_BYTES_IN_FLIGHT = 8 << 20
const DEFAULT_TRANSFORM_TIMEOUT_MS = 30_000

const KNOWN = [
  'source',
  'target',
  'topics',
  'link',
  'start',
  'isolation',
  'transform',
  'transformTimeoutMs',
  'onRecordError',
  'onGap',
  'workers',
  'limits',
  'forward',
  'schemas',
  'rackId',
  'createTopics',
  'syncGroups',
  'discoveryIntervalMs',
  'logger'
] as const
const PLANNED = ['naming', 'guarantee', 'offsets', 'syncConfigs', 'syncAcls', 'heartbeats', 'mm2'] as const

export function resolveMirrorOptions(options: MirrorOptions): ResolvedMirrorOptions {
  assertObject('mirror', options)
  assertKnownKeys('mirror', options, KNOWN, PLANNED)
  assertCluster('mirror.source', options.source)
  assertCluster('mirror.target', options.target)
  if (options.source.alias === options.target.alias) {
    throw new InvalidOptionError(
      'mirror.target.alias',
      `must differ from the source's alias ${JSON.stringify(options.source.alias)}`
    )
  }
  assertSelector('mirror.topics', options.topics)
  const link = options.link ?? `${options.source.alias}-${options.target.alias}`
  assertName('mirror.link', link)
  const discoveryIntervalMs = options.discoveryIntervalMs ?? 5_000
  assertPositiveInteger('mirror.discoveryIntervalMs', discoveryIntervalMs)
  if (options.syncGroups !== undefined && typeof options.syncGroups !== 'boolean') {
    throw new InvalidOptionError(
      'mirror.syncGroups',
      'must be true or false; options of group sync are not available yet'
    )
  }
  if (options.logger !== undefined) assertLogger('mirror.logger', options.logger)
  const { start = 'earliest', isolation = 'read_committed', onGap = 'stop-partition', forward = 'local' } = options
  assertStart('mirror.start', start)
  assertOneOf('mirror.isolation', isolation, ['read_committed', 'read_uncommitted'])
  assertOneOf('mirror.onGap', onGap, ['continue', 'stop-partition'])
  assertOneOf('mirror.forward', forward, ['local', 'all-but-target'])
  const transformTimeoutMs = options.transformTimeoutMs ?? DEFAULT_TRANSFORM_TIMEOUT_MS
  assertPositiveInteger('mirror.transformTimeoutMs', transformTimeoutMs)
  if (options.rackId !== undefined && (typeof options.rackId !== 'string' || options.rackId.length === 0))
    throw new InvalidOptionError('mirror.rackId', 'must be a rack name, as broker.rack of the source brokers')
  const onRecordError = resolveRecordErrorPolicy(options.onRecordError ?? 'stop-partition')
  return {
    source: options.source,
    target: options.target,
    topics: options.topics,
    link,
    start,
    isolation,
    transform: resolveTransform(options.transform),
    transformTimeoutMs,
    onRecordError,
    onGap,
    workers: resolveWorkers(options.workers, link),
    limits: resolveLimits(options.limits ?? {}),
    forward,
    schemas: resolveSchemas(options.schemas, onRecordError),
    rackId: options.rackId,
    createTopics: resolveCreateTopics(options.createTopics ?? true),
    syncGroups: options.syncGroups ?? true,
    discoveryIntervalMs,
    logger: options.logger ?? consoleLogger()
  }
}

function resolveCreateTopics(value: boolean | CreateTopicsOptions): ResolvedMirrorOptions['createTopics'] {
  if (value === false) return false
  if (value === true) return { replicationFactor: undefined, configs: {} }
  const options: CreateTopicsOptions = value
  assertObject('mirror.createTopics', value)
  assertKnownKeys('mirror.createTopics', value, ['replicationFactor', 'configs'])
  if (options.replicationFactor !== undefined)
    assertPositiveInteger('mirror.createTopics.replicationFactor', options.replicationFactor)
  return { replicationFactor: options.replicationFactor, configs: { ...options.configs } }
}

function resolveTransform(value: MirrorOptions['transform']): ResolvedMirrorOptions['transform'] {
  if (value === undefined) return () => undefined
  if (typeof value === 'function') return () => value
  assertObject('mirror.transform', value)
  const byTopic = new Map(Object.entries(value))
  for (const [topic, transform] of byTopic) {
    if (typeof transform !== 'function') throw new InvalidOptionError(`mirror.transform.${topic}`, 'must be a function')
  }
  return topic => byTopic.get(topic)
}

function resolveRecordErrorPolicy(value: RecordErrorPolicy): RecordErrorPolicy {
  if (typeof value === 'string') {
    assertOneOf('mirror.onRecordError', value, ['stop-partition', 'skip'])
    return value
  }
  assertObject('mirror.onRecordError', value)
  assertKnownKeys('mirror.onRecordError', value, ['deadLetterTopic'])
  assertTopicName('mirror.onRecordError.deadLetterTopic', value.deadLetterTopic)
  return { deadLetterTopic: value.deadLetterTopic }
}

function resolveWorkers(value: MirrorOptions['workers'], link: string): ResolvedMirrorOptions['workers'] {
  if (value === false) return false
  if (value === undefined) return { group: `twinlog.${link}`, required: false }
  assertObject('mirror.workers', value)
  assertKnownKeys('mirror.workers', value, ['group'])
  assertName('mirror.workers.group', value.group)
  return { group: value.group, required: true }
}

function resolveLimits(value: LimitOptions): ResolvedLimits {
  assertObject('mirror.limits', value)
  assertKnownKeys('mirror.limits', value, ['bytesInFlight', 'bytesPerSecond', 'priorities'])
  const { bytesInFlight = DEFAULT_BYTES_IN_FLIGHT, bytesPerSecond, priorities = {} } = value as LimitOptions
  assertPositiveInteger('mirror.limits.bytesInFlight', bytesInFlight)
  if (bytesInFlight < LEAST_BYTES_IN_FLIGHT)
    throw new InvalidOptionError('mirror.limits.bytesInFlight', `must be at least ${LEAST_BYTES_IN_FLIGHT} (8 MiB)`)
  if (bytesPerSecond !== undefined) assertPositiveInteger('mirror.limits.bytesPerSecond', bytesPerSecond)
  assertObject('mirror.limits.priorities', priorities)
  for (const [topic, priority] of Object.entries(priorities))
    assertPositiveInteger(`mirror.limits.priorities.${topic}`, priority)
  return { bytesInFlight, bytesPerSecond, priorities: { ...priorities } }
}
