import * as zlib from 'node:zlib'
import { TwinlogError } from '../errors.js'
import { CODEC_MASK } from './batch.js'
import { compressXerial, decompressXerial } from './snappy-xerial.js'
import type { Codec, CompressionName } from './types.js'

const NAMES: readonly CompressionName[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

const loaded = new Map<CompressionName, Codec>()
const loading = new Map<CompressionName, Promise<void>>()

const LOADERS: Record<CompressionName, () => Promise<Codec>> = {
  none: () => Promise.resolve({ compress: data => data, decompress: data => data }),
  gzip: () => Promise.resolve({ compress: data => zlib.gzipSync(data), decompress: data => zlib.gunzipSync(data) }),
  snappy: loadSnappy,
  lz4: loadLz4,
  zstd: loadZstd
}

/** The codec that a batch's attributes name. */
export function compressionOf(attributes: number): CompressionName {
  const name = NAMES[attributes & CODEC_MASK]
  if (name !== undefined) return name
  throw new TwinlogError(
    'TWINLOG_UNSUPPORTED',
    `A record batch uses compression codec ${attributes & CODEC_MASK}, which twinlog does not know; it knows ${NAMES.join(', ')}.`
  )
}

/** The attribute bits that name a codec. */
export function compressionBits(name: CompressionName): number {
  return NAMES.indexOf(name)
}

/** Makes a codec available to the synchronous functions of this room. Cheap when it is loaded already. */
export function loadCodec(name: CompressionName): Promise<void> {
  let promise = loading.get(name)
  if (promise === undefined) {
    promise = LOADERS[name]().then(
      codec => {
        loaded.set(name, codec)
      },
      (error: unknown) => {
        // The package may be installed later in the life of the process: the next call tries again.
        loading.delete(name)
        throw error
      }
    )
    loading.set(name, promise)
  }
  return promise
}

export function isCodecLoaded(name: CompressionName): boolean {
  return loaded.has(name)
}

/** A loaded codec; the caller has awaited {@link loadCodec} for what `neededCodecs` named. */
export function codecFor(name: CompressionName): Codec {
  const codec = loaded.get(name)
  if (codec !== undefined) return codec
  throw new TwinlogError('TWINLOG_INTERNAL', `Codec ${name} is used before loadCodec('${name}') has finished.`)
}

async function loadSnappy(): Promise<Codec> {
  const snappy = await optional('snappy', 'snappy', () => import('snappy'))
  return {
    compress: data => compressXerial(data, block => snappy.compressSync(block)),
    decompress: data => decompressXerial(data, block => snappy.uncompressSync(block, { asBuffer: true }) as Buffer)
  }
}

async function loadLz4(): Promise<Codec> {
  const lz4 = await optional('lz4', 'lz4-napi', () => import('lz4-napi'))
  return { compress: data => lz4.compressFrameSync(data), decompress: data => lz4.decompressFrameSync(data) }
}

interface NodeZstd {
  zstdCompressSync?: (data: Buffer) => Buffer
  zstdDecompressSync?: (data: Buffer) => Buffer
}

async function loadZstd(): Promise<Codec> {
  // Node 22.15 and later bring zstd along.
  const { zstdCompressSync, zstdDecompressSync } = zlib as NodeZstd
  if (zstdCompressSync !== undefined && zstdDecompressSync !== undefined) {
    return { compress: data => zstdCompressSync(data), decompress: data => zstdDecompressSync(data) }
  }
  const zstd = await optional('zstd', '@bokuweb/zstd-wasm', () => import('@bokuweb/zstd-wasm'))
  await zstd.init()
  return {
    compress: data => bufferOver(zstd.compress(data)),
    decompress: data => growing(data, capacity => bufferOver(zstd.decompress(data, { defaultHeapSize: capacity })))
  }
}

const FIRST_CAPACITY_BYTES = 256 * 1024
const LARGEST_CAPACITY_BYTES = 1024 * 1024 * 1024
/** ZSTD_error_dstSize_tooSmall, as the message of @bokuweb/zstd-wasm ends. */
const TOO_SMALL = /code -70$/

/** Java writes frames without their content size, and @bokuweb/zstd-wasm wants to know it: ask for more until it fits. */
function growing(data: Buffer, attempt: (capacityBytes: number) => Buffer): Buffer {
  for (let capacity = Math.max(FIRST_CAPACITY_BYTES, data.length * 4); ; capacity *= 4) {
    try {
      return attempt(capacity)
    } catch (error) {
      const tooSmall = error instanceof Error && TOO_SMALL.test(error.message)
      if (!tooSmall || capacity > LARGEST_CAPACITY_BYTES / 4) throw error
    }
  }
}

const bufferOver = (data: Uint8Array): Buffer => Buffer.from(data.buffer, data.byteOffset, data.byteLength)

/** An optional package: absent ones are named together with the command that installs them. */
async function optional<T extends object>(codec: CompressionName, name: string, load: () => Promise<T>): Promise<T> {
  try {
    const module = (await load()) as T & { default?: T }
    return module.default ?? module
  } catch (cause) {
    throw new TwinlogError(
      'TWINLOG_UNSUPPORTED',
      `Batches compressed with ${codec} have to be rewritten here, and the package ${name} for it cannot be loaded: run "npm install ${name}".`,
      { cause }
    )
  }
}
