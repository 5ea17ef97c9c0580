import type { Reader } from '../protocol/reader.js'
import type { ApiRequest } from '../types.js'
import type { CurrentLeader } from './fetch.js'
import { isTopicId, type TopicRef, TopicRefs } from './topic-ref.js'

/*
ProduceRequest (9–13, flexible) => transactional_id COMPACT_STRING?, acks INT16, timeout_ms INT32, [topic_data]
  topic_data => name COMPACT_STRING (9–12) | topic_id UUID (13), [partition_data]
    partition_data => index INT32, records COMPACT_RECORDS?
ProduceResponse => [responses], throttle_time_ms INT32
  responses => name COMPACT_STRING (9–12) | topic_id UUID (13), [partition_responses]
    partition_responses => index INT32, error_code INT16, base_offset INT64, log_append_time_ms INT64, log_start_offset INT64,
      [record_errors], error_message COMPACT_STRING?; tag 0 (10+): current_leader { leader_id INT32, leader_epoch INT32 }
      record_errors => batch_index INT32, batch_index_error_message COMPACT_STRING?
Version 12 and above of a transactional produce would add the partition to the transaction by itself and let the broker bump
epochs: transactional requests stay at 11.
*/

export interface ProduceParams {
  acks: -1 | 0 | 1
  timeoutMs: number
  transactionalId?: string | undefined
  topics: (TopicRef & { partitions: { partition: number; records: Buffer }[] })[]
  /** False: by name even where the broker could take topic ids. Default: by id where the broker can and all ids are known. */
  byTopicId?: boolean | undefined
}

export interface ProducedPartition {
  topic: string
  topicId: string
  partition: number
  errorCode: number
  baseOffset: bigint
  /** −1 for a fresh append on a CreateTime topic; a repetition answers with the batch's time stamp. */
  logAppendTimeMs: bigint
  logStartOffset: bigint
  errorMessage: string | null
  /** Places in the batch of records that the broker names as the reason. */
  badRecords: number[]
  currentLeader?: CurrentLeader
}

export interface ProduceResponse {
  throttleMs: number
  partitions: ProducedPartition[]
}

const BY_TOPIC_ID = 13

export function produceRequest(params: ProduceParams): ApiRequest<ProduceResponse> {
  const byId = params.byTopicId !== false && params.topics.every(topic => isTopicId(topic.topicId))
  return {
    apiKey: 0,
    apiName: 'Produce',
    minVersion: 9,
    maxVersion: params.transactionalId !== undefined ? 11 : byId ? BY_TOPIC_ID : 12,
    flexibleFrom: 9,
    expectResponse: params.acks !== 0,
    encode(writer, version) {
      writer
        .compactString(params.transactionalId ?? null)
        .int16(params.acks)
        .int32(params.timeoutMs)
      writer.compactArray(params.topics, topic => {
        if (version >= BY_TOPIC_ID) writer.uuid(topic.topicId)
        else writer.compactString(topic.topic)
        writer.compactArray(topic.partitions, partition => {
          writer.int32(partition.partition).compactBytes(partition.records).tags()
        })
        writer.tags()
      })
      writer.tags()
    },
    decode(reader, version) {
      const refs = new TopicRefs(params.topics)
      const partitions: ProducedPartition[] = []
      reader.compactArray(() => {
        const ref = version >= BY_TOPIC_ID ? refs.byId(reader.uuid()) : refs.byName(reader.compactString())
        reader.compactArray(() => {
          partitions.push(readPartition(reader, ref))
        })
        reader.tags()
      })
      const throttleMs = reader.throttle()
      reader.tags()
      return { throttleMs, partitions }
    }
  }
}

function readPartition(reader: Reader, { topic, topicId }: TopicRef): ProducedPartition {
  const partition = reader.int32()
  const errorCode = reader.int16()
  const baseOffset = reader.int64()
  const logAppendTimeMs = reader.int64()
  const logStartOffset = reader.int64()
  const badRecords: number[] = []
  const recordErrors = reader.compactArray(() => {
    badRecords.push(reader.int32())
    const message = reader.compactNullableString()
    reader.tags()
    return message
  })
  // The batch's own message often says less than the first record's ("One or more records have been rejected").
  const messages = [reader.compactNullableString(), recordErrors[0] ?? null].filter(text => text !== null)
  const errorMessage = messages.length === 0 ? null : messages.join('; ')
  const result: ProducedPartition = {
    topic,
    topicId,
    partition,
    errorCode,
    baseOffset,
    logAppendTimeMs,
    logStartOffset,
    errorMessage,
    badRecords
  }
  reader.tags((tag, content) => {
    if (tag === 0) result.currentLeader = { nodeId: content.int32(), leaderEpoch: content.int32() }
  })
  return result
}
