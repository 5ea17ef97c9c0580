import type { ApiRequest, BrokerAddress } from '../types.js'

/*
DescribeClusterRequest (0, flexible) => include_cluster_authorized_operations BOOLEAN
DescribeClusterResponse => throttle_time_ms INT32, error_code INT16, error_message COMPACT_STRING?, cluster_id COMPACT_STRING,
  controller_id INT32, [brokers], cluster_authorized_operations INT32
  brokers => broker_id INT32, host COMPACT_STRING, port INT32, rack COMPACT_STRING?
*/

export interface DescribeClusterResponse {
  errorCode: number
  errorMessage: string | null
  clusterId: string
  controllerId: number
  brokers: BrokerAddress[]
}

export function describeClusterRequest(): ApiRequest<DescribeClusterResponse> {
  return {
    apiKey: 60,
    apiName: 'DescribeCluster',
    minVersion: 0,
    maxVersion: 0,
    flexibleFrom: 0,
    encode(writer) {
      writer.boolean(false).tags()
    },
    decode(reader) {
      reader.throttle()
      const errorCode = reader.int16()
      const errorMessage = reader.compactNullableString()
      const clusterId = reader.compactString()
      const controllerId = reader.int32()
      const brokers = reader.compactArray(() => {
        const broker = {
          nodeId: reader.int32(),
          host: reader.compactString(),
          port: reader.int32(),
          rack: reader.compactNullableString()
        }
        reader.tags()
        return broker
      })
      reader.int32()
      reader.tags()
      return { errorCode, errorMessage, clusterId, controllerId, brokers }
    }
  }
}
