import type { ApiRequest } from '../types.js'

/*
DescribeProducersRequest (0, flexible) => [topics]
  topics => name COMPACT_STRING, [partition_indexes] INT32
DescribeProducersResponse => throttle_time_ms INT32, [topics]
  topics => name COMPACT_STRING, [partitions]
    partitions => partition_index INT32, error_code INT16, error_message COMPACT_STRING?, [active_producers]
      active_producers => producer_id INT64, producer_epoch INT32, last_sequence INT32, last_timestamp INT64,
        coordinator_epoch INT32, current_txn_start_offset INT64
Only the partition's leader answers; it shows its log end, not the high watermark.
*/

export interface ActiveProducer {
  producerId: bigint
  producerEpoch: number
  lastSequence: number
  lastTimestamp: bigint
  coordinatorEpoch: number
  /** −1 outside a transaction. */
  currentTxnStartOffset: bigint
}

export interface DescribeProducersResponse {
  partitions: {
    topic: string
    partition: number
    errorCode: number
    errorMessage: string | null
    producers: ActiveProducer[]
  }[]
}

export function describeProducersRequest(params: {
  topics: { topic: string; partitions: number[] }[]
}): ApiRequest<DescribeProducersResponse> {
  return {
    apiKey: 61,
    apiName: 'DescribeProducers',
    minVersion: 0,
    maxVersion: 0,
    flexibleFrom: 0,
    encode(writer) {
      writer.compactArray(params.topics, ({ topic, partitions }) => {
        writer.compactString(topic)
        writer.compactArray(partitions, partition => writer.int32(partition))
        writer.tags()
      })
      writer.tags()
    },
    decode(reader) {
      reader.throttle()
      const partitions = reader.compactArray(() => {
        const topic = reader.compactString()
        const list = reader.compactArray(() => {
          const result = {
            topic,
            partition: reader.int32(),
            errorCode: reader.int16(),
            errorMessage: reader.compactNullableString(),
            producers: reader.compactArray(() => {
              const producer = {
                producerId: reader.int64(),
                producerEpoch: reader.int32(),
                lastSequence: reader.int32(),
                lastTimestamp: reader.int64(),
                coordinatorEpoch: reader.int32(),
                currentTxnStartOffset: reader.int64()
              }
              reader.tags()
              return producer
            })
          }
          reader.tags()
          return result
        })
        reader.tags()
        return list
      })
      reader.tags()
      return { partitions: partitions.flat() }
    }
  }
}
