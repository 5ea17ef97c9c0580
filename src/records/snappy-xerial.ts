/**
 * The framing that Kafka's Java client puts around snappy blocks (class SnappyOutputStream of xerial's snappy-java):
 * magic 82 "SNAPPY" 00, version int32 = 1, compatible version int32 = 1, then blocks of {length int32, raw snappy}.
 */
const MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00])
const HEADER = Buffer.concat([MAGIC, Buffer.from([0, 0, 0, 1, 0, 0, 0, 1])])

/** Uncompressed bytes per block, as in snappy-java. */
const BLOCK_BYTES = 32 * 1024

type Transform = (data: Buffer) => Buffer

export function compressXerial(data: Buffer, compressBlock: Transform): Buffer {
  const parts: Buffer[] = [HEADER]
  for (let start = 0; start < data.length; start += BLOCK_BYTES) {
    const block = compressBlock(data.subarray(start, start + BLOCK_BYTES))
    const length = Buffer.allocUnsafe(4)
    length.writeInt32BE(block.length)
    parts.push(length, block)
  }
  return Buffer.concat(parts)
}

/** Some clients write one raw snappy block without framing: that is accepted too, as in the Java consumer. */
export function decompressXerial(data: Buffer, decompressBlock: Transform): Buffer {
  if (!hasMagic(data, 0)) return decompressBlock(data)
  const parts: Buffer[] = []
  let position = HEADER.length
  while (position < data.length) {
    // Streams may be concatenated: a header then stands where a block's length is expected.
    if (hasMagic(data, position)) {
      position += HEADER.length
      continue
    }
    const start = position + 4
    const end = start > data.length ? -1 : start + data.readInt32BE(position)
    if (end < start || end > data.length) throw new RangeError(`snappy block at byte ${position} runs over the end`)
    parts.push(decompressBlock(data.subarray(start, end)))
    position = end
  }
  return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts)
}

function hasMagic(data: Buffer, position: number): boolean {
  return (
    data.length >= position + HEADER.length &&
    data.compare(MAGIC, 0, MAGIC.length, position, position + MAGIC.length) === 0
  )
}
