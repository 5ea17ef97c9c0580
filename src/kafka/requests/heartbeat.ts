import type { ApiRequest } from '../types.js'

/*
HeartbeatRequest (4, flexible) => group_id COMPACT_STRING, generation_id INT32, member_id COMPACT_STRING, group_instance_id COMPACT_STRING?
HeartbeatResponse => throttle_time_ms INT32, error_code INT16
*/

export interface HeartbeatParams {
  groupId: string
  generationId: number
  memberId: string
}

export interface HeartbeatResponse {
  errorCode: number
}

export function heartbeatRequest(params: HeartbeatParams): ApiRequest<HeartbeatResponse> {
  return {
    apiKey: 12,
    apiName: 'Heartbeat',
    minVersion: 4,
    maxVersion: 4,
    flexibleFrom: 4,
    encode(writer) {
      writer.compactString(params.groupId).int32(params.generationId).compactString(params.memberId).compactString(null)
      writer.tags()
    },
    decode(reader) {
      reader.throttle()
      const errorCode = reader.int16()
      reader.tags()
      return { errorCode }
    }
  }
}
