import { InvalidOptionError } from '../errors.js'
import { consoleLogger, type Logger } from '../logger.js'
import { assertCluster } from '../kafka/cluster-config.js'
import type { ClusterConfig } from '../kafka/types.js'
import {
  assertKnownKeys,
  assertLogger,
  assertName,
  assertObject,
  assertPositiveInteger,
  assertSelector
} from '../util/options.js'
import type { Selector } from '../util/selector.js'

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
  /** Create missing topics on the target with the source's partition count and configs. MM2 always does. @defaultValue true */
  createTopics?: boolean | CreateTopicsOptions | undefined
  /** Carry committed offsets of consumer groups over, exactly translated. MM2: `sync.group.offsets.enabled`. @defaultValue true */
  syncGroups?: boolean | undefined
  /** How often topics and partitions are looked for, in milliseconds. MM2: `refresh.topics.interval.seconds` (600 s). @defaultValue 5000 */
  discoveryIntervalMs?: number | undefined
  /** pino-shaped. @defaultValue console at `warn` */
  logger?: Logger | undefined
}

export interface ResolvedMirrorOptions {
  source: ClusterConfig
  target: ClusterConfig
  topics: Selector
  link: string
  createTopics: false | { replicationFactor: number | undefined; configs: Record<string, string> }
  syncGroups: boolean
  discoveryIntervalMs: number
  logger: Logger
}

const KNOWN = [
  'source',
  'target',
  'topics',
  'link',
  'createTopics',
  'syncGroups',
  'discoveryIntervalMs',
  'logger'
] as const
const PLANNED = [
  'naming',
  'start',
  'guarantee',
  'isolation',
  'offsets',
  'syncConfigs',
  'syncAcls',
  'transform',
  'onRecordError',
  'onGap',
  'workers',
  'limits',
  'heartbeats',
  'mm2',
  'schemas',
  'forward'
] as const

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
  return {
    source: options.source,
    target: options.target,
    topics: options.topics,
    link,
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
