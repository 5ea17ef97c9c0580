import type { ApiRequest } from '../types.js'

/*
ApiVersionsRequest (3, flexible) => client_software_name COMPACT_STRING, client_software_version COMPACT_STRING
ApiVersionsResponse => error_code INT16, [api_keys], throttle_time_ms INT32
  api_keys => api_key INT16, min_version INT16, max_version INT16
The response header has no tag section at any version. A broker that does not know version 3 answers error 35 in the layout
of version 0.
*/

export const API_VERSIONS_KEY = 18

export interface VersionRange {
  min: number
  max: number
}

export interface ApiVersionsResponse {
  errorCode: number
  versions: Map<number, VersionRange>
}

export function apiVersionsRequest(): ApiRequest<ApiVersionsResponse> {
  return {
    apiKey: API_VERSIONS_KEY,
    apiName: 'ApiVersions',
    minVersion: 3,
    maxVersion: 3,
    flexibleFrom: 3,
    encode(writer) {
      // The broker checks both against [a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])? and refuses anything else.
      writer.compactString('twinlog').compactString('0.1').tags()
    },
    decode(reader) {
      const errorCode = reader.int16()
      if (errorCode !== 0) return { errorCode, versions: new Map() }
      const ranges = reader.compactArray((): [number, VersionRange] => {
        const apiKey = reader.int16()
        const range = { min: reader.int16(), max: reader.int16() }
        reader.tags()
        return [apiKey, range]
      })
      reader.throttle()
      reader.tags()
      return { errorCode, versions: new Map(ranges) }
    }
  }
}
