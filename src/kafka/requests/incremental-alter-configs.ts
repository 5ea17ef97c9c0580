import type { ApiRequest } from '../types.js'
import { CONFIG_RESOURCE_CODES, type ConfigResourceType } from './config-resource.js'

/*
IncrementalAlterConfigsRequest (1, flexible) => [resources], validate_only BOOLEAN
  resources => resource_type INT8, resource_name COMPACT_STRING, [configs]
    configs => name COMPACT_STRING, config_operation INT8, value COMPACT_STRING?
IncrementalAlterConfigsResponse => throttle_time_ms INT32, [responses]
  responses => error_code INT16, error_message COMPACT_STRING?, resource_type INT8, resource_name COMPACT_STRING
*/

const OPERATIONS = { set: 0, delete: 1, append: 2, subtract: 3 } as const

export interface IncrementalAlterConfigsParams {
  /** A broker resource with the name '' is the default of all brokers. */
  resources: {
    type: ConfigResourceType
    name: string
    ops: { name: string; op: keyof typeof OPERATIONS; value: string | null }[]
  }[]
  validateOnly?: boolean | undefined
}

export interface IncrementalAlterConfigsResponse {
  resources: { name: string; errorCode: number; errorMessage: string | null }[]
}

export function incrementalAlterConfigsRequest(
  params: IncrementalAlterConfigsParams
): ApiRequest<IncrementalAlterConfigsResponse> {
  return {
    apiKey: 44,
    apiName: 'IncrementalAlterConfigs',
    minVersion: 1,
    maxVersion: 1,
    flexibleFrom: 1,
    encode(writer) {
      writer.compactArray(params.resources, ({ type, name, ops }) => {
        writer.int8(CONFIG_RESOURCE_CODES[type]).compactString(name)
        writer.compactArray(ops, op => {
          writer.compactString(op.name).int8(OPERATIONS[op.op]).compactString(op.value).tags()
        })
        writer.tags()
      })
      writer.boolean(params.validateOnly ?? false).tags()
    },
    decode(reader) {
      reader.throttle()
      const resources = reader.compactArray(() => {
        const errorCode = reader.int16()
        const errorMessage = reader.compactNullableString()
        reader.int8()
        const name = reader.compactString()
        reader.tags()
        return { name, errorCode, errorMessage }
      })
      reader.tags()
      return { resources }
    }
  }
}
