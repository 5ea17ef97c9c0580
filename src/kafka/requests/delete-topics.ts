import type { ApiRequest } from '../types.js'
import { NO_TOPIC_ID } from './topic-ref.js'

/*
DeleteTopicsRequest (6, flexible) => [topics], timeout_ms INT32
  topics => name COMPACT_STRING?, topic_id UUID
DeleteTopicsResponse => throttle_time_ms INT32, [responses]
  responses => name COMPACT_STRING?, topic_id UUID, error_code INT16, error_message COMPACT_STRING?
*/

export interface DeleteTopicsResponse {
  topics: { name: string; errorCode: number; errorMessage: string | null }[]
}

export function deleteTopicsRequest(params: { timeoutMs: number; topics: string[] }): ApiRequest<DeleteTopicsResponse> {
  return {
    apiKey: 20,
    apiName: 'DeleteTopics',
    minVersion: 6,
    maxVersion: 6,
    flexibleFrom: 4,
    encode(writer) {
      writer.compactArray(params.topics, name => {
        writer.compactString(name).uuid(NO_TOPIC_ID).tags()
      })
      writer.int32(params.timeoutMs).tags()
    },
    decode(reader) {
      reader.throttle()
      const topics = reader.compactArray(() => {
        const name = reader.compactNullableString() ?? ''
        reader.uuid()
        const result = { name, errorCode: reader.int16(), errorMessage: reader.compactNullableString() }
        reader.tags()
        return result
      })
      reader.tags()
      return { topics }
    }
  }
}
