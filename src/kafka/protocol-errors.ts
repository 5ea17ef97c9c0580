import { TwinlogError, type TwinlogErrorCode, type TwinlogErrorContext } from '../errors.js'
import { KAFKA_ERROR_TABLE } from './protocol/error-table.js'

export interface KafkaErrorInfo {
  name: string
  /** As the Java client sees it: the same request may succeed later, perhaps on another broker. */
  retriable: boolean
}

/** Every error code of Kafka 4.1. */
export const KAFKA_ERRORS: ReadonlyMap<number, KafkaErrorInfo> = new Map(
  Object.entries(KAFKA_ERROR_TABLE).map(([code, [name, retriable]]) => [Number(code), { name, retriable }])
)

const CODES: Partial<Record<number, TwinlogErrorCode>> = {
  1: 'TWINLOG_GAP',
  2: 'TWINLOG_CORRUPT_BATCH',
  3: 'TWINLOG_UNKNOWN_TOPIC',
  7: 'TWINLOG_TIMEOUT',
  10: 'TWINLOG_RECORD_TOO_LARGE',
  18: 'TWINLOG_RECORD_TOO_LARGE',
  29: 'TWINLOG_UNAUTHORIZED',
  30: 'TWINLOG_UNAUTHORIZED',
  31: 'TWINLOG_UNAUTHORIZED',
  32: 'TWINLOG_RECORD_REJECTED',
  33: 'TWINLOG_UNAUTHORIZED',
  34: 'TWINLOG_UNAUTHORIZED',
  35: 'TWINLOG_UNSUPPORTED_BROKER',
  47: 'TWINLOG_FENCED',
  53: 'TWINLOG_UNAUTHORIZED',
  58: 'TWINLOG_UNAUTHORIZED',
  87: 'TWINLOG_RECORD_REJECTED',
  90: 'TWINLOG_FENCED',
  100: 'TWINLOG_UNKNOWN_TOPIC',
  103: 'TWINLOG_TOPIC_RECREATED'
}

/** `NAME (code)`, or the bare number for a code that is newer than this table. */
function kafkaErrorName(code: number): string {
  const info = KAFKA_ERRORS.get(code)
  return info === undefined ? `error ${code}` : `${info.name} (${code})`
}

/** Turns an error code of a response into a TwinlogError; `message` says what was being done, and where. */
export function kafkaError(code: number, message: string, context: TwinlogErrorContext = {}): TwinlogError {
  const retriable = KAFKA_ERRORS.get(code)?.retriable ?? false
  const twinlogCode = CODES[code] ?? (retriable ? 'TWINLOG_UNREACHABLE' : 'TWINLOG_PROTOCOL')
  return new TwinlogError(twinlogCode, `${message}: ${kafkaErrorName(code)}`, {
    ...context,
    kafkaCode: code,
    retriable
  })
}
