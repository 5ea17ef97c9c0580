import type { ApiRequest } from '../types.js'

/*
CreatePartitionsRequest (2–3, flexible) => [topics], timeout_ms INT32, validate_only BOOLEAN
  topics => name COMPACT_STRING, count INT32, [assignments]?
CreatePartitionsResponse => throttle_time_ms INT32, [results]
  results => name COMPACT_STRING, error_code INT16, error_message COMPACT_STRING?
*/

export interface CreatePartitionsParams {
  timeoutMs: number
  /** `count` is the new total, not the number of partitions to add. */
  topics: { name: string; count: number }[]
}

export interface CreatePartitionsResponse {
  topics: { name: string; errorCode: number; errorMessage: string | null }[]
}

export function createPartitionsRequest(params: CreatePartitionsParams): ApiRequest<CreatePartitionsResponse> {
  return {
    apiKey: 37,
    apiName: 'CreatePartitions',
    minVersion: 2,
    maxVersion: 3,
    flexibleFrom: 2,
    encode(writer) {
      writer.compactArray(params.topics, ({ name, count }) => {
        writer.compactString(name).int32(count)
        writer.compactArray(null, () => undefined)
        writer.tags()
      })
      writer.int32(params.timeoutMs).boolean(false).tags()
    },
    decode(reader) {
      reader.throttle()
      const topics = reader.compactArray(() => {
        const result = {
          name: reader.compactString(),
          errorCode: reader.int16(),
          errorMessage: reader.compactNullableString()
        }
        reader.tags()
        return result
      })
      reader.tags()
      return { topics }
    }
  }
}
