import type { ApiRequest } from '../types.js'

/*
OffsetCommitRequest (8, flexible) => group_id COMPACT_STRING, generation_id INT32, member_id COMPACT_STRING,
  group_instance_id COMPACT_STRING?, [topics]
  topics => name COMPACT_STRING, [partitions]
    partitions => partition_index INT32, committed_offset INT64, committed_leader_epoch INT32, committed_metadata COMPACT_STRING?
OffsetCommitResponse => throttle_time_ms INT32, [topics]
  topics => name COMPACT_STRING, [partitions]
    partitions => partition_index INT32, error_code INT16
Generation −1 with an empty member id commits from outside the group: accepted only while the group is empty (else 25).
The broker does not check that the offset exists.
*/

export interface OffsetCommitParams {
  groupId: string
  generationId: number
  memberId: string
  topics: {
    topic: string
    partitions: { partition: number; offset: bigint; leaderEpoch: number; metadata: string | null }[]
  }[]
}

export interface OffsetCommitResponse {
  partitions: { topic: string; partition: number; errorCode: number }[]
}

export function offsetCommitRequest(params: OffsetCommitParams): ApiRequest<OffsetCommitResponse> {
  return {
    apiKey: 8,
    apiName: 'OffsetCommit',
    minVersion: 8,
    maxVersion: 8,
    flexibleFrom: 8,
    encode(writer) {
      writer.compactString(params.groupId).int32(params.generationId).compactString(params.memberId).compactString(null)
      writer.compactArray(params.topics, ({ topic, partitions }) => {
        writer.compactString(topic)
        writer.compactArray(partitions, ({ partition, offset, leaderEpoch, metadata }) => {
          writer.int32(partition).int64(offset).int32(leaderEpoch).compactString(metadata).tags()
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
          const result = { topic, partition: reader.int32(), errorCode: reader.int16() }
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
