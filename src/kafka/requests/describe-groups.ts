import type { ApiRequest } from '../types.js'

/*
DescribeGroupsRequest (5, flexible) => [groups] COMPACT_STRING, include_authorized_operations BOOLEAN
DescribeGroupsResponse => throttle_time_ms INT32, [groups]
  groups => error_code INT16, group_id COMPACT_STRING, group_state COMPACT_STRING, protocol_type COMPACT_STRING,
    protocol_data COMPACT_STRING, [members], authorized_operations INT32
    members => member_id COMPACT_STRING, group_instance_id COMPACT_STRING?, client_id COMPACT_STRING, client_host COMPACT_STRING,
      member_metadata COMPACT_BYTES, member_assignment COMPACT_BYTES
An absent group comes back as `Dead`, and so does a group of the new consumer protocol (KIP-848) even while it has members:
ListGroups tells the types apart.
*/

export interface DescribeGroupsResponse {
  groups: { errorCode: number; groupId: string; state: string; protocolType: string; members: number }[]
}

export function describeGroupsRequest(params: { groups: string[] }): ApiRequest<DescribeGroupsResponse> {
  return {
    apiKey: 15,
    apiName: 'DescribeGroups',
    minVersion: 5,
    maxVersion: 5,
    flexibleFrom: 5,
    encode(writer) {
      writer.compactArray(params.groups, group => writer.compactString(group))
      writer.boolean(false).tags()
    },
    decode(reader) {
      reader.throttle()
      const groups = reader.compactArray(() => {
        const errorCode = reader.int16()
        const groupId = reader.compactString()
        const state = reader.compactString()
        const protocolType = reader.compactString()
        reader.compactString()
        const members = reader.compactArray(() => {
          reader.compactString()
          reader.compactNullableString()
          reader.compactString()
          reader.compactString()
          reader.compactBytes()
          reader.compactBytes()
          reader.tags()
        }).length
        reader.int32()
        reader.tags()
        return { errorCode, groupId, state, protocolType, members }
      })
      reader.tags()
      return { groups }
    }
  }
}
