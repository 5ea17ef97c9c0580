import { createRequire } from 'node:module'

type Crc32c = (data: Buffer, seed?: number) => number

// Reflected Castagnoli polynomial.
const POLYNOMIAL = 0x82f63b78

// A call into the native library costs about 120 ns: below this many bytes JavaScript is quicker.
const NATIVE_FROM_BYTES = 128

const TABLES = buildTables()

function buildTables(): Int32Array {
  const tables = new Int32Array(8 * 256)
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1
    tables[byte] = crc
  }
  for (let index = 256; index < tables.length; index++) {
    const previous = tables[index - 256] as number
    tables[index] = (previous >>> 8) ^ (tables[previous & 0xff] as number)
  }
  return tables
}

/** The register's step for one byte, without the inversions at start and end. */
export function crcStep(register: number, byte: number): number {
  return (TABLES[(register ^ byte) & 0xff] as number) ^ (register >>> 8)
}

/** Slice-by-8: what runs where @node-rs/crc32 is not installed, and on short data. */
export function crc32cJs(data: Buffer, seed = 0): number {
  const t = TABLES as { readonly [index: number]: number }
  const d = data as { readonly [index: number]: number }
  let crc = ~seed
  let i = 0
  for (const end = data.length - 7; i < end; i += 8) {
    crc ^= d[i]! | (d[i + 1]! << 8) | (d[i + 2]! << 16) | (d[i + 3]! << 24)
    crc =
      t[1792 + (crc & 0xff)]! ^
      t[1536 + ((crc >>> 8) & 0xff)]! ^
      t[1280 + ((crc >>> 16) & 0xff)]! ^
      t[1024 + (crc >>> 24)]! ^
      t[768 + d[i + 4]!]! ^
      t[512 + d[i + 5]!]! ^
      t[256 + d[i + 6]!]! ^
      t[d[i + 7]!]!
  }
  for (; i < data.length; i++) crc = t[(crc ^ d[i]!) & 0xff]! ^ (crc >>> 8)
  return ~crc >>> 0
}

function loadNative(): Crc32c | undefined {
  try {
    // `__filename` exists in the CommonJS build only, where esbuild leaves import.meta empty.
    const require = createRequire(typeof __filename === 'string' ? __filename : import.meta.url)
    const { crc32c: native } = require('@node-rs/crc32') as { crc32c: Crc32c }
    return native(Buffer.from('123456789')) === 0xe3069283 ? native : undefined
  } catch {
    return undefined
  }
}

let native: Crc32c | undefined | null = null

/** CRC32C (Castagnoli). `seed` is the checksum of what comes before `data`. */
export function crc32c(data: Buffer, seed = 0): number {
  if (data.length < NATIVE_FROM_BYTES) return crc32cJs(data, seed)
  if (native === null) native = loadNative()
  return native === undefined ? crc32cJs(data, seed) : native(data, seed)
}

// Operator k appends 2^k zero bytes to a checksum. An operator is a linear map over GF(2), kept as eight tables of 16 words,
// one per nibble of the checksum: eight look-ups apply it, and all of them together fit into the first-level cache (16 KB).
const OPERATORS = 32
const WORDS = 8 * 16
const SHIFTS = buildShifts()

function buildShifts(): Int32Array {
  const shifts = new Int32Array(OPERATORS * WORDS)
  for (let operator = 0; operator < OPERATORS; operator++) {
    const base = operator * WORDS
    for (let bit = 0; bit < 32; bit++) {
      const basis = 1 << bit
      const image =
        operator === 0 ? crcStep(basis, 0) : applyShift(shifts, base - WORDS, applyShift(shifts, base - WORDS, basis))
      shifts[base + (bit >> 2) * 16 + (1 << (bit & 3))] = image
    }
    for (let nibble = 0; nibble < 8; nibble++) {
      const at = base + nibble * 16
      for (let value = 1; value < 16; value++) {
        const lowest = value & -value
        if (value !== lowest)
          shifts[at + value] = (shifts[at + lowest] as number) ^ (shifts[at + value - lowest] as number)
      }
    }
  }
  return shifts
}

function applyShift(shifts: Int32Array, base: number, crc: number): number {
  const s = shifts as { readonly [index: number]: number }
  return (
    s[base + (crc & 15)]! ^
    s[base + 16 + ((crc >>> 4) & 15)]! ^
    s[base + 32 + ((crc >>> 8) & 15)]! ^
    s[base + 48 + ((crc >>> 12) & 15)]! ^
    s[base + 64 + ((crc >>> 16) & 15)]! ^
    s[base + 80 + ((crc >>> 20) & 15)]! ^
    s[base + 96 + ((crc >>> 24) & 15)]! ^
    s[base + 112 + (crc >>> 28)]!
  )
}

/** `crc(A ‖ B) = crc32cCombineShift(crc(A), |B|) XOR crc(B)`: the checksum's image behind `byteLength` more bytes, in O(log n). */
export function crc32cCombineShift(crc: number, byteLength: number): number {
  let shifted = crc | 0
  for (let base = 0, rest = byteLength; rest !== 0; rest >>>= 1, base += WORDS) {
    if (rest & 1) shifted = applyShift(SHIFTS, base, shifted)
  }
  return shifted >>> 0
}
