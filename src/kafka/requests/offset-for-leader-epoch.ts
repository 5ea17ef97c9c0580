import type { ApiRequest } from '../types.js'

/*
OffsetForLeaderEpochRequest (4, flexible) => replica_id INT32, [topics]
  topics => topic COMPACT_STRING, [partitions]
    partitions => partition INT32, current_leader_epoch INT32, leader_epoch INT32
OffsetForLeaderEpochResponse => throttle_time_ms INT32, [topics]
  topics => topic COMPACT_STRING, [partitions]
    partitions => error_code INT16, partition INT32, leader_epoch INT32, end_offset INT64
*/

export interface OffsetForLeaderEpochParams {
  topics: { topic: string; partitions: { partition: number; currentLeaderEpoch: number; leaderEpoch: number }[] }[]
}

export interface OffsetForLeaderEpochResponse {
  partitions: {
    topic: string
    partition: number
    errorCode: number
    /** The largest epoch of the log that is not above the one asked for; −1 if there is none. */
    leaderEpoch: number
    endOffset: bigint
  }[]
}

export function offsetForLeaderEpochRequest(
  params: OffsetForLeaderEpochParams
): ApiRequest<OffsetForLeaderEpochResponse> {
  return {
    apiKey: 23,
    apiName: 'OffsetForLeaderEpoch',
    minVersion: 4,
    maxVersion: 4,
    flexibleFrom: 4,
    encode(writer) {
      writer.int32(-1)
      writer.compactArray(params.topics, ({ topic, partitions }) => {
        writer.compactString(topic)
        writer.compactArray(partitions, ({ partition, currentLeaderEpoch, leaderEpoch }) => {
          writer.int32(partition).int32(currentLeaderEpoch).int32(leaderEpoch).tags()
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
          const errorCode = reader.int16()
          const partition = reader.int32()
          const result = { topic, partition, errorCode, leaderEpoch: reader.int32(), endOffset: reader.int64() }
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
