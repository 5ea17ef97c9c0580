import { TwinlogError } from '../errors.js'
import { NotThere } from './schema-registry-bridge.js'

export interface RegistryCall {
  /** What was to be done, for messages: `decode with schema id 7`. */
  what: string
  schemaId?: number | undefined
  subject?: string | undefined
}

export interface RegistryPlace {
  /** Alias of the cluster. */
  cluster: string
  /** Addresses without credentials. */
  name: string
}

const COPY_IT =
  'SchemaSync copies it there from the registry where it was registered: see that it runs and that its selector has the subject'
const REWRITE_IT =
  "with ids: 'translate' a record may still carry the id of the other registry: its topic has to be in the Mirror's schemas.topics"

/** Whatever went wrong, by where it did, and what to do about it. */
export function registryError(error: unknown, call: RegistryCall, place: RegistryPlace): TwinlogError {
  const { what, schemaId, subject } = call
  const where = `the schema registry of cluster "${place.cluster}" (${place.name})`
  const context = { cluster: place.cluster, schemaId, subject, cause: error }
  if (error instanceof NotThere) {
    const advice = schemaId === undefined ? COPY_IT : `${COPY_IT}; ${REWRITE_IT}`
    const message = `${what}: ${error.message}, in ${where}. ${advice}`
    return new TwinlogError('TWINLOG_SCHEMA_REGISTRY', message, { ...context, httpStatus: error.status })
  }
  if (error instanceof TwinlogError) {
    const { code, retriable, httpStatus, registryCode } = error
    const message = `${what}, in ${where}: ${error.message}`
    return new TwinlogError(code, message, {
      ...context,
      subject: subject ?? error.subject,
      retriable,
      httpStatus,
      registryCode
    })
  }
  const reason = error instanceof Error ? error.message : String(error)
  return new TwinlogError('TWINLOG_SCHEMA_REGISTRY', `${what}, with ${where}, failed: ${reason}`, context)
}
