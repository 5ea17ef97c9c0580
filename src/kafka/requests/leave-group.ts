import type { ApiRequest } from '../types.js'

/*
LeaveGroupRequest (4–5, flexible) => group_id COMPACT_STRING, [members]
  members => member_id COMPACT_STRING, group_instance_id COMPACT_STRING?, reason COMPACT_STRING? (5+)
LeaveGroupResponse => throttle_time_ms INT32, error_code INT16, [members]
  members => member_id COMPACT_STRING, group_instance_id COMPACT_STRING?, error_code INT16
*/

export interface LeaveGroupParams {
  groupId: string
  memberId: string
  /** For the broker's log. */
  reason: string
}

export interface LeaveGroupResponse {
  /** Of the request, or else of its one member. */
  errorCode: number
}

export function leaveGroupRequest(params: LeaveGroupParams): ApiRequest<LeaveGroupResponse> {
  return {
    apiKey: 13,
    apiName: 'LeaveGroup',
    minVersion: 4,
    maxVersion: 5,
    flexibleFrom: 4,
    encode(writer, version) {
      writer.compactString(params.groupId)
      writer.compactArray([params.memberId], memberId => {
        writer.compactString(memberId).compactString(null)
        if (version >= 5) writer.compactString(params.reason)
        writer.tags()
      })
      writer.tags()
    },
    decode(reader) {
      reader.throttle()
      const errorCode = reader.int16()
      const members = reader.compactArray(() => {
        reader.compactString()
        reader.compactNullableString()
        const code = reader.int16()
        reader.tags()
        return code
      })
      reader.tags()
      return { errorCode: errorCode !== 0 ? errorCode : (members[0] ?? 0) }
    }
  }
}
