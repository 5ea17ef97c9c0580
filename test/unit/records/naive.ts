/**
 * A second implementation of the record format for the tests: slow, all bigint, bit by bit, and sharing nothing with src/records.
 */
import * as zlib from 'node:zlib'
import { decompressFrameSync } from 'lz4-napi'

export interface PlainRecord {
  offset: bigint
  timestamp: bigint
  key: string | null
  value: string | null
  headers: [string, string | null][]
}

export function naiveCrc32c(data: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of data) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0)
  }
  return (crc ^ 0xffffffff) >>> 0
}

/** Changes header bytes of a batch and gives it a right checksum again. */
export function patched(batch: Buffer, change: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.from(batch)
  change(bytes)
  bytes.writeUInt32BE(naiveCrc32c(bytes.subarray(21)), 17)
  return bytes
}

const hex = (data: Buffer | null) => (data === null ? null : data.toString('hex'))

export function plain(
  records: {
    offset: bigint
    timestamp: bigint
    key: Buffer | null
    value: Buffer | null
    headers: [Buffer, Buffer | null][]
  }[]
): PlainRecord[] {
  return records.map(record => ({
    offset: record.offset,
    timestamp: record.timestamp,
    key: hex(record.key),
    value: hex(record.value),
    headers: record.headers.map(([name, value]) => [name.toString('hex'), hex(value)])
  }))
}

/** Records of one batch: uncompressed, gzip or lz4. */
export function naiveRecords(batch: Buffer): PlainRecord[] {
  const attributes = batch.readInt16BE(21)
  const stored = batch.subarray(61)
  const codec = attributes & 7
  const body = codec === 0 ? stored : codec === 1 ? zlib.unzipSync(stored) : decompressFrameSync(stored)
  const base = batch.readBigInt64BE(0)
  const first = batch.readBigInt64BE(27)
  let rest = [...body]
  const varint = (): bigint => {
    const end = rest.findIndex(byte => byte < 128)
    const groups = rest.slice(0, end + 1)
    rest = rest.slice(end + 1)
    const raw = groups.reduceRight((sum, byte) => sum * 128n + BigInt(byte % 128), 0n)
    return BigInt.asIntN(64, raw % 2n === 0n ? raw / 2n : -(raw + 1n) / 2n)
  }
  const take = (): string | null => {
    const length = Number(varint())
    if (length < 0) return null
    const taken = rest.slice(0, length)
    rest = rest.slice(length)
    return Buffer.from(taken).toString('hex')
  }
  const records: PlainRecord[] = []
  while (rest.length > 0) {
    const length = Number(varint())
    const after = rest.length - length
    rest = rest.slice(1)
    const delta = varint()
    const timestamp = attributes & 8 ? batch.readBigInt64BE(35) : BigInt.asIntN(64, first + delta)
    const record: PlainRecord = { timestamp, offset: base + varint(), key: take(), value: take(), headers: [] }
    for (let left = Number(varint()); left > 0; left--) record.headers.push([take() as string, take()])
    if (rest.length !== after) throw new Error('record length is wrong')
    records.push(record)
  }
  if (records.length !== batch.readInt32BE(57)) throw new Error('record count is wrong')
  return records
}
