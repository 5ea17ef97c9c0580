import type { Reader } from '../protocol/reader.js'
import type { ApiRequest } from '../types.js'
import { isTopicId, type TopicRef, TopicRefs } from './topic-ref.js'

/*
FetchRequest (12–13, flexible) => replica_id INT32, max_wait_ms INT32, min_bytes INT32, max_bytes INT32, isolation_level INT8,
  session_id INT32, session_epoch INT32, [topics], [forgotten_topics_data], rack_id COMPACT_STRING
  topics => topic COMPACT_STRING (12) | topic_id UUID (13), [partitions]
    partitions => partition INT32, current_leader_epoch INT32, fetch_offset INT64, last_fetched_epoch INT32,
      log_start_offset INT64, partition_max_bytes INT32
FetchResponse => throttle_time_ms INT32, error_code INT16, session_id INT32, [responses]
  responses => topic COMPACT_STRING (12) | topic_id UUID (13), [partitions]
    partitions => partition_index INT32, error_code INT16, high_watermark INT64, last_stable_offset INT64,
      log_start_offset INT64, [aborted_transactions]?, preferred_read_replica INT32, records COMPACT_RECORDS?
      tag 0: diverging_epoch { epoch INT32, end_offset INT64 }; tag 1: current_leader { leader_id INT32, leader_epoch INT32 }
      aborted_transactions => producer_id INT64, first_offset INT64
  forgotten_topics_data => topic COMPACT_STRING (12) | topic_id UUID (13), partitions [INT32]
Sessions (KIP-227): session_id 0 with session_epoch 0 asks for one, session_epoch −1 for none; with an epoch above 0 the request
holds only what has changed since the one before, and the answer only what is new. By topic id all along, or by name all along.
*/

export interface FetchPartition {
  partition: number
  fetchOffset: bigint
  /** −1 (default): do not check. */
  currentLeaderEpoch?: number | undefined
  /** Epoch of the last record fetched; the broker then reports a divergence instead of data. −1 (default): no check. */
  lastFetchedEpoch?: number | undefined
  maxBytes: number
}

/** Finds the other half of what an answer says about a topic. */
export interface TopicLookup {
  byId(topicId: string): TopicRef
  byName(topic: string): TopicRef
}

export interface FetchSessionParams {
  /** 0: there is none yet. With epoch 0 the broker closes the session of this id and opens another one. */
  id: number
  epoch: number
  forgotten: (TopicRef & { partitions: number[] })[]
  /** The answer is about all topics of the session, not only about those of this request. */
  lookup: TopicLookup
}

export interface FetchParams {
  maxWaitMs: number
  minBytes: number
  maxBytes: number
  isolation: 'read_committed' | 'read_uncommitted'
  rackId?: string | undefined
  /** Without one the request stands alone and names everything it asks for. */
  session?: FetchSessionParams | undefined
  /** By topic id where the broker can (13) and every id is known, else by name. */
  topics: (TopicRef & { partitions: FetchPartition[] })[]
}

/** Leader as the answering broker knows it; sent along with errors such as NOT_LEADER_OR_FOLLOWER. */
export interface CurrentLeader {
  nodeId: number
  leaderEpoch: number
}

export interface FetchedPartition {
  topic: string
  topicId: string
  partition: number
  errorCode: number
  highWatermark: bigint
  lastStableOffset: bigint
  logStartOffset: bigint
  /** As the broker sends them: not sorted. */
  abortedTransactions: { producerId: bigint; firstOffset: bigint }[]
  divergingEpoch?: { epoch: number; endOffset: bigint }
  currentLeader?: CurrentLeader
  /** −1, or the follower that the broker recommends for `rackId`. */
  preferredReadReplica: number
  /** View of the response buffer; keeps the whole response alive as long as it is referenced. */
  records: Buffer
}

export interface FetchResponse {
  /** Of the request as a whole: sessions that the broker does not know, and the like. */
  errorCode: number
  /** 0: the broker keeps no session for us. */
  sessionId: number
  throttleMs: number
  partitions: FetchedPartition[]
}

const BY_TOPIC_ID = 13

export function fetchRequest(params: FetchParams): ApiRequest<FetchResponse> {
  const { session } = params
  const forgotten = session?.forgotten ?? []
  const byId = [...params.topics, ...forgotten].every(topic => isTopicId(topic.topicId))
  return {
    apiKey: 1,
    apiName: 'Fetch',
    minVersion: 12,
    maxVersion: byId ? BY_TOPIC_ID : 12,
    flexibleFrom: 12,
    encode(writer, version) {
      writer.int32(-1).int32(params.maxWaitMs).int32(params.minBytes).int32(params.maxBytes)
      writer
        .int8(params.isolation === 'read_committed' ? 1 : 0)
        .int32(session?.id ?? 0)
        .int32(session?.epoch ?? -1)
      writer.compactArray(params.topics, topic => {
        if (version >= BY_TOPIC_ID) writer.uuid(topic.topicId)
        else writer.compactString(topic.topic)
        writer.compactArray(topic.partitions, partition => {
          writer
            .int32(partition.partition)
            .int32(partition.currentLeaderEpoch ?? -1)
            .int64(partition.fetchOffset)
          writer
            .int32(partition.lastFetchedEpoch ?? -1)
            .int64(-1n)
            .int32(partition.maxBytes)
            .tags()
        })
        writer.tags()
      })
      writer.compactArray(forgotten, topic => {
        if (version >= BY_TOPIC_ID) writer.uuid(topic.topicId)
        else writer.compactString(topic.topic)
        writer.compactArray(topic.partitions, partition => writer.int32(partition)).tags()
      })
      writer.compactString(params.rackId ?? '').tags()
    },
    decode(reader, version) {
      const throttleMs = reader.throttle()
      const errorCode = reader.int16()
      const sessionId = reader.int32()
      const refs = session?.lookup ?? new TopicRefs(params.topics)
      const partitions: FetchedPartition[] = []
      reader.compactArray(() => {
        const ref = version >= BY_TOPIC_ID ? refs.byId(reader.uuid()) : refs.byName(reader.compactString())
        reader.compactArray(() => {
          partitions.push(readPartition(reader, ref))
        })
        reader.tags()
      })
      reader.tags()
      return { errorCode, sessionId, throttleMs, partitions }
    }
  }
}

function readPartition(reader: Reader, { topic, topicId }: TopicRef): FetchedPartition {
  const result: FetchedPartition = {
    topic,
    topicId,
    partition: reader.int32(),
    errorCode: reader.int16(),
    highWatermark: reader.int64(),
    lastStableOffset: reader.int64(),
    logStartOffset: reader.int64(),
    abortedTransactions: reader.compactArray(() => {
      const aborted = { producerId: reader.int64(), firstOffset: reader.int64() }
      reader.tags()
      return aborted
    }),
    preferredReadReplica: reader.int32(),
    records: reader.compactBytes()
  }
  reader.tags((tag, content) => {
    if (tag === 0) result.divergingEpoch = { epoch: content.int32(), endOffset: content.int64() }
    else if (tag === 1) result.currentLeader = { nodeId: content.int32(), leaderEpoch: content.int32() }
  })
  return result
}
