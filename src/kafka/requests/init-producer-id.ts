import type { ApiRequest } from '../types.js'

/*
InitProducerIdRequest (4, flexible) => transactional_id COMPACT_STRING?, transaction_timeout_ms INT32, producer_id INT64, producer_epoch INT16
InitProducerIdResponse => throttle_time_ms INT32, error_code INT16, producer_id INT64, producer_epoch INT16
*/

export interface InitProducerIdParams {
  transactionalId: string | null
  transactionTimeoutMs: number
}

export interface InitProducerIdResponse {
  errorCode: number
  producerId: bigint
  producerEpoch: number
}

export function initProducerIdRequest(params: InitProducerIdParams): ApiRequest<InitProducerIdResponse> {
  return {
    apiKey: 22,
    apiName: 'InitProducerId',
    minVersion: 4,
    maxVersion: 4,
    flexibleFrom: 2,
    encode(writer) {
      writer.compactString(params.transactionalId).int32(params.transactionTimeoutMs).int64(-1n).int16(-1).tags()
    },
    decode(reader) {
      reader.throttle()
      const result = { errorCode: reader.int16(), producerId: reader.int64(), producerEpoch: reader.int16() }
      reader.tags()
      return result
    }
  }
}
