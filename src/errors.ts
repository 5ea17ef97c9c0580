/**
 * Every error that leaves twinlog is a {@link TwinlogError}: match on `code`, never on the message or the class name.
 * kafkajs and p-retry errors appear only as `cause`.
 */
export const TWINLOG_ERROR_CODES = [
  'TWINLOG_INVALID_OPTION',
  'TWINLOG_UNREACHABLE',
  'TWINLOG_UNAUTHORIZED',
  'TWINLOG_UNSUPPORTED_BROKER',
  'TWINLOG_PROTOCOL',
  'TWINLOG_UNKNOWN_TOPIC',
  'TWINLOG_GAP',
  'TWINLOG_TRUNCATED',
  'TWINLOG_TOPIC_RECREATED',
  'TWINLOG_RECORD_TOO_LARGE',
  'TWINLOG_RECORD_REJECTED',
  'TWINLOG_TRANSFORM_FAILED',
  'TWINLOG_CORRUPT_BATCH',
  'TWINLOG_FENCED',
  'TWINLOG_POSITION_UNKNOWN',
  'TWINLOG_STATE_INVALID',
  'TWINLOG_UNSUPPORTED',
  'TWINLOG_NOT_CAUGHT_UP',
  'TWINLOG_TIMEOUT',
  'TWINLOG_ABORTED',
  'TWINLOG_INVALID_STATE',
  'TWINLOG_SEND_IN_DOUBT',
  'TWINLOG_MOVE_ABORTED',
  'TWINLOG_SCHEMA_REGISTRY',
  'TWINLOG_SCHEMA_ID_CONFLICT',
  'TWINLOG_INTERNAL'
] as const

export type TwinlogErrorCode = (typeof TWINLOG_ERROR_CODES)[number]

export interface TwinlogErrorContext {
  /** Alias of the cluster that was spoken to. */
  cluster?: string | undefined
  topic?: string | undefined
  partition?: number | undefined
  offset?: bigint | undefined
  /** Error code of the Kafka protocol, where the broker answered with one. */
  kafkaCode?: number | undefined
  /** HTTP status of a schema registry's answer. */
  httpStatus?: number | undefined
  /** `error_code` of a schema registry's answer. */
  registryCode?: number | undefined
  /** Subject in a schema registry. */
  subject?: string | undefined
  schemaId?: number | undefined
}

export interface TwinlogErrorOptions extends TwinlogErrorContext {
  retriable?: boolean
  cause?: unknown
}

// Both builds (ESM and CJS) can be loaded into one process: the brand makes `instanceof` hold across the copies.
const BRAND = Symbol.for('twinlog.error')

export class TwinlogError extends Error {
  readonly code: TwinlogErrorCode
  /** True when the same call may succeed later without anybody changing anything. */
  readonly retriable: boolean
  readonly cluster?: string
  readonly topic?: string
  readonly partition?: number
  readonly offset?: bigint
  readonly kafkaCode?: number
  readonly httpStatus?: number
  readonly registryCode?: number
  readonly subject?: string
  readonly schemaId?: number

  constructor(code: TwinlogErrorCode, message: string, options: TwinlogErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'TwinlogError'
    this.code = code
    this.retriable = options.retriable ?? false
    if (options.cluster !== undefined) this.cluster = options.cluster
    if (options.topic !== undefined) this.topic = options.topic
    if (options.partition !== undefined) this.partition = options.partition
    if (options.offset !== undefined) this.offset = options.offset
    if (options.kafkaCode !== undefined) this.kafkaCode = options.kafkaCode
    if (options.httpStatus !== undefined) this.httpStatus = options.httpStatus
    if (options.registryCode !== undefined) this.registryCode = options.registryCode
    if (options.subject !== undefined) this.subject = options.subject
    if (options.schemaId !== undefined) this.schemaId = options.schemaId
    Object.defineProperty(this, BRAND, { value: true })
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    if (typeof value !== 'object' || value === null || !(BRAND in value)) return false
    return this === TwinlogError || Function.prototype[Symbol.hasInstance].call(this, value)
  }

  /** What may be logged or written to evidence: no stack, offsets as decimal strings. */
  toJSON(): Record<string, unknown> {
    return {
      name: this.name,
      code: this.code,
      message: this.message,
      retriable: this.retriable,
      cluster: this.cluster,
      topic: this.topic,
      partition: this.partition,
      offset: this.offset?.toString(),
      kafkaCode: this.kafkaCode,
      httpStatus: this.httpStatus,
      registryCode: this.registryCode,
      subject: this.subject,
      schemaId: this.schemaId
    }
  }
}

/** A wrong, unknown or not yet supported option. `path` names it, for example `mirror.topics[0]`. */
export class InvalidOptionError extends TwinlogError {
  readonly path: string

  constructor(path: string, problem: string, options: TwinlogErrorOptions = {}) {
    super('TWINLOG_INVALID_OPTION', `${path}: ${problem}`, options)
    this.name = 'InvalidOptionError'
    this.path = path
  }

  // By name, as the class of another copy is not this one.
  static override [Symbol.hasInstance](value: unknown): boolean {
    return value instanceof TwinlogError && value.name === 'InvalidOptionError'
  }
}

/** Gives any thrown value a closed code; a TwinlogError passes through untouched. */
export function toTwinlogError(
  error: unknown,
  code: TwinlogErrorCode,
  message: string,
  context: TwinlogErrorOptions = {}
): TwinlogError {
  if (error instanceof TwinlogError) return error
  const detail = error instanceof Error ? error.message : String(error)
  return new TwinlogError(code, `${message}: ${detail}`, { ...context, cause: error })
}
