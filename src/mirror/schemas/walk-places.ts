import { corrupt } from '../../records/batch.js'
import type { BatchView } from '../../records/types.js'
import { type Cursor, readVarint } from '../../records/varint.js'
import { ID_AT, ID_BYTES, ID_MAGIC, KEY_HEADER, type Part, VALUE_HEADER } from './wire-format.js'

/** Records of a batch by the distance of their offsets to its base: [from, to). */
export interface DeltaRange {
  from: number
  to: number
}

/** Headers of the record at hand that have the name of a schema header, in order. Good until the next record. */
export interface HeaderPlaces {
  count: number
  readonly parts: Part[]
  /** Where the header's value begins. */
  readonly at: number[]
  readonly lengths: number[]
}

/** Is told of everything that looks like the name of a schema. Answers true to hear no more. */
export interface PlaceSink {
  /** A key or value begins like one with an id. */
  prefix(part: Part, id: number, at: number, delta: number): boolean
  /** The record has schema headers. `keyAt`, `valueAt`: where key and value begin like ones with an id, or -1. */
  withHeaders(places: HeaderPlaces, keyAt: number, valueAt: number, delta: number): boolean
}

// One walk at a time, and none is interrupted.
const cursor: Cursor = { position: 0 }
const places: HeaderPlaces = { count: 0, parts: [], at: [], lengths: [] }

/**
 * Walks over the records of a batch without making an object of any. `payload` is decompressed. Does not verify the checksum, so a
 * damaged batch may tell nonsense or be found out: `TWINLOG_CORRUPT_BATCH`.
 */
export function walkPlaces(batch: BatchView, payload: Buffer, ranges: readonly DeltaRange[], sink: PlaceSink): void {
  try {
    walk(batch.count, payload, ranges, sink)
  } catch (cause) {
    if (cause instanceof RangeError) throw corrupt(batch.baseOffset, cause.message, cause)
    throw cause
  }
}

function walk(count: number, payload: Buffer, ranges: readonly DeltaRange[], sink: PlaceSink): void {
  let at = 0
  let nextRange = 0
  let { from, to } = ranges[nextRange++] ?? { from: 0, to: 0 }
  for (let index = 0; index < count; index++) {
    cursor.position = at
    const length = readVarint(payload, cursor)
    const end = cursor.position + length
    if (length < 0 || end > payload.length) throw new RangeError(`record ${index} runs over the end`)
    // Behind the attributes, the difference of the time stamps.
    at = cursor.position + 1
    while ((payload[at] as number) >= 0x80) at++
    cursor.position = at + 1
    at = end
    const delta = readVarint(payload, cursor)
    while (delta >= to) {
      const range = ranges[nextRange++]
      if (range === undefined) return
      ;({ from, to } = range)
    }
    if (delta < from) continue
    const keyLength = readVarint(payload, cursor)
    const keyAt = cursor.position
    if (keyLength > 0) cursor.position = keyAt + keyLength
    const valueLength = readVarint(payload, cursor)
    const valueAt = cursor.position
    if (valueLength > 0) cursor.position = valueAt + valueLength
    const headers = readVarint(payload, cursor)
    if (cursor.position > end || headers < 0) throw new RangeError(`record ${index} does not have the length it says`)
    if (headers > 0 && findHeaders(payload, headers)) {
      const key = namesId(payload, keyAt, keyLength) ? keyAt : -1
      const value = namesId(payload, valueAt, valueLength) ? valueAt : -1
      if (sink.withHeaders(places, key, value, delta)) return
      continue
    }
    if (namesId(payload, keyAt, keyLength) && sink.prefix('key', readId(payload, keyAt), keyAt, delta)) return
    if (namesId(payload, valueAt, valueLength) && sink.prefix('value', readId(payload, valueAt), valueAt, delta)) return
  }
}

/** Registries give no negative ids. */
function namesId(payload: Buffer, at: number, length: number): boolean {
  return length >= ID_BYTES && payload[at] === ID_MAGIC && (payload[at + ID_AT] as number) < 0x80
}

/** The id of what begins here. */
export function readId(payload: Buffer, start: number): number {
  const at = start + ID_AT
  const high = ((payload[at] as number) << 24) | ((payload[at + 1] as number) << 16)
  return high | ((payload[at + 2] as number) << 8) | (payload[at + 3] as number)
}

function findHeaders(payload: Buffer, count: number): boolean {
  places.count = 0
  for (let index = 0; index < count; index++) {
    const nameLength = readVarint(payload, cursor)
    if (nameLength < 0) throw new RangeError('a header has no name')
    const nameAt = cursor.position
    cursor.position = nameAt + nameLength
    const length = readVarint(payload, cursor)
    const at = cursor.position
    if (length > 0) cursor.position = at + length
    const part = partOf(payload, nameAt, nameLength)
    if (part === undefined || length < 0) continue
    places.parts[places.count] = part
    places.at[places.count] = at
    places.lengths[places.count] = length
    places.count++
  }
  if (cursor.position > payload.length) throw new RangeError('a header runs over the end')
  return places.count > 0
}

function partOf(payload: Buffer, at: number, length: number): Part | undefined {
  if (length === VALUE_HEADER.length) return isSame(payload, at, VALUE_HEADER) ? 'value' : undefined
  if (length === KEY_HEADER.length) return isSame(payload, at, KEY_HEADER) ? 'key' : undefined
  return undefined
}

function isSame(payload: Buffer, at: number, name: Buffer): boolean {
  for (let index = 0; index < name.length; index++) if (payload[at + index] !== name[index]) return false
  return true
}
