import { TwinlogError } from '../../errors.js'
import type { ApiRequest } from '../types.js'

/*
FindCoordinatorRequest (4, flexible) => key_type INT8, [coordinator_keys] COMPACT_STRING
FindCoordinatorResponse => throttle_time_ms INT32, [coordinators]
  coordinators => key COMPACT_STRING, node_id INT32, host COMPACT_STRING, port INT32, error_code INT16, error_message COMPACT_STRING?
*/

export interface FindCoordinatorResponse {
  errorCode: number
  errorMessage: string | null
  nodeId: number
  host: string
  port: number
}

export function findCoordinatorRequest(params: {
  type: 'group' | 'transaction'
  key: string
}): ApiRequest<FindCoordinatorResponse> {
  return {
    apiKey: 10,
    apiName: 'FindCoordinator',
    minVersion: 4,
    maxVersion: 4,
    flexibleFrom: 3,
    encode(writer) {
      writer.int8(params.type === 'transaction' ? 1 : 0)
      writer.compactArray([params.key], key => writer.compactString(key)).tags()
    },
    decode(reader) {
      reader.throttle()
      const coordinators = reader.compactArray(() => {
        reader.compactString()
        const nodeId = reader.int32()
        const host = reader.compactString()
        const port = reader.int32()
        const result = {
          nodeId,
          host,
          port,
          errorCode: reader.int16(),
          errorMessage: reader.compactNullableString()
        }
        reader.tags()
        return result
      })
      reader.tags()
      const coordinator = coordinators[0]
      if (coordinator === undefined) {
        throw new TwinlogError('TWINLOG_PROTOCOL', 'malformed response: FindCoordinator names no coordinator')
      }
      return coordinator
    }
  }
}
