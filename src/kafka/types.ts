import type { KafkaConfig } from 'kafkajs'
import type { RegistryConfig } from '../util/registry-config.js'
import type { Reader } from './protocol/reader.js'
import type { Writer } from './protocol/writer.js'

/** kafkajs's own KafkaConfig (brokers, ssl, sasl, clientId, socketFactory, logCreator …) plus the cluster's alias. */
export interface ClusterConfig extends KafkaConfig {
  /** Short stable name of the cluster, for example `east`. Part of the default link name. */
  alias: string
  schemaRegistry?: RegistryConfig | undefined
}

/** One Kafka API as pure functions. `encode` writes the body only; framing and header belong to the connection. */
export interface ApiRequest<T> {
  readonly apiKey: number
  readonly apiName: string
  /** The versions this codec can speak; the highest that the broker speaks too is used. */
  readonly minVersion: number
  readonly maxVersion: number
  /** First flexible version (compact arrays, tagged fields). */
  readonly flexibleFrom: number
  encode(writer: Writer, version: number): void
  decode(reader: Reader, version: number): T
  /** False for Produce with acks=0. Default true. */
  readonly expectResponse?: boolean
}

/** Which broker a control-plane request goes to. */
export type Route = { node: number } | { group: string } | { transactionalId: string } | 'controller' | 'any'

export interface BrokerAddress {
  nodeId: number
  host: string
  port: number
  rack: string | null
}

export interface PartitionMetadata {
  partition: number
  /** Protocol error code of this partition; 0 is fine. */
  errorCode: number
  /** Node id, or -1 while there is none. */
  leader: number
  leaderEpoch: number
  replicas: number[]
  isr: number[]
}

export interface TopicMetadata {
  name: string
  /** Topic id as Kafka prints it (base64url of 16 bytes, 22 characters). */
  topicId: string
  errorCode: number
  internal: boolean
  partitions: PartitionMetadata[]
}

export interface ClusterMetadata {
  clusterId: string
  controllerId: number
  brokers: Map<number, BrokerAddress>
  topics: Map<string, TopicMetadata>
}
