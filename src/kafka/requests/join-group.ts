import type { ApiRequest } from '../types.js'

/*
JoinGroupRequest (7–9, flexible) => group_id COMPACT_STRING, session_timeout_ms INT32, rebalance_timeout_ms INT32, member_id COMPACT_STRING,
  group_instance_id COMPACT_STRING?, protocol_type COMPACT_STRING, [protocols], reason COMPACT_STRING? (8+)
  protocols => name COMPACT_STRING, metadata COMPACT_BYTES
JoinGroupResponse => throttle_time_ms INT32, error_code INT16, generation_id INT32, protocol_type COMPACT_STRING?, protocol_name COMPACT_STRING?,
  leader COMPACT_STRING, skip_assignment BOOLEAN (9+), member_id COMPACT_STRING, [members]
  members => member_id COMPACT_STRING, group_instance_id COMPACT_STRING?, metadata COMPACT_BYTES
The broker answers when every member has joined or their rebalance time-out is over. Only the leader is told the members. A first
request without a member id is answered with one and MEMBER_ID_REQUIRED (79).
*/

export interface JoinGroupParams {
  groupId: string
  sessionTimeoutMs: number
  rebalanceTimeoutMs: number
  /** Empty: a new member. */
  memberId: string
  protocolType: string
  protocols: { name: string; metadata: Buffer }[]
  /** For the broker's log. */
  reason: string
}

export interface JoinGroupResponse {
  errorCode: number
  generationId: number
  protocolName: string | null
  leader: string
  memberId: string
  /** Empty unless this member is the leader. Views of the response. */
  members: { memberId: string; metadata: Buffer }[]
}

export function joinGroupRequest(params: JoinGroupParams): ApiRequest<JoinGroupResponse> {
  return {
    apiKey: 11,
    apiName: 'JoinGroup',
    minVersion: 7,
    maxVersion: 9,
    flexibleFrom: 6,
    encode(writer, version) {
      writer.compactString(params.groupId).int32(params.sessionTimeoutMs).int32(params.rebalanceTimeoutMs)
      writer.compactString(params.memberId).compactString(null).compactString(params.protocolType)
      writer.compactArray(params.protocols, ({ name, metadata }) => {
        writer.compactString(name).compactBytes(metadata).tags()
      })
      if (version >= 8) writer.compactString(params.reason)
      writer.tags()
    },
    decode(reader, version) {
      reader.throttle()
      const errorCode = reader.int16()
      const generationId = reader.int32()
      reader.compactNullableString()
      const protocolName = reader.compactNullableString()
      const leader = reader.compactString()
      if (version >= 9) reader.boolean()
      const memberId = reader.compactString()
      const members = reader.compactArray(() => {
        const id = reader.compactString()
        reader.compactNullableString()
        const metadata = reader.compactBytes()
        reader.tags()
        return { memberId: id, metadata }
      })
      reader.tags()
      return { errorCode, generationId, protocolName, leader, memberId, members }
    }
  }
}
