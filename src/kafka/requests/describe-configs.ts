import type { ApiRequest } from '../types.js'
import { CONFIG_RESOURCE_CODES, type ConfigResourceType, configResourceType } from './config-resource.js'

/*
DescribeConfigsRequest (4, flexible) => [resources], include_synonyms BOOLEAN, include_documentation BOOLEAN
  resources => resource_type INT8, resource_name COMPACT_STRING, [configuration_keys]? COMPACT_STRING
DescribeConfigsResponse => throttle_time_ms INT32, [results]
  results => error_code INT16, error_message COMPACT_STRING?, resource_type INT8, resource_name COMPACT_STRING, [configs]
    configs => name COMPACT_STRING, value COMPACT_STRING?, read_only BOOLEAN, config_source INT8, is_sensitive BOOLEAN,
      [synonyms], config_type INT8, documentation COMPACT_STRING?
      synonyms => name COMPACT_STRING, value COMPACT_STRING?, source INT8
A broker's configs must be asked of that broker itself.
*/

export interface DescribeConfigsParams {
  resources: { type: ConfigResourceType; name: string /** Absent: all. */; keys?: string[] | undefined }[]
}

export interface DescribedConfig {
  name: string
  value: string | null
  readOnly: boolean
  /** 1 topic, 2 dynamic broker, 3 dynamic default broker, 4 static broker, 5 default. */
  source: number
  sensitive: boolean
}

export interface DescribeConfigsResponse {
  resources: {
    type: ConfigResourceType
    name: string
    errorCode: number
    errorMessage: string | null
    configs: DescribedConfig[]
  }[]
}

export function describeConfigsRequest(params: DescribeConfigsParams): ApiRequest<DescribeConfigsResponse> {
  return {
    apiKey: 32,
    apiName: 'DescribeConfigs',
    minVersion: 4,
    maxVersion: 4,
    flexibleFrom: 4,
    encode(writer) {
      writer.compactArray(params.resources, ({ type, name, keys }) => {
        writer.int8(CONFIG_RESOURCE_CODES[type]).compactString(name)
        writer.compactArray(keys ?? null, key => writer.compactString(key))
        writer.tags()
      })
      writer.boolean(false).boolean(false).tags()
    },
    decode(reader) {
      reader.throttle()
      const resources = reader.compactArray(() => {
        const errorCode = reader.int16()
        const errorMessage = reader.compactNullableString()
        const type = configResourceType(reader.int8())
        const name = reader.compactString()
        const configs = reader.compactArray((): DescribedConfig => {
          const config = {
            name: reader.compactString(),
            value: reader.compactNullableString(),
            readOnly: reader.boolean(),
            source: reader.int8(),
            sensitive: reader.boolean()
          }
          reader.compactArray(() => {
            reader.compactString()
            reader.compactNullableString()
            reader.int8()
            reader.tags()
          })
          reader.int8()
          reader.compactNullableString()
          reader.tags()
          return config
        })
        reader.tags()
        return { type, name, errorCode, errorMessage, configs }
      })
      reader.tags()
      return { resources }
    }
  }
}
