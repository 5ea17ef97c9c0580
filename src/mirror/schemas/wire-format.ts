/**
 * How serializers of Confluent's kind name a schema, in a key or value or in a header of the record:
 *
 *     0 | id INT32 | [Protobuf: message indexes] | payload        in front of the payload, or (all but the payload) in a header
 *     1 | guid, 16 bytes | [Protobuf: message indexes]            in a header
 *
 * A deserializer looks at the header first; where there is one, nothing stands in front of the payload.
 */
export type Part = 'key' | 'value'

/** An id is a number, a GUID a string as registries write it. */
export type SchemaRef = number | string

export const ID_MAGIC = 0
const GUID_MAGIC = 1
/** Behind the magic byte. */
export const ID_AT = 1
export const ID_BYTES = 5
export const GUID_BYTES = 17

export const KEY_HEADER = Buffer.from('__key_schema_id')
export const VALUE_HEADER = Buffer.from('__value_schema_id')

/** What bytes of this length that begin here name, as far as their form goes. Registries give no negative ids. */
export function idAt(bytes: Buffer, start: number, length: number): number | undefined {
  if (length < ID_BYTES || bytes[start] !== ID_MAGIC) return undefined
  const id = bytes.readInt32BE(start + ID_AT)
  return id < 0 ? undefined : id
}

/** The same for the value of a header. */
export function headerRefAt(bytes: Buffer, start: number, length: number): SchemaRef | undefined {
  if (length < GUID_BYTES || bytes[start] !== GUID_MAGIC) return idAt(bytes, start, length)
  const hex = bytes.toString('hex', start + 1, start + GUID_BYTES)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/** For people: 'id 7', 'GUID 0123…'. */
export const refName = (ref: SchemaRef): string => (typeof ref === 'number' ? `id ${ref}` : `GUID ${ref}`)
