import { InvalidOptionError, TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import { kafkaError } from '../kafka/protocol-errors.js'
import { EARLIEST_TIMESTAMP, LATEST_TIMESTAMP, listOffsetsRequest } from '../kafka/requests/list-offsets.js'
import { assertKnownKeys, assertObject, assertTopicName } from '../util/options.js'
import type { LaneTopic } from './lane-types.js'
import type { Isolation } from './options.js'

/**
 * Where lanes begin that have no history. `timestamp` is in milliseconds: the first record that is as young, or the end where
 * none is. `offsets` are source offsets by topic and partition; partitions that are not named begin at their earliest record.
 */
export type StartOption =
  | 'earliest'
  | 'latest'
  | { timestamp: number }
  | { offsets: Record<string, Record<number, bigint>> }

/** @throws InvalidOptionError */
export function assertStart(path: string, value: unknown): asserts value is StartOption {
  if (value === 'earliest' || value === 'latest') return
  if (typeof value === 'string') throw new InvalidOptionError(path, CHOICES)
  assertObject(path, value)
  assertKnownKeys(path, value, ['timestamp', 'offsets'])
  const { timestamp, offsets } = value
  if ((timestamp === undefined) === (offsets === undefined)) throw new InvalidOptionError(path, CHOICES)
  if (timestamp !== undefined) {
    if (typeof timestamp !== 'number' || !Number.isSafeInteger(timestamp) || timestamp < 0)
      throw new InvalidOptionError(`${path}.timestamp`, 'must be a time in whole milliseconds since 1970')
    return
  }
  assertObject(`${path}.offsets`, offsets)
  for (const [topic, partitions] of Object.entries(offsets)) {
    assertTopicName(`${path}.offsets`, topic)
    assertObject(`${path}.offsets.${topic}`, partitions)
    for (const [partition, offset] of Object.entries(partitions)) {
      const where = `${path}.offsets.${topic}.${partition}`
      if (!/^(0|[1-9]\d{0,8})$/.test(partition)) throw new InvalidOptionError(where, 'is not a partition number')
      if (typeof offset !== 'bigint' || offset < 0n)
        throw new InvalidOptionError(where, 'must be an offset as a bigint, 0n or more')
    }
  }
}

const CHOICES = "must be 'earliest', 'latest', { timestamp } or { offsets }"

interface Question {
  source: ClusterClient
  lane: LaneTopic
  isolation: Isolation
}

/**
 * The first source offset of a lane that is about to be born; a lane that was born never asks again. What did not exist when the
 * link was created is copied from its beginning whatever `start` says: nobody could have known those records.
 *
 * @throws TwinlogError TWINLOG_INVALID_OPTION when the offset asked for is not in the log; TWINLOG_TOPIC_RECREATED
 */
export async function firstOffset(o: Question & { start: StartOption; existedAtCreation: boolean }): Promise<bigint> {
  const offset = await chosenOffset(o)
  await assertSameLog(o)
  return offset
}

async function chosenOffset(o: Question & { start: StartOption; existedAtCreation: boolean }): Promise<bigint> {
  const { start, lane } = o
  if (start === 'earliest' || !o.existedAtCreation) return offsetAt(o, EARLIEST_TIMESTAMP)
  // With read_committed the last stable offset: records of transactions that are still open come after the start.
  if (start === 'latest') return offsetAt(o, LATEST_TIMESTAMP)
  if ('timestamp' in start) {
    // The end is asked first: a record that arrives between the two questions must not fall between two stools.
    const end = await offsetAt(o, LATEST_TIMESTAMP)
    const found = await offsetAt(o, BigInt(start.timestamp))
    return found < 0n ? end : found
  }
  const topics = new Map(Object.entries(start.offsets))
  const wanted = topics.get(lane.topic)?.[lane.partition]
  if (wanted === undefined) return offsetAt(o, EARLIEST_TIMESTAMP)
  const [first, end] = await Promise.all([
    offsetAt(o, EARLIEST_TIMESTAMP),
    // To begin behind records of an open transaction is a choice that can be made.
    offsetAt({ ...o, isolation: 'read_uncommitted' }, LATEST_TIMESTAMP)
  ])
  if (wanted >= first && wanted <= end) return wanted
  throw new TwinlogError(
    'TWINLOG_INVALID_OPTION',
    `mirror.start.offsets: ${lane.topic}-${lane.partition} cannot begin at offset ${wanted}: the log on ${o.source.alias} reaches from ${first} to ${end}`,
    { cluster: o.source.alias, topic: lane.topic, partition: lane.partition, offset: wanted }
  )
}

/** −1 when no record is as young as the time asked for. */
async function offsetAt({ source, lane, isolation }: Question, timestamp: bigint): Promise<bigint> {
  const { topic, partition } = lane
  const where = { cluster: source.alias, topic, partition }
  const leader = source.leaderOf(topic, partition)
  if (!leader || leader.nodeId < 0) throw kafkaError(5, `source partition ${topic}-${partition} has no leader`, where)
  const topics = [{ topic, partitions: [{ partition, timestamp }] }]
  const answer = await source.send({ node: leader.nodeId }, listOffsetsRequest({ isolation, topics }))
  const result = answer.partitions[0]
  if (result?.errorCode === 0) return result.offset
  throw kafkaError(result?.errorCode ?? -1, `cannot ask where source partition ${topic}-${partition} begins`, where)
}

/** Offsets are asked by name. Asked afterwards, the id tells whose they were: an id that is gone never comes back. */
async function assertSameLog({ source, lane }: Question): Promise<void> {
  const { topics } = await source.metadata({ topics: [lane.topic] })
  const now = topics.get(lane.topic)
  const where = { cluster: source.alias, topic: lane.topic, partition: lane.partition }
  if (now?.errorCode === 0 && now.topicId === lane.topicId) return
  if (now?.errorCode !== 0)
    throw kafkaError(now?.errorCode ?? 3, `cannot see topic ${lane.topic} on ${source.alias}`, where)
  throw new TwinlogError(
    'TWINLOG_TOPIC_RECREATED',
    `source topic ${lane.topic} was deleted and created again while its lane was about to begin (id ${lane.topicId}, now ${now.topicId})`,
    where
  )
}
