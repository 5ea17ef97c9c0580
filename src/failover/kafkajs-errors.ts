import { TwinlogError, type TwinlogErrorCode, type TwinlogErrorContext } from '../errors.js'

/** The fields of kafkajs's error classes that say what happened; matched by name because only src/kafka loads kafkajs. */
interface KafkaJsErrorShape {
  name?: string
  message?: string
  type?: string
  code?: unknown
  retriable?: boolean
  cause?: unknown
}

const PROTOCOL: Record<string, TwinlogErrorCode> = {
  UNKNOWN_TOPIC_OR_PARTITION: 'TWINLOG_UNKNOWN_TOPIC',
  INVALID_TOPIC_EXCEPTION: 'TWINLOG_UNKNOWN_TOPIC',
  MESSAGE_TOO_LARGE: 'TWINLOG_RECORD_TOO_LARGE',
  RECORD_LIST_TOO_LARGE: 'TWINLOG_RECORD_TOO_LARGE',
  INVALID_RECORD: 'TWINLOG_RECORD_REJECTED',
  INVALID_TIMESTAMP: 'TWINLOG_RECORD_REJECTED',
  POLICY_VIOLATION: 'TWINLOG_RECORD_REJECTED',
  TOPIC_AUTHORIZATION_FAILED: 'TWINLOG_UNAUTHORIZED',
  GROUP_AUTHORIZATION_FAILED: 'TWINLOG_UNAUTHORIZED',
  CLUSTER_AUTHORIZATION_FAILED: 'TWINLOG_UNAUTHORIZED',
  SASL_AUTHENTICATION_FAILED: 'TWINLOG_UNAUTHORIZED',
  UNSUPPORTED_VERSION: 'TWINLOG_UNSUPPORTED_BROKER',
  REQUEST_TIMED_OUT: 'TWINLOG_TIMEOUT'
}

const BY_NAME: Record<string, { code: TwinlogErrorCode; retriable: boolean }> = {
  KafkaJSConnectionError: { code: 'TWINLOG_UNREACHABLE', retriable: true },
  KafkaJSConnectionClosedError: { code: 'TWINLOG_UNREACHABLE', retriable: true },
  KafkaJSBrokerNotFound: { code: 'TWINLOG_UNREACHABLE', retriable: true },
  KafkaJSNoBrokerAvailableError: { code: 'TWINLOG_UNREACHABLE', retriable: true },
  KafkaJSGroupCoordinatorNotFound: { code: 'TWINLOG_UNREACHABLE', retriable: true },
  KafkaJSRequestTimeoutError: { code: 'TWINLOG_TIMEOUT', retriable: true },
  KafkaJSTimeout: { code: 'TWINLOG_TIMEOUT', retriable: true },
  KafkaJSLockTimeout: { code: 'TWINLOG_TIMEOUT', retriable: true },
  KafkaJSSASLAuthenticationError: { code: 'TWINLOG_UNAUTHORIZED', retriable: false },
  KafkaJSMetadataNotLoaded: { code: 'TWINLOG_UNKNOWN_TOPIC', retriable: true },
  KafkaJSTopicMetadataNotLoaded: { code: 'TWINLOG_UNKNOWN_TOPIC', retriable: true },
  KafkaJSNotImplemented: { code: 'TWINLOG_UNSUPPORTED', retriable: false },
  // Without a deeper cause this is how kafkajs says that it was called wrongly.
  KafkaJSNonRetriableError: { code: 'TWINLOG_INVALID_STATE', retriable: false }
}

/** The error that kafkajs's retrier wrapped, down to the one that says what happened. */
export function rootOf(error: unknown): KafkaJsErrorShape {
  let current = error
  for (let depth = 0; depth < 10; depth++) {
    if (typeof current !== 'object' || current === null) return { message: String(current) }
    const { cause } = current as KafkaJsErrorShape
    if (current instanceof TwinlogError || typeof cause !== 'object' || cause === null) break
    current = cause
  }
  return current as KafkaJsErrorShape
}

/** Turns whatever kafkajs threw into a TwinlogError. `what` completes the sentence "… failed". */
export function fromKafkaJs(error: unknown, what: string, context: TwinlogErrorContext = {}): TwinlogError {
  const root = rootOf(error)
  if (root instanceof TwinlogError) return root
  const on = context.cluster === undefined ? '' : ` on cluster "${context.cluster}"`
  const message = `${what}${on} failed: ${root.message ?? String(error)}`
  if (typeof root.type === 'string') {
    const kafkaCode = typeof root.code === 'number' ? root.code : undefined
    const code = PROTOCOL[root.type] ?? 'TWINLOG_PROTOCOL'
    return new TwinlogError(code, message, { ...context, kafkaCode, retriable: root.retriable === true, cause: error })
  }
  const known = BY_NAME[root.name ?? '']
  if (known !== undefined) {
    return new TwinlogError(known.code, message, { ...context, retriable: known.retriable, cause: error })
  }
  const network = typeof root.code === 'string' && /^E[A-Z]+$/.test(root.code)
  const code = network || root.message === 'Broker not connected' ? 'TWINLOG_UNREACHABLE' : 'TWINLOG_INTERNAL'
  return new TwinlogError(code, message, { ...context, retriable: code === 'TWINLOG_UNREACHABLE', cause: error })
}

// Answers after which the broker certainly appended nothing. Not here: NOT_LEADER (a leader that lost its place may have
// appended), REQUEST_TIMED_OUT, NOT_ENOUGH_REPLICAS_AFTER_APPEND and everything unknown.
const REFUSALS = new Set([
  'CORRUPT_MESSAGE',
  'UNKNOWN_TOPIC_OR_PARTITION',
  'MESSAGE_TOO_LARGE',
  'INVALID_TOPIC_EXCEPTION',
  'RECORD_LIST_TOO_LARGE',
  'NOT_ENOUGH_REPLICAS',
  'INVALID_REQUIRED_ACKS',
  'TOPIC_AUTHORIZATION_FAILED',
  'CLUSTER_AUTHORIZATION_FAILED',
  'INVALID_TIMESTAMP',
  'UNSUPPORTED_VERSION',
  'UNSUPPORTED_FOR_MESSAGE_FORMAT',
  'POLICY_VIOLATION',
  'OUT_OF_ORDER_SEQUENCE_NUMBER',
  'INVALID_PRODUCER_EPOCH',
  'UNSUPPORTED_COMPRESSION_TYPE',
  'INVALID_RECORD'
])

/** True when a failed produce request certainly appended nothing. */
export function isRefusal(error: unknown): boolean {
  const root = rootOf(error)
  if (typeof root.type === 'string') return REFUSALS.has(root.type)
  // Thrown before a byte was written: no connection, or the record could not be encoded.
  if (root.message === 'Broker not connected' || root.message === 'Not connected') return true
  if (root.name === 'KafkaJSConnectionError') return root.code === 'ECONNREFUSED'
  return root.code === 'ERR_INVALID_ARG_TYPE' || root.name === 'KafkaJSNotImplemented'
}
