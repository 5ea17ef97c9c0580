import { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import { kafkaError } from '../kafka/protocol-errors.js'
import { createPartitionsRequest } from '../kafka/requests/create-partitions.js'
import { createTopicsRequest } from '../kafka/requests/create-topics.js'
import { type DescribeConfigsResponse, describeConfigsRequest } from '../kafka/requests/describe-configs.js'
import type { TopicMetadata } from '../kafka/types.js'
import { retry } from '../util/retry.js'

/** Source of a config value in DescribeConfigs: set on the topic itself. */
const TOPIC_CONFIG = 1
const DEFAULT_CONFIG = 5
const TOPIC_ALREADY_EXISTS = 36
const INVALID_CONFIG = 40
const REQUEST_TIMEOUT_MS = 15_000

/**
 * Configs of a source topic that must not be carried over: replication throttles name brokers of the source. (MM2 leaves out the
 * same ones.) The old limit on time stamps is unknown to Kafka 4 and would win over the new ones before it.
 */
const NOT_COPIED = new Set([
  'follower.replication.throttled.replicas',
  'leader.replication.throttled.replicas',
  'message.timestamp.difference.max.ms',
  'unclean.leader.election.enable'
])

/** Limits that hold for all topics of a source broker decide what its records look like, so they hold on the target as well. */
const COPIED_FROM_BROKER = new Set(['cleanup.policy', 'max.message.bytes'])

/** The source's time stamps survive, and what the source took is not refused for its age. */
const KEEP_TIMESTAMPS = { 'message.timestamp.type': 'CreateTime' }
const ANY_AGE = {
  'message.timestamp.after.max.ms': '9223372036854775807',
  'message.timestamp.before.max.ms': '9223372036854775807'
}

/** A request for many topics is cut into pieces that a broker answers quickly. */
const TOPICS_A_REQUEST = 200

export type TopicConfigs = Map<string, { value: string; onTopic: boolean; isDefault: boolean }>

/** Effective configs of topics; sensitive and unset ones left out. @throws TwinlogError when one of them cannot be read */
export async function topicConfigs(cluster: ClusterClient, topics: string[]): Promise<Map<string, TopicConfigs>> {
  const configs = new Map<string, TopicConfigs>()
  for (const [name, ofTopic] of await readableConfigs(cluster, topics)) {
    if (ofTopic instanceof TwinlogError) throw ofTopic
    configs.set(name, ofTopic)
  }
  return configs
}

/** The same, topic by topic: those that cannot be read say why. With `keys` only these configs are asked for. */
export async function readableConfigs(
  cluster: ClusterClient,
  topics: readonly string[],
  keys?: string[]
): Promise<Map<string, TopicConfigs | TwinlogError>> {
  const configs = new Map<string, TopicConfigs | TwinlogError>()
  for (let start = 0; start < topics.length; start += TOPICS_A_REQUEST) {
    const resources = topics
      .slice(start, start + TOPICS_A_REQUEST)
      .map(name => ({ type: 'topic' as const, name, ...(keys ? { keys } : {}) }))
    const answer = await cluster.send('any', describeConfigsRequest({ resources }))
    for (const resource of answer.resources) configs.set(resource.name, configsOf(cluster, resource))
  }
  return configs
}

function configsOf(
  cluster: ClusterClient,
  resource: DescribeConfigsResponse['resources'][number]
): TopicConfigs | TwinlogError {
  if (resource.errorCode !== 0) {
    const detail = resource.errorMessage ? `: ${resource.errorMessage}` : ''
    return kafkaError(
      resource.errorCode,
      `cannot read the configs of topic ${resource.name} on ${cluster.alias}${detail}`,
      { cluster: cluster.alias, topic: resource.name }
    )
  }
  const configs: TopicConfigs = new Map()
  for (const config of resource.configs) {
    if (config.value === null || config.sensitive) continue
    configs.set(config.name, {
      value: config.value,
      onTopic: config.source === TOPIC_CONFIG,
      isDefault: config.source === DEFAULT_CONFIG
    })
  }
  return configs
}

/** What a topic on the target is created with. */
export function configsToCopy(
  source: TopicConfigs,
  replicationFactor: number,
  extra: Record<string, string>
): Record<string, string> {
  const configs: Record<string, string> = {}
  for (const [name, { value, onTopic, isDefault }] of source) {
    const wanted = onTopic || (COPIED_FROM_BROKER.has(name) && !isDefault)
    if (!wanted || NOT_COPIED.has(name)) continue
    // More in-sync replicas than replicas would make the topic read-only.
    configs[name] = name === 'min.insync.replicas' ? String(Math.min(Number(value), replicationFactor)) : value
  }
  return { ...configs, ...KEEP_TIMESTAMPS, ...ANY_AGE, ...extra }
}

interface NewTopic {
  name: string
  partitions: number
  replicationFactor: number
  configs: Record<string, string>
}

export async function createTopic(
  cluster: ClusterClient,
  topic: NewTopic
): Promise<{ created: boolean; topic: TopicMetadata }> {
  let result = await tryToCreate(cluster, topic)
  // Brokers before Kafka 3.6 do not know these two, and have no such limit.
  if (result?.errorCode === INVALID_CONFIG)
    result = await tryToCreate(cluster, { ...topic, configs: older(topic.configs) })
  if (result && result.errorCode !== 0 && result.errorCode !== TOPIC_ALREADY_EXISTS) {
    throw kafkaError(
      result.errorCode,
      `cannot create topic ${topic.name} on ${cluster.alias}${result.errorMessage ? `: ${result.errorMessage}` : ''}`,
      {
        cluster: cluster.alias,
        topic: topic.name
      }
    )
  }
  const known = result?.errorCode === 0 ? topic.partitions : 1
  return { created: result?.errorCode === 0, topic: await readyTopic(cluster, topic.name, known) }
}

async function tryToCreate(cluster: ClusterClient, topic: NewTopic) {
  const request = createTopicsRequest({ timeoutMs: REQUEST_TIMEOUT_MS, topics: [topic] })
  return (await cluster.send('controller', request)).topics[0]
}

/** Without the limits that we set: what the user asked for stays, and is the user's to correct. */
function older(configs: Record<string, string>): Record<string, string> {
  const ours = new Map<string, string>(Object.entries(ANY_AGE))
  return Object.fromEntries(Object.entries(configs).filter(([name, value]) => ours.get(name) !== value))
}

/** More partitions on the source: the target follows. Fewer can't be. */
export async function growTopic(cluster: ClusterClient, name: string, partitions: number): Promise<TopicMetadata> {
  const answer = await cluster.send(
    'controller',
    createPartitionsRequest({ timeoutMs: REQUEST_TIMEOUT_MS, topics: [{ name, count: partitions }] })
  )
  const result = answer.topics[0]
  const INVALID_PARTITIONS = 37
  if (result && result.errorCode !== 0 && result.errorCode !== INVALID_PARTITIONS) {
    throw kafkaError(result.errorCode, `cannot grow topic ${name} on ${cluster.alias} to ${partitions} partitions`, {
      cluster: cluster.alias,
      topic: name
    })
  }
  return readyTopic(cluster, name, partitions)
}

/** Waits until every partition of a new topic has a leader. */
async function readyTopic(cluster: ClusterClient, name: string, partitions: number): Promise<TopicMetadata> {
  return retry(
    async () => {
      const topic = (await cluster.metadata({ topics: [name] })).topics.get(name)
      if (
        topic?.errorCode === 0 &&
        topic.partitions.length >= partitions &&
        topic.partitions.every(partition => partition.leader >= 0)
      )
        return topic
      throw new TwinlogError('TWINLOG_TIMEOUT', `topic ${name} on ${cluster.alias} has no leaders yet`, {
        retriable: true,
        cluster: cluster.alias,
        topic: name
      })
    },
    { retries: 20, minTimeoutMs: 50, maxTimeoutMs: 1_000 }
  )
}
