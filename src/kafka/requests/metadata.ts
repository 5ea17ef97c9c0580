import type { ApiRequest, BrokerAddress, ClusterMetadata, PartitionMetadata, TopicMetadata } from '../types.js'
import { NO_TOPIC_ID } from './topic-ref.js'

/*
MetadataRequest (12, flexible) => [topics]?, allow_auto_topic_creation BOOLEAN, include_topic_authorized_operations BOOLEAN
  topics => topic_id UUID, name COMPACT_STRING?
MetadataResponse => throttle_time_ms INT32, [brokers], cluster_id COMPACT_STRING?, controller_id INT32, [topics]
  brokers => node_id INT32, host COMPACT_STRING, port INT32, rack COMPACT_STRING?
  topics => error_code INT16, name COMPACT_STRING?, topic_id UUID, is_internal BOOLEAN, [partitions], topic_authorized_operations INT32
    partitions => error_code INT16, partition_index INT32, leader_id INT32, leader_epoch INT32, [replica_nodes] INT32,
      [isr_nodes] INT32, [offline_replicas] INT32
Never creates topics.
*/

export interface MetadataParams {
  /** Absent: all topics. Empty: brokers only. */
  topics?: readonly string[] | undefined
}

export function metadataRequest(params: MetadataParams): ApiRequest<ClusterMetadata> {
  return {
    apiKey: 3,
    apiName: 'Metadata',
    minVersion: 12,
    maxVersion: 12,
    flexibleFrom: 9,
    encode(writer) {
      writer.compactArray(params.topics ?? null, name => {
        writer.uuid(NO_TOPIC_ID).compactString(name).tags()
      })
      writer.boolean(false).boolean(false).tags()
    },
    decode(reader) {
      reader.throttle()
      const brokers = reader.compactArray((): BrokerAddress => {
        const broker = {
          nodeId: reader.int32(),
          host: reader.compactString(),
          port: reader.int32(),
          rack: reader.compactNullableString()
        }
        reader.tags()
        return broker
      })
      const clusterId = reader.compactNullableString() ?? ''
      const controllerId = reader.int32()
      const topics = reader.compactArray((): TopicMetadata => {
        const errorCode = reader.int16()
        const name = reader.compactNullableString() ?? ''
        const topicId = reader.uuid()
        const internal = reader.boolean()
        const partitions = reader.compactArray((): PartitionMetadata => {
          const partitionError = reader.int16()
          const partition = {
            partition: reader.int32(),
            errorCode: partitionError,
            leader: reader.int32(),
            leaderEpoch: reader.int32(),
            replicas: reader.compactInt32Array(),
            isr: reader.compactInt32Array()
          }
          reader.compactInt32Array()
          reader.tags()
          return partition
        })
        reader.int32()
        reader.tags()
        // Brokers list partitions in no particular order.
        partitions.sort((a, b) => a.partition - b.partition)
        return { name, topicId, errorCode, internal, partitions }
      })
      reader.tags()
      return {
        clusterId,
        controllerId,
        brokers: new Map(brokers.map(broker => [broker.nodeId, broker])),
        topics: new Map(topics.map(topic => [topic.name, topic]))
      }
    }
  }
}
