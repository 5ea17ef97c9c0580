import type { DecodedRecord } from '../../records/types.js'
import type { ReadLook } from './read-look.js'
import { type RecordPlace, rewriteRecord } from './rewrite-ids.js'
import type { Obstacle } from './segment-scan.js'
import { headerRefAt, idAt, KEY_HEADER, type Part, type SchemaRef, VALUE_HEADER } from './wire-format.js'

const PARTS = ['key', 'value'] as const
const HEADERS: Record<Part, Buffer> = { key: KEY_HEADER, value: VALUE_HEADER }

/** The first name in these records that keeps them back. */
export function findObstacle(look: ReadLook, records: readonly DecodedRecord[]): Omit<Obstacle, 'offset'> | undefined {
  for (const record of records) {
    for (const part of PARTS) {
      const meaning = look.meaning(part, [...headersOf(record, part).values()], prefixOf(record, part))
      if (meaning.status === 'asked' || meaning.status === 'missing')
        return { part, ref: meaning.ref, status: meaning.status }
    }
  }
  return undefined
}

/** Puts the target's ids into records that nothing keeps back. */
export function rewriteRecords(look: ReadLook, records: readonly DecodedRecord[]): void {
  for (const record of records) {
    for (const part of PARTS) {
      const headers = headersOf(record, part)
      const meaning = look.meaning(part, [...headers.values()], prefixOf(record, part))
      if (meaning.status !== 'here') continue
      const named = meaning.header ? headers : new Map<RecordPlace, SchemaRef>([[part, meaning.ref]])
      for (const [place, ref] of named) {
        const target = look.targetOf(part, ref)
        if (typeof target === 'number' && target !== ref) rewriteRecord(record, place, target)
      }
    }
  }
}

function prefixOf(record: DecodedRecord, part: Part): number | undefined {
  const bytes = record[part]
  return bytes === null ? undefined : idAt(bytes, 0, bytes.length)
}

/** What the headers for this part name, by their place. */
function headersOf({ headers }: DecodedRecord, part: Part): Map<number, SchemaRef> {
  const named = new Map<number, SchemaRef>()
  for (const [index, [name, value]] of headers.entries()) {
    const ref = value !== null && name.equals(HEADERS[part]) ? headerRefAt(value, 0, value.length) : undefined
    if (ref !== undefined) named.set(index, ref)
  }
  return named
}
