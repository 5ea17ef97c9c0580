import type { ApiRequest } from '../types.js'

/*
ListOffsetsRequest (7–8, flexible) => replica_id INT32, isolation_level INT8, [topics]
  topics => name COMPACT_STRING, [partitions]
    partitions => partition_index INT32, current_leader_epoch INT32, timestamp INT64
ListOffsetsResponse => throttle_time_ms INT32, [topics]
  topics => name COMPACT_STRING, [partitions]
    partitions => partition_index INT32, error_code INT16, timestamp INT64, offset INT64, leader_epoch INT32
*/

export const LATEST_TIMESTAMP = -1n
export const EARLIEST_TIMESTAMP = -2n
export const MAX_TIMESTAMP = -3n

export interface ListOffsetsParams {
  /** With `read_committed` the latest offset is the last stable offset. */
  isolation: 'read_committed' | 'read_uncommitted'
  /** The latest offset is the leader's log end, which can be above the high watermark (as Kafka's own tools ask: replica id −2). */
  logEnd?: boolean | undefined
  topics: {
    topic: string
    partitions: { partition: number; timestamp: bigint; currentLeaderEpoch?: number | undefined }[]
  }[]
}

export interface ListOffsetsResponse {
  partitions: {
    topic: string
    partition: number
    errorCode: number
    timestamp: bigint
    /** −1 when no record has the time stamp asked for. */
    offset: bigint
    leaderEpoch: number
  }[]
}

export function listOffsetsRequest(params: ListOffsetsParams): ApiRequest<ListOffsetsResponse> {
  return {
    apiKey: 2,
    apiName: 'ListOffsets',
    minVersion: 7,
    maxVersion: 8,
    flexibleFrom: 6,
    encode(writer) {
      writer.int32(params.logEnd ? -2 : -1).int8(params.isolation === 'read_committed' ? 1 : 0)
      writer.compactArray(params.topics, topic => {
        writer.compactString(topic.topic)
        writer.compactArray(topic.partitions, partition => {
          writer
            .int32(partition.partition)
            .int32(partition.currentLeaderEpoch ?? -1)
            .int64(partition.timestamp)
            .tags()
        })
        writer.tags()
      })
      writer.tags()
    },
    decode(reader) {
      reader.throttle()
      const partitions = reader.compactArray(() => {
        const topic = reader.compactString()
        const list = reader.compactArray(() => {
          const result = {
            topic,
            partition: reader.int32(),
            errorCode: reader.int16(),
            timestamp: reader.int64(),
            offset: reader.int64(),
            leaderEpoch: reader.int32()
          }
          reader.tags()
          return result
        })
        reader.tags()
        return list
      })
      reader.tags()
      return { partitions: partitions.flat() }
    }
  }
}
