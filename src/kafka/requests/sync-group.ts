import type { ApiRequest } from '../types.js'

/*
SyncGroupRequest (5, flexible) => group_id COMPACT_STRING, generation_id INT32, member_id COMPACT_STRING, group_instance_id COMPACT_STRING?,
  protocol_type COMPACT_STRING?, protocol_name COMPACT_STRING?, [assignments]
  assignments => member_id COMPACT_STRING, assignment COMPACT_BYTES
SyncGroupResponse => throttle_time_ms INT32, error_code INT16, protocol_type COMPACT_STRING?, protocol_name COMPACT_STRING?,
  assignment COMPACT_BYTES
The broker answers everybody when the leader's request is there; only the leader sends assignments.
*/

export interface SyncGroupParams {
  groupId: string
  generationId: number
  memberId: string
  protocolType: string
  protocolName: string
  assignments: { memberId: string; assignment: Buffer }[]
}

export interface SyncGroupResponse {
  errorCode: number
  /** A view of the response; empty when the leader assigned nothing. */
  assignment: Buffer
}

export function syncGroupRequest(params: SyncGroupParams): ApiRequest<SyncGroupResponse> {
  return {
    apiKey: 14,
    apiName: 'SyncGroup',
    minVersion: 5,
    maxVersion: 5,
    flexibleFrom: 4,
    encode(writer) {
      writer.compactString(params.groupId).int32(params.generationId).compactString(params.memberId).compactString(null)
      writer.compactString(params.protocolType).compactString(params.protocolName)
      writer.compactArray(params.assignments, ({ memberId, assignment }) => {
        writer.compactString(memberId).compactBytes(assignment).tags()
      })
      writer.tags()
    },
    decode(reader) {
      reader.throttle()
      const errorCode = reader.int16()
      reader.compactNullableString()
      reader.compactNullableString()
      const assignment = reader.compactBytes()
      reader.tags()
      return { errorCode, assignment }
    }
  }
}
