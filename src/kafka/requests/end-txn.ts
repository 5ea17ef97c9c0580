import type { ApiRequest } from '../types.js'

/*
EndTxnRequest (3, flexible) => transactional_id COMPACT_STRING, producer_id INT64, producer_epoch INT16, committed BOOLEAN
EndTxnResponse => throttle_time_ms INT32, error_code INT16
Version 5 would bump the epoch at each end: stay at 3.
*/

export interface EndTxnParams {
  transactionalId: string
  producerId: bigint
  producerEpoch: number
  commit: boolean
}

export function endTxnRequest(params: EndTxnParams): ApiRequest<{ errorCode: number }> {
  return {
    apiKey: 26,
    apiName: 'EndTxn',
    minVersion: 3,
    maxVersion: 3,
    flexibleFrom: 3,
    encode(writer) {
      writer.compactString(params.transactionalId).int64(params.producerId).int16(params.producerEpoch)
      writer.boolean(params.commit).tags()
    },
    decode(reader) {
      reader.throttle()
      const errorCode = reader.int16()
      reader.tags()
      return { errorCode }
    }
  }
}
