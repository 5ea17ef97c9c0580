/**
 * Zigzag varints of the record format, over plain numbers: bigint costs ten times as much and only timestamps need it.
 * A number that does not fit into 2^52 exactly is reported as unsafe and read again as bigint.
 */

/** A reading position that is passed around instead of allocating a result per field. */
export interface Cursor {
  position: number
}

/** Largest magnitude that the number paths work with: sums of two of them are still exact. */
export const SAFE_DELTA = 2 ** 51

const INT64_BITS = 64

/** An int32 in zigzag form. Throws RangeError when it is longer than 5 bytes or runs over the end. */
export function readVarint(data: Uint8Array, cursor: Cursor): number {
  let position = cursor.position
  let byte = data[position++]
  if (byte !== undefined && byte < 0x80) {
    cursor.position = position
    return (byte >>> 1) ^ -(byte & 1)
  }
  let value = 0
  let shift = 0
  while (byte !== undefined && shift < 35) {
    value |= (byte & 0x7f) << shift
    if (byte < 0x80) {
      cursor.position = position
      return (value >>> 1) ^ -(value & 1)
    }
    shift += 7
    byte = data[position++]
  }
  throw new RangeError(shift < 35 ? 'varint runs over the end' : 'varint is longer than 5 bytes')
}

/** An int64 in zigzag form as a number; NaN when it is not below 2^51 in magnitude (read it again with {@link readVarlongBig}). */
export function readVarlong(data: Uint8Array, cursor: Cursor): number {
  let position = cursor.position
  let low = 0
  let scale = 1
  for (let index = 0; index < 10; index++) {
    const byte = data[position++]
    if (byte === undefined) throw new RangeError('varlong runs over the end')
    if (index < 8) low += (byte & 0x7f) * scale
    else if ((byte & 0x7f) !== 0) low = Number.NaN
    scale *= 128
    if (byte < 0x80) {
      cursor.position = position
      if (!(low < 2 * SAFE_DELTA)) return Number.NaN
      return low < 0x80000000 ? (low >>> 1) ^ -(low & 1) : low % 2 === 0 ? low / 2 : -(low + 1) / 2
    }
  }
  throw new RangeError('varlong is longer than 10 bytes')
}

export function readVarlongBig(data: Uint8Array, cursor: Cursor): bigint {
  let value = 0n
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const byte = data[cursor.position++]
    if (byte === undefined) throw new RangeError('varlong runs over the end')
    value |= BigInt(byte & 0x7f) << shift
    if (byte < 0x80) {
      value = BigInt.asUintN(INT64_BITS, value)
      return BigInt.asIntN(INT64_BITS, (value >> 1n) ^ -(value & 1n))
    }
  }
  throw new RangeError('varlong is longer than 10 bytes')
}

/** Bytes that {@link writeVarint} needs. */
export function sizeOfVarint(value: number): number {
  const zigzag = ((value << 1) ^ (value >> 31)) >>> 0
  return zigzag < 0x80 ? 1 : zigzag < 0x4000 ? 2 : zigzag < 0x200000 ? 3 : zigzag < 0x10000000 ? 4 : 5
}

/** Bytes that {@link writeVarlong} needs; the magnitude must be below 2^52. */
export function sizeOfVarlong(value: number): number {
  if (value === (value | 0)) return sizeOfVarint(value)
  let zigzag = value >= 0 ? value * 2 : -value * 2 - 1
  let size = 1
  while (zigzag >= 0x80) {
    zigzag = Math.floor(zigzag / 128)
    size++
  }
  return size
}

export function sizeOfVarlongBig(value: bigint): number {
  let zigzag = toZigzag(value)
  let size = 1
  while (zigzag >= 0x80n) {
    zigzag >>= 7n
    size++
  }
  return size
}

/** Writes an int32 and returns the position behind it. */
export function writeVarint(data: Uint8Array, position: number, value: number): number {
  let zigzag = ((value << 1) ^ (value >> 31)) >>> 0
  while (zigzag >= 0x80) {
    data[position++] = (zigzag & 0x7f) | 0x80
    zigzag >>>= 7
  }
  data[position++] = zigzag
  return position
}

/** Writes an int64 whose magnitude is below 2^52 and returns the position behind it. */
export function writeVarlong(data: Uint8Array, position: number, value: number): number {
  if (value === (value | 0)) return writeVarint(data, position, value)
  let zigzag = value >= 0 ? value * 2 : -value * 2 - 1
  while (zigzag >= 0x80) {
    data[position++] = (zigzag % 128) | 0x80
    zigzag = Math.floor(zigzag / 128)
  }
  data[position++] = zigzag
  return position
}

export function writeVarlongBig(data: Uint8Array, position: number, value: bigint): number {
  let zigzag = toZigzag(value)
  while (zigzag >= 0x80n) {
    data[position++] = Number(zigzag & 0x7fn) | 0x80
    zigzag >>= 7n
  }
  data[position++] = Number(zigzag)
  return position
}

function toZigzag(value: bigint): bigint {
  return BigInt.asUintN(INT64_BITS, (value << 1n) ^ (value >> 63n))
}
