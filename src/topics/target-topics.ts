import { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import { kafkaError } from '../kafka/protocol-errors.js'
import { createPartitionsRequest } from '../kafka/requests/create-partitions.js'
import { createTopicsRequest } from '../kafka/requests/create-topics.js'
import { describeConfigsRequest } from '../kafka/requests/describe-configs.js'
import type { TopicMetadata } from '../kafka/types.js'
import { retry } from '../util/retry.js'

/** Source of a config value in DescribeConfigs: set on the topic itself. */
const TOPIC_CONFIG = 1
const DEFAULT_CONFIG = 5
const TOPIC_ALREADY_EXISTS = 36
const REQUEST_TIMEOUT_MS = 15_000

/**
 * Configs of a source topic that must not be carried over: replication throttles name brokers of the source, and the time stamp
 * type must stay CreateTime so that the source's time stamps survive. (MM2 leaves out the same ones.)
 */
const NOT_COPIED = new Set([
  'follower.replication.throttled.replicas',
  'leader.replication.throttled.replicas',
  'message.timestamp.type',
  'unclean.leader.election.enable'
])

export type TopicConfigs = Map<string, { value: string; onTopic: boolean; isDefault: boolean }>

/** Effective configs of topics; sensitive and unset ones left out. */
export async function topicConfigs(cluster: ClusterClient, topics: string[]): Promise<Map<string, TopicConfigs>> {
  if (topics.length === 0) return new Map()
  const answer = await cluster.send(
    'any',
    describeConfigsRequest({ resources: topics.map(name => ({ type: 'topic' as const, name })) })
  )
  const configs = new Map<string, TopicConfigs>()
  for (const resource of answer.resources) {
    if (resource.errorCode !== 0) {
      throw kafkaError(
        resource.errorCode,
        `cannot read the configs of topic ${resource.name}${resource.errorMessage ? `: ${resource.errorMessage}` : ''}`,
        {
          cluster: cluster.alias,
          topic: resource.name
        }
      )
    }
    const ofTopic: TopicConfigs = new Map()
    for (const config of resource.configs) {
      if (config.value === null || config.sensitive) continue
      ofTopic.set(config.name, {
        value: config.value,
        onTopic: config.source === TOPIC_CONFIG,
        isDefault: config.source === DEFAULT_CONFIG
      })
    }
    configs.set(resource.name, ofTopic)
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
    // A broker-wide limit on the source decides what its records look like, so it has to hold on the target as well.
    const wanted = onTopic || (name === 'max.message.bytes' && !isDefault)
    if (!wanted || NOT_COPIED.has(name)) continue
    // More in-sync replicas than replicas would make the topic read-only.
    configs[name] = name === 'min.insync.replicas' ? String(Math.min(Number(value), replicationFactor)) : value
  }
  return { ...configs, ...extra }
}

export async function createTopic(
  cluster: ClusterClient,
  topic: { name: string; partitions: number; replicationFactor: number; configs: Record<string, string> }
): Promise<{ created: boolean; topic: TopicMetadata }> {
  const answer = await cluster.send(
    'controller',
    createTopicsRequest({ timeoutMs: REQUEST_TIMEOUT_MS, topics: [topic] })
  )
  const result = answer.topics[0]
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
  return { created: result?.errorCode === 0, topic: await readyTopic(cluster, topic.name, topic.partitions) }
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
