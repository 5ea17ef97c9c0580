import { BATCH, CODEC_MASK, LOG_APPEND_TIME_BIT, TRANSACTIONAL_BIT } from './batch.js'
import { crc32cCombineShift, crcStep } from './crc32c.js'

export interface Stamp {
  producerId: bigint
  producerEpoch: number
  baseSequence: number
  /** Set when the batch goes into a transaction of ours; otherwise the bit is cleared. */
  transactional?: boolean | undefined
}

/** Attribute bits that survive: codec and timestamp type. Transactional, control, delete horizon and unknown ones do not. */
const KEPT_ATTRIBUTES = CODEC_MASK | LOG_APPEND_TIME_BIT

// Splitting an int64 costs more than all the rest, and a producer id stays the same for days.
let lastProducerId = 0n
let producerIdHigh = 0
let producerIdLow = 0

/**
 * Puts our producer id, epoch and sequence into the header, in place, and returns the same buffer.
 *
 * CRC is linear: the difference of two checksums is the checksum of the differing bytes, shifted past what follows them. So the
 * body is not read, and a body that was damaged on the way here still fails the target's check.
 */
export function stampBatch(bytes: Buffer, stamp: Stamp): Buffer {
  if (stamp.producerId !== lastProducerId) {
    lastProducerId = stamp.producerId
    producerIdHigh = Number(BigInt.asIntN(32, lastProducerId >> 32n))
    producerIdLow = Number(BigInt.asIntN(32, lastProducerId))
  }
  const low = (bytes[BATCH.attributes + 1] as number) & KEPT_ATTRIBUTES
  const attributes = stamp.transactional === true ? low | TRANSACTIONAL_BIT : low

  let register = replace(bytes, BATCH.attributes, 0, 0)
  register = replace(bytes, BATCH.attributes + 1, attributes, register)
  if (register !== 0) {
    register = crc32cCombineShift(register, BATCH.producerId - BATCH.attributes - 2)
  }
  register = replace32(bytes, BATCH.producerId, producerIdHigh, register)
  register = replace32(bytes, BATCH.producerId + 4, producerIdLow, register)
  register = replace(bytes, BATCH.producerEpoch, (stamp.producerEpoch >> 8) & 0xff, register)
  register = replace(bytes, BATCH.producerEpoch + 1, stamp.producerEpoch & 0xff, register)
  register = replace32(bytes, BATCH.baseSequence, stamp.baseSequence, register)

  const difference = crc32cCombineShift(register, bytes.length - BATCH.count)
  xor32(bytes, BATCH.crc, difference)
  bytes.fill(0, BATCH.baseOffset, BATCH.baseOffset + 8)
  return bytes
}

/** Writes a byte and feeds what changed into the difference's checksum register. */
function replace(bytes: Buffer, position: number, value: number, register: number): number {
  const changed = (bytes[position] as number) ^ value
  bytes[position] = value
  return crcStep(register, changed)
}

function replace32(bytes: Buffer, position: number, value: number, register: number): number {
  register = replace(bytes, position, value >>> 24, register)
  register = replace(bytes, position + 1, (value >>> 16) & 0xff, register)
  register = replace(bytes, position + 2, (value >>> 8) & 0xff, register)
  return replace(bytes, position + 3, value & 0xff, register)
}

function xor32(bytes: Buffer, position: number, value: number): void {
  bytes[position] = (bytes[position] as number) ^ (value >>> 24)
  bytes[position + 1] = (bytes[position + 1] as number) ^ ((value >>> 16) & 0xff)
  bytes[position + 2] = (bytes[position + 2] as number) ^ ((value >>> 8) & 0xff)
  bytes[position + 3] = (bytes[position + 3] as number) ^ (value & 0xff)
}
