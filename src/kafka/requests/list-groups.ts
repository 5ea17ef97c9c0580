import type { ApiRequest } from '../types.js'

/*
ListGroupsRequest (4–5, flexible) => [states_filter] COMPACT_STRING, [types_filter] COMPACT_STRING (5)
ListGroupsResponse => throttle_time_ms INT32, error_code INT16, [groups]
  groups => group_id COMPACT_STRING, protocol_type COMPACT_STRING, group_state COMPACT_STRING, group_type COMPACT_STRING (5)
A broker lists only the groups that it coordinates: ask each one.
*/

export interface ListedGroup {
  groupId: string
  protocolType: string
  state: string
  /** `classic`, `consumer`, `share` …; '' from brokers before 3.8. */
  type: string
}

export interface ListGroupsResponse {
  errorCode: number
  groups: ListedGroup[]
}

export function listGroupsRequest(params: { states?: string[] | undefined } = {}): ApiRequest<ListGroupsResponse> {
  return {
    apiKey: 16,
    apiName: 'ListGroups',
    minVersion: 4,
    maxVersion: 5,
    flexibleFrom: 3,
    encode(writer, version) {
      writer.compactArray(params.states ?? [], state => writer.compactString(state))
      if (version >= 5) writer.compactArray([], () => undefined)
      writer.tags()
    },
    decode(reader, version) {
      reader.throttle()
      const errorCode = reader.int16()
      const groups = reader.compactArray(() => {
        const group = {
          groupId: reader.compactString(),
          protocolType: reader.compactString(),
          state: reader.compactString(),
          type: version >= 5 ? reader.compactString() : ''
        }
        reader.tags()
        return group
      })
      reader.tags()
      return { errorCode, groups }
    }
  }
}
