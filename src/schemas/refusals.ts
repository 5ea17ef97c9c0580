import { TwinlogError, toTwinlogError } from '../errors.js'
import type { SchemaConflict, SchemaConflictKind } from './plan-types.js'

/** 42205 has many meanings, told apart by their text alone (the same from 7.4 to 8.5; later ones add "in context …"). */
const OPERATION_NOT_PERMITTED = 42205

/** Confluent, Apicurio. An invalid schema has the same code. */
const NO_REFERENCE = /no schema reference found|unresolved reference/i

/** IMPORT is not, or no more, what counts: where it was READONLY before, the refusal speaks of that. */
export function isNotInImport(error: unknown): boolean {
  return isNotPermitted(error, /not in import mode|read-only mode/i)
}

/** IMPORT without force on a scope that has subjects. */
export function isOccupied(error: unknown): boolean {
  return isNotPermitted(error, /found existing subjects/i)
}

/** The registry was set up to keep its modes as they are (`mode.mutability=false`). */
export function isModeFixed(error: unknown): boolean {
  return isNotPermitted(error, /mode changes are not allowed/i)
}

/** The schema does not fit the versions that are live. */
export function isIncompatible(error: unknown): boolean {
  return error instanceof TwinlogError && !error.retriable && kindOf(error) === 'incompatible'
}

/** What was to be deleted is gone, or softly deleted, already. */
export function isGone(error: unknown): boolean {
  if (!(error instanceof TwinlogError)) return false
  return error.registryCode === undefined
    ? error.httpStatus === 404
    : [40401, 40402, 40404, 40406].includes(error.registryCode)
}

/** A delete whose work was done before is done. */
export async function unlessGone(request: Promise<void>): Promise<void> {
  try {
    await request
  } catch (error) {
    if (!isGone(error)) throw error
  }
}

/** The registry has no such request (DELETE /mode before 8.2). */
export function isNoSuchRequest(error: unknown): boolean {
  if (!(error instanceof TwinlogError)) return false
  return error.code === 'TWINLOG_UNSUPPORTED' || error.httpStatus === 405
}

export function isUnreachable(error: unknown): boolean {
  return error instanceof TwinlogError && error.code === 'TWINLOG_UNREACHABLE'
}

/** The registry answered, and will answer the same the next time. */
export function isRefusal(error: unknown): boolean {
  return error instanceof TwinlogError && !error.retriable && !endsTheRun(error)
}

/** No subject would fare better: what is left of the run is not tried. */
export function endsTheRun(error: unknown): boolean {
  if (error instanceof ConflictError) return false
  if (!(error instanceof TwinlogError)) return true
  return ['TWINLOG_UNREACHABLE', 'TWINLOG_ABORTED', 'TWINLOG_INTERNAL'].includes(error.code) || error.httpStatus === 401
}

/** A failure that has its kind with it. */
export class ConflictError extends Error {
  readonly kind: SchemaConflictKind
  readonly version: number | undefined
  readonly id: number | undefined

  constructor(
    kind: SchemaConflictKind,
    message: string,
    at: { version?: number | undefined; id?: number | undefined } = {}
  ) {
    super(message)
    this.kind = kind
    this.version = at.version
    this.id = at.id
  }
}

export function conflictOf(
  subject: string,
  thrown: unknown,
  at: { version?: number | undefined; id?: number | undefined } = {}
): SchemaConflict {
  if (thrown instanceof ConflictError)
    return { subject, kind: thrown.kind, message: thrown.message, version: thrown.version, id: thrown.id }
  const error = toTwinlogError(thrown, 'TWINLOG_INTERNAL', `subject ${subject}`)
  return {
    subject,
    kind: kindOf(error),
    message: error.message,
    ...at,
    ...(error.retriable ? { retriable: true } : {})
  }
}

function kindOf(error: TwinlogError): SchemaConflictKind {
  const { registryCode, httpStatus, message } = error
  if (error.retriable) return 'failed'
  if (registryCode === 42206) return 'deletes-refused'
  if (registryCode === 40901 || registryCode === 409 || httpStatus === 409) return 'incompatible'
  if (registryCode === OPERATION_NOT_PERMITTED) {
    // Somebody registered there since the plan was made.
    if (isOccupied(error)) return 'version-taken'
    if (/overwrite new schema with id/i.test(message)) return 'id-taken'
    if (/read-only mode|not in read-write mode/i.test(message)) return 'read-only'
    return 'failed'
  }
  if (registryCode === 42201) return NO_REFERENCE.test(message) ? 'missing-reference' : 'invalid'
  return httpStatus === 422 ? 'invalid' : 'failed'
}

function isNotPermitted(error: unknown, text: RegExp): boolean {
  return error instanceof TwinlogError && error.registryCode === OPERATION_NOT_PERMITTED && text.test(error.message)
}
