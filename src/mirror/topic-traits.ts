import type { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import { readableConfigs, type TopicConfigs } from '../topics/target-topics.js'

const DEFAULT_MAX_MESSAGE_BYTES = 1_048_588
const SOURCE_KEYS = ['cleanup.policy']
const TARGET_KEYS = ['max.message.bytes', 'message.timestamp.type']

/** What of a topic's configs decides how its lanes are copied. It can change at any time. */
export interface TopicTraits {
  /** The source compacts it: what was not copied yet may vanish from the middle. */
  compacted: boolean
  /** The target takes no larger batch. */
  maxBatchBytes: number
  /** The target writes its own time stamps, and a repetition cannot be told from an append. */
  logAppendTime: boolean
}

export const UNKNOWN_TRAITS: TopicTraits = {
  compacted: false,
  maxBatchBytes: DEFAULT_MAX_MESSAGE_BYTES,
  logAppendTime: false
}

export type Readable = Map<string, TopicConfigs | TwinlogError>

/** Configs of source topics that decide how they are copied. */
export const sourceTraits = (source: ClusterClient, topics: readonly string[]): Promise<Readable> =>
  readableConfigs(source, topics, SOURCE_KEYS)

export const targetTraits = (target: ClusterClient, topics: readonly string[]): Promise<Readable> =>
  readableConfigs(target, topics, TARGET_KEYS)

export function traitsOf(source: TopicConfigs, target: TopicConfigs): TopicTraits {
  return {
    compacted: (source.get('cleanup.policy')?.value ?? 'delete').split(',').some(policy => policy.trim() === 'compact'),
    maxBatchBytes: Number(target.get('max.message.bytes')?.value ?? DEFAULT_MAX_MESSAGE_BYTES),
    logAppendTime: target.get('message.timestamp.type')?.value === 'LogAppendTime'
  }
}

export const sameTraits = (a: TopicTraits, b: TopicTraits): boolean =>
  a.compacted === b.compacted && a.maxBatchBytes === b.maxBatchBytes && a.logAppendTime === b.logAppendTime
