import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FramePool } from '../../../src/kafka/frame-pool.js'
import { FrameAssembler } from '../../../src/kafka/framing.js'

const KB = 1024

function framed(lengths: number[]): { frames: Buffer[]; stream: Buffer } {
  const frames = lengths.map((length, index) => Buffer.alloc(length, index + 1))
  const withLength = frames.flatMap(frame => {
    const length = Buffer.alloc(4)
    length.writeInt32BE(frame.length)
    return [length, frame]
  })
  return { frames, stream: Buffer.concat(withLength) }
}

describe('cutting the byte stream into frames', () => {
  it('gives the same frames however the bytes come, copied from chunks or read in place, with and without a pool', () => {
    const lengths = fc.array(fc.oneof(fc.integer({ min: 4, max: 300 }), fc.integer({ min: 50 * KB, max: 400 * KB })), {
      minLength: 1,
      maxLength: 6
    })
    const reads = fc.infiniteStream(fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 200 * KB })))
    fc.assert(
      fc.property(lengths, reads, fc.boolean(), fc.boolean(), (sizes, steps, inPlace, pooled) => {
        const { frames, stream } = framed(sizes)
        const got: Buffer[] = []
        const assembler = new FrameAssembler(pooled ? new FramePool() : undefined)
        assembler.deliver({
          frame: frame => got.push(frame),
          broken: error => {
            throw error
          }
        })
        for (let position = 0; position < stream.length; ) {
          const wanted = stream.subarray(position, position + (steps.next().value ?? 1))
          if (inPlace) {
            const taken = wanted.copy(assembler.space())
            assembler.received(taken)
            position += taken
          } else {
            assembler.push(wanted)
            position += wanted.length
          }
        }
        expect(got.map(frame => frame.length)).toEqual(sizes)
        expect(got.every((frame, index) => frame.equals(frames[index] as Buffer))).toBe(true)
      }),
      { numRuns: 60 }
    )
  })

  it('reads a large frame into its own memory and nothing behind it', () => {
    const assembler = new FrameAssembler()
    assembler.deliver({ frame: () => undefined, broken: () => undefined })
    const length = Buffer.alloc(4)
    length.writeInt32BE(1024 * KB)
    length.copy(assembler.space())
    assembler.received(4)
    expect(assembler.space().length).toBe(1024 * KB)
  })

  it('says that the peer does not speak Kafka, and does not throw into the socket', () => {
    const errors: string[] = []
    const assembler = new FrameAssembler()
    assembler.deliver({ frame: () => undefined, broken: error => errors.push(error.message) })
    Buffer.from('HTTP/1.1 400 Bad Request').copy(assembler.space())
    assembler.received(24)
    expect(errors).toEqual([expect.stringContaining('not a Kafka listener')])
  })
})

describe('memory of large frames', () => {
  it('is used again when the last holder has released it, and not before', () => {
    const pool = new FramePool()
    const first = pool.take(900 * KB)
    const lease = pool.leaseOf(first.subarray(10, 20))
    lease?.hold()
    lease?.release()
    expect(pool.take(900 * KB).buffer).not.toBe(first.buffer)
    lease?.release()
    const again = pool.take(700 * KB)
    expect(again.buffer).toBe(first.buffer)
    expect(again.length).toBe(700 * KB)
    expect(pool.leaseOf(again)).not.toBe(lease)
  })

  it('has a lease for each frame and none for views of other memory', () => {
    const pool = new FramePool()
    expect(pool.leaseOf(Buffer.alloc(10))).toBeUndefined()
    expect(pool.leaseOf(pool.take(300 * KB))?.covers(Buffer.alloc(10))).toBe(false)
    const small = pool.take(1000)
    expect(pool.leaseOf(small)).toMatchObject({ capacity: 1000 })
    pool.leaseOf(small)?.release()
    expect(pool.take(1000).buffer).not.toBe(small.buffer)
  })

  it('is not used again once a holder could not be certain that nobody reads it', () => {
    const pool = new FramePool()
    const frame = pool.take(900 * KB)
    const lease = pool.leaseOf(frame)
    let ended = 0
    lease?.whenEnded(() => ended++)
    lease?.whenEnded(() => ended++)
    lease?.hold()
    lease?.abandon()
    expect(ended).toBe(0)
    lease?.release()
    expect(ended).toBe(2)
    expect(pool.freeBytes).toBe(0)
    expect(pool.take(900 * KB).buffer).not.toBe(frame.buffer)
  })

  it('is not given to frames that are much smaller: all of it counts while one view lives', () => {
    const pool = new FramePool()
    const large = pool.take(4096 * KB)
    pool.leaseOf(large)?.release()
    expect(pool.take(1024 * KB).buffer).not.toBe(large.buffer)
    expect(pool.take(2048 * KB).buffer).toBe(large.buffer)
  })

  it('gives a copy a frame of its own', () => {
    const pool = new FramePool()
    const view = Buffer.from('some records')
    const copy = pool.copyOf(view)
    expect(copy.equals(view)).toBe(true)
    expect(pool.leaseOf(copy)?.covers(copy)).toBe(true)
    expect(pool.leaseOf(copy)?.covers(view)).toBe(false)
  })

  it('keeps a bounded amount of free memory', () => {
    const pool = new FramePool()
    const frames = Array.from({ length: 10 }, () => pool.take(4096 * KB))
    const memories = new Set(frames.map(frame => frame.buffer))
    for (const frame of frames) pool.leaseOf(frame)?.release()
    const reused = Array.from({ length: 10 }, () => pool.take(4096 * KB)).filter(frame => memories.has(frame.buffer))
    expect(reused.length).toBe(4)
  })
})
