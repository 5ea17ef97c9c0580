import fc from 'fast-check'
import { compressSync } from 'snappy'
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { codecFor, compressionOf, isCodecLoaded, loadCodec } from '../../../src/records/compression.js'
import type { CompressionName } from '../../../src/records/types.js'

const CODECS: CompressionName[] = ['gzip', 'snappy', 'lz4', 'zstd']

beforeAll(async () => {
  for (const codec of CODECS) await loadCodec(codec)
})

afterEach(() => {
  vi.doUnmock('snappy')
  vi.resetModules()
})

describe('compression', () => {
  it.each(CODECS)('%s gives back any content', codec => {
    const { compress, decompress } = codecFor(codec)
    const short = fc.uint8Array({ maxLength: 300 }).map(array => Buffer.from(array))
    fc.assert(
      fc.property(short, data => {
        expect(decompress(compress(data)).equals(data)).toBe(true)
      })
    )
    // Larger than one snappy block, one lz4 block and the first guess for a zstd frame.
    const noise = Buffer.from(Array.from({ length: 1_100_000 }, (_, index) => (index * index * 31) >> 7))
    expect(decompress(compress(noise)).equals(noise)).toBe(true)
    const flat = Buffer.alloc(5_000_000, 7)
    expect(decompress(compress(flat)).equals(flat)).toBe(true)
  })

  it.each(CODECS)('%s throws on damaged content', codec => {
    const { compress, decompress } = codecFor(codec)
    const data = compress(Buffer.alloc(100_000, 'twinlog '))
    expect(() => decompress(data.subarray(0, data.length >> 1))).toThrow()
  })

  it('zstd reads large frames that do not say their content size, as Java writes them', () => {
    // Magic, no content size, window of 2 MB, then blocks that repeat one byte 128 KB long (RFC 8878, 3.1.1).
    const blocks = Array.from({ length: 10 }, (_, index) => {
      const block = Buffer.alloc(4)
      block.writeUIntLE((131_072 << 3) | (1 << 1) | (index === 9 ? 1 : 0), 0, 3)
      block[3] = index
      return block
    })
    const frame = Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58]), ...blocks])
    const content = Buffer.concat(blocks.map((_, index) => Buffer.alloc(131_072, index)))
    expect(codecFor('zstd').decompress(frame).equals(content)).toBe(true)
  })

  it('reads snappy without framing, and framed streams one behind the other', () => {
    const { compress, decompress } = codecFor('snappy')
    const raw = compressSync(Buffer.from('raw block'))
    expect(decompress(raw).toString()).toBe('raw block')
    const twice = Buffer.concat([compress(Buffer.from('one,')), compress(Buffer.from('two'))])
    expect(decompress(twice).toString()).toBe('one,two')
  })

  it('reads the codec from the attributes and refuses unknown ones', () => {
    expect([0, 1, 2, 3, 4].map(compressionOf)).toEqual(['none', 'gzip', 'snappy', 'lz4', 'zstd'])
    expect(compressionOf(0x7c)).toBe('zstd')
    expect(() => compressionOf(5)).toThrow(expect.objectContaining({ code: 'TWINLOG_UNSUPPORTED' }))
  })

  it('names the package to install when it is missing, and tries again on the next call', async () => {
    vi.resetModules()
    vi.doMock('snappy', () => {
      throw new Error('Cannot find package')
    })
    const fresh = await import('../../../src/records/compression.js')
    await expect(fresh.loadCodec('snappy')).rejects.toMatchObject({
      code: 'TWINLOG_UNSUPPORTED',
      message: expect.stringContaining('npm install snappy')
    })
    expect(fresh.isCodecLoaded('snappy')).toBe(false)
    expect(() => fresh.codecFor('snappy')).toThrow('loadCodec')
    vi.doUnmock('snappy')
    await fresh.loadCodec('snappy')
    expect(fresh.isCodecLoaded('snappy')).toBe(true)
    expect(isCodecLoaded('snappy')).toBe(true)
  })
})
