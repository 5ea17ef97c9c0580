import { type Compression, insist, type Shape, type Stage } from '../shape.js'

const BROKER_LIMIT = 1_048_588
const LARGE_LIMIT = 8 << 20

/** Bytes of a signed varint (zigzag). */
function varintBytes(value: number): number {
  let bytes = 1
  for (let rest = value < 0 ? -value * 2 - 1 : value * 2; rest >= 128; rest = Math.floor(rest / 128)) bytes++
  return bytes
}

/** The value with which one record without key and headers makes an uncompressed batch of exactly this size. */
function valueOf(batchBytes: number): number {
  for (let value = batchBytes - 61 - 20; ; value++) {
    // attributes, time stamp delta, offset delta, key length, header count: a byte each
    const body = 5 + varintBytes(value) + value
    if (61 + varintBytes(body) + body >= batchBytes) return value
  }
}

/** Random bytes do not compress, they grow a little. */
function largest(limit: number, compression: Compression): number {
  return compression === 'none' ? valueOf(limit) : Math.floor(limit * 0.995)
}

function verifyLargest(stage: Stage, limit: number): void {
  const bytes = Math.max(...stage.batches().map(batch => batch.bytes))
  if (stage.compression === 'none') insist(bytes === limit, `the largest batch has ${bytes} of ${limit} bytes`)
  else insist(bytes > limit * 0.99, `the largest batch has only ${bytes} of ${limit} bytes`)
}

export const SIZE_SHAPES: Shape[] = [
  {
    name: 'broker-limit',
    write: async (stage, phase) => {
      const bytes = largest(BROKER_LIMIT, stage.compression)
      await stage.write([
        { send: [{ value: { bytes, seed: phase } }] },
        { send: [{ key: 'small', value: 'between' }, {}] },
        { send: [{ value: { bytes, seed: phase + 10 } }] },
        // In a step of its own: the producer would put it into the batch that is full already.
        { send: [{ key: 'behind', value: '' }] },
        // Once decompressed it is larger than any batch may be: it cannot be sent in another way.
        ...(stage.compression === 'none'
          ? []
          : [{ send: [{ key: 'zeros', value: { bytes: 4 << 20 } }, { value: 'next' }] }])
      ])
    },
    verifySetup: stage => verifyLargest(stage, BROKER_LIMIT)
  },
  {
    name: 'sizes',
    write: async (stage, phase) => {
      // Around every length at which a varint grows.
      const sizes = [0, 1, 62, 63, 64, 65, 126, 127, 128, 8_190, 8_191, 8_192, 8_193, 16_384, 100_000, 500_000]
      const records = sizes.flatMap(bytes => [
        { value: { bytes, seed: phase } },
        { key: { bytes, seed: bytes }, value: null }
      ])
      await stage.write([{ send: records }, { send: records.slice(0, 20), onePerBatch: true }])
    }
  },
  {
    name: 'larger-topic',
    configs: { 'max.message.bytes': String(LARGE_LIMIT) },
    write: async (stage, phase) => {
      const bytes = largest(LARGE_LIMIT, stage.compression)
      await stage.write([
        { send: [{ key: 'first', value: 'small' }] },
        { send: [{ value: { bytes, seed: phase } }] },
        { send: [{ key: 'last', value: 'small' }] }
      ])
    },
    verifySetup: stage => verifyLargest(stage, LARGE_LIMIT)
  }
]
