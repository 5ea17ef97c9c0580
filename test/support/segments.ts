import { openSync, closeSync, readdirSync, readFileSync, writeSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Broker } from './kafka.js'

/** Header of a batch as it lies in a segment file. Parsed here once more, so that tests of src/records do not judge themselves. */
export interface StoredBatch {
  file: string
  /** Where it begins in the file, and its length. */
  position: number
  bytes: number
  baseOffset: bigint
  lastOffset: bigint
  /** Records in it: less than its offsets where compaction took some, 0 for an empty batch. */
  count: number
  compression: 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd'
  logAppendTime: boolean
  transactional: boolean
  control: boolean
  deleteHorizon: boolean
  firstTimestamp: bigint
  maxTimestamp: bigint
  producerId: bigint
  producerEpoch: number
  baseSequence: number
}

const HEADER = 61
const CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const

/** Every batch of a partition on a broker's disk, markers included. Reads once more while the log cleaner swaps files. */
export function storedBatches(broker: Broker, topic: string, partition = 0): StoredBatch[] {
  for (let attempt = 0; ; attempt++) {
    try {
      return segmentFiles(broker, topic, partition).flatMap(batchesOf)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || attempt === 5) throw error
    }
  }
}

export function segmentFiles(broker: Broker, topic: string, partition = 0): string[] {
  const directory = join(broker.dataDirectory, `${topic}-${partition}`)
  const names = readdirSync(directory).filter(name => name.endsWith('.log'))
  return names.sort().map(name => join(directory, name))
}

/**
 * Flips bytes in the records of the batch that holds this offset; its checksum stays, and is wrong from now on. The broker must have been
 * stopped in an orderly way: then it trusts its files at the next start and serves the damage as it is.
 */
export function corruptBatch(broker: Broker, topic: string, partition: number, offset: bigint): StoredBatch {
  if (broker.running) throw new Error(`broker ${broker.nodeId} is running: stop() it first`)
  if (!existsSync(join(broker.dataDirectory, '.kafka_cleanshutdown')))
    throw new Error(`broker ${broker.nodeId} was killed: it would check its logs at the start and cut them there`)
  const batch = storedBatches(broker, topic, partition).find(
    each => each.baseOffset <= offset && offset <= each.lastOffset
  )
  if (batch === undefined || batch.bytes < HEADER + 8) throw new Error(`no records at ${topic}-${partition} ${offset}`)
  const at = batch.position + HEADER + ((batch.bytes - HEADER) >> 1)
  const bytes = readFileSync(batch.file).subarray(at, at + 4)
  const handle = openSync(batch.file, 'r+')
  try {
    writeSync(handle, Buffer.from(bytes.map(byte => byte ^ 0xff)), 0, bytes.length, at)
  } finally {
    closeSync(handle)
  }
  return batch
}

function batchesOf(file: string): StoredBatch[] {
  const data = readFileSync(file)
  const batches: StoredBatch[] = []
  for (let position = 0; position + HEADER <= data.length; ) {
    const bytes = 12 + data.readInt32BE(position + 8)
    // Preallocated, or the broker is just writing it.
    if (bytes <= HEADER - 1 || position + bytes > data.length) break
    const attributes = data.readInt16BE(position + 21)
    const baseOffset = data.readBigInt64BE(position)
    batches.push({
      file,
      position,
      bytes,
      baseOffset,
      lastOffset: baseOffset + BigInt(data.readInt32BE(position + 23)),
      count: data.readInt32BE(position + 57),
      compression: CODECS[attributes & 7] ?? 'none',
      logAppendTime: (attributes & 0x08) !== 0,
      transactional: (attributes & 0x10) !== 0,
      control: (attributes & 0x20) !== 0,
      deleteHorizon: (attributes & 0x40) !== 0,
      firstTimestamp: data.readBigInt64BE(position + 27),
      maxTimestamp: data.readBigInt64BE(position + 35),
      producerId: data.readBigInt64BE(position + 43),
      producerEpoch: data.readInt16BE(position + 51),
      baseSequence: data.readInt32BE(position + 53)
    })
    position += bytes
  }
  return batches
}
