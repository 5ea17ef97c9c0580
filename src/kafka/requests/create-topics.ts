import type { ApiRequest } from '../types.js'

/*
CreateTopicsRequest (7, flexible) => [topics], timeout_ms INT32, validate_only BOOLEAN
  topics => name COMPACT_STRING, num_partitions INT32, replication_factor INT16, [assignments], [configs]
    configs => name COMPACT_STRING, value COMPACT_STRING?
CreateTopicsResponse => throttle_time_ms INT32, [topics]
  topics => name COMPACT_STRING, topic_id UUID, error_code INT16, error_message COMPACT_STRING?, num_partitions INT32,
    replication_factor INT16, [configs]?; tag 0: topic_config_error_code INT16
    configs => name COMPACT_STRING, value COMPACT_STRING?, read_only BOOLEAN, config_source INT8, is_sensitive BOOLEAN
*/

export interface CreateTopicsParams {
  timeoutMs: number
  validateOnly?: boolean | undefined
  topics: {
    name: string
    /** −1: the broker's default. */
    partitions: number
    /** −1: the broker's default. */
    replicationFactor: number
    configs: Record<string, string>
  }[]
}

export interface CreateTopicsResponse {
  topics: { name: string; topicId: string; errorCode: number; errorMessage: string | null }[]
}

export function createTopicsRequest(params: CreateTopicsParams): ApiRequest<CreateTopicsResponse> {
  return {
    apiKey: 19,
    apiName: 'CreateTopics',
    minVersion: 7,
    maxVersion: 7,
    flexibleFrom: 5,
    encode(writer) {
      writer.compactArray(params.topics, topic => {
        writer.compactString(topic.name).int32(topic.partitions).int16(topic.replicationFactor)
        writer.compactArray([], () => undefined)
        writer.compactArray(Object.entries(topic.configs), ([name, value]) => {
          writer.compactString(name).compactString(value).tags()
        })
        writer.tags()
      })
      writer
        .int32(params.timeoutMs)
        .boolean(params.validateOnly ?? false)
        .tags()
    },
    decode(reader) {
      reader.throttle()
      const topics = reader.compactArray(() => {
        const result = {
          name: reader.compactString(),
          topicId: reader.uuid(),
          errorCode: reader.int16(),
          errorMessage: reader.compactNullableString()
        }
        reader.int32()
        reader.int16()
        reader.compactArray(() => {
          reader.compactString()
          reader.compactNullableString()
          reader.boolean()
          reader.int8()
          reader.boolean()
          reader.tags()
        })
        reader.tags()
        return result
      })
      reader.tags()
      return { topics }
    }
  }
}
