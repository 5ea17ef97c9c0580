import { TwinlogError } from '../../errors.js'
import type { ApiRequest } from '../types.js'

/*
OffsetFetchRequest (8, flexible) => [groups], require_stable BOOLEAN
  groups => group_id COMPACT_STRING, [topics]?
    topics => name COMPACT_STRING, [partition_indexes] INT32
OffsetFetchResponse => throttle_time_ms INT32, [groups]
  groups => group_id COMPACT_STRING, [topics], error_code INT16
    topics => name COMPACT_STRING, [partitions]
      partitions => partition_index INT32, committed_offset INT64, committed_leader_epoch INT32, metadata COMPACT_STRING?, error_code INT16
*/

export interface OffsetFetchParams {
  groupId: string
  /** Absent: everything that the group has committed. */
  topics?: { topic: string; partitions: number[] }[] | undefined
  /** True: fail with UNSTABLE_OFFSET_COMMIT (88) while a transaction holds offsets of the partition. */
  requireStable?: boolean | undefined
}

export interface OffsetFetchResponse {
  errorCode: number
  partitions: {
    topic: string
    partition: number
    /** −1: nothing committed. */
    offset: bigint
    leaderEpoch: number
    metadata: string | null
    errorCode: number
  }[]
}

export function offsetFetchRequest(params: OffsetFetchParams): ApiRequest<OffsetFetchResponse> {
  return {
    apiKey: 9,
    apiName: 'OffsetFetch',
    minVersion: 8,
    maxVersion: 8,
    flexibleFrom: 6,
    encode(writer) {
      writer.compactArray([params], group => {
        writer.compactString(group.groupId)
        writer.compactArray(group.topics ?? null, ({ topic, partitions }) => {
          writer.compactString(topic)
          writer.compactArray(partitions, partition => writer.int32(partition))
          writer.tags()
        })
        writer.tags()
      })
      writer.boolean(params.requireStable ?? false).tags()
    },
    decode(reader) {
      reader.throttle()
      const groups = reader.compactArray(() => {
        reader.compactString()
        const partitions = reader.compactArray(() => {
          const topic = reader.compactString()
          const list = reader.compactArray(() => {
            const result = {
              topic,
              partition: reader.int32(),
              offset: reader.int64(),
              leaderEpoch: reader.int32(),
              metadata: reader.compactNullableString(),
              errorCode: reader.int16()
            }
            reader.tags()
            return result
          })
          reader.tags()
          return list
        })
        const errorCode = reader.int16()
        reader.tags()
        return { errorCode, partitions: partitions.flat() }
      })
      reader.tags()
      const group = groups[0]
      if (group === undefined)
        throw new TwinlogError('TWINLOG_PROTOCOL', 'malformed response: OffsetFetch names no group')
      return group
    }
  }
}
