import type { ApiRequest } from '../types.js'

/*
AddPartitionsToTxnRequest (3, flexible) => transactional_id COMPACT_STRING, producer_id INT64, producer_epoch INT16, [topics]
  topics => name COMPACT_STRING, [partitions] INT32
AddPartitionsToTxnResponse => throttle_time_ms INT32, [results_by_topic]
  results_by_topic => name COMPACT_STRING, [results_by_partition]
    results_by_partition => partition_index INT32, error_code INT16
*/

export interface AddPartitionsToTxnParams {
  transactionalId: string
  producerId: bigint
  producerEpoch: number
  topics: { topic: string; partitions: number[] }[]
}

export interface AddPartitionsToTxnResponse {
  partitions: { topic: string; partition: number; errorCode: number }[]
}

export function addPartitionsToTxnRequest(params: AddPartitionsToTxnParams): ApiRequest<AddPartitionsToTxnResponse> {
  return {
    apiKey: 24,
    apiName: 'AddPartitionsToTxn',
    minVersion: 3,
    maxVersion: 3,
    flexibleFrom: 3,
    encode(writer) {
      writer.compactString(params.transactionalId).int64(params.producerId).int16(params.producerEpoch)
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
          const result = { topic, partition: reader.int32(), errorCode: reader.int16() }
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
