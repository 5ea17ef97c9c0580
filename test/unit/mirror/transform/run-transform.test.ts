import { createHash } from 'node:crypto'
import { beforeAll, describe, expect, it } from 'vitest'
import { TwinlogError } from '../../../../src/errors.js'
import type { MirrorRecord, Transform } from '../../../../src/mirror/transform-types.js'
import {
  type RecordFailure,
  type TransformRunOptions,
  transformSegments
} from '../../../../src/mirror/transform/run-transform.js'
import { carve } from '../../../../src/records/carve.js'
import { loadCodec } from '../../../../src/records/compression.js'
import type { Segment } from '../../../../src/records/types.js'
import { plain } from '../../records/naive.js'
import { batchOf, record, segmentsOf, TOPIC, walk } from './walk.js'

beforeAll(async () => {
  for (const codec of ['gzip', 'lz4'] as const) await loadCodec(codec)
})

const five = () => segmentsOf(batchOf([0, 1, 2, 3, 4].map(offset => record(offset, `v${offset}`))))

function run(segments: Segment[], transform: Transform, more: Partial<TransformRunOptions> = {}) {
  const failures: RecordFailure[] = []
  const options: TransformRunOptions = {
    transform,
    source: TOPIC,
    mine: () => 'mine',
    timeoutMs: 60_000,
    signal: new AbortController().signal,
    maxBatchBytes: 100_000,
    onError: async failure => {
      failures.push(failure)
      return 'drop'
    },
    ...more
  }
  return { failures, result: transformSegments(segments, options) }
}

const valuesOf = async (result: ReturnType<typeof transformSegments>) =>
  walk((await result).batches, 0n).placed.map(({ source, record }) => [
    Number(source),
    record.value === null ? null : Buffer.from(record.value, 'hex').toString()
  ])

/** Bytes that do not compress. */
function noise(seed: string, length: number): Buffer {
  const blocks = Array.from({ length: Math.ceil(length / 32) }, (_, index) =>
    createHash('sha256').update(`${seed} ${index}`).digest()
  )
  return Buffer.concat(blocks).subarray(0, length)
}

const never = () => new Promise<never>(() => undefined)
const turn = () => new Promise(resolve => setImmediate(resolve))

describe('what a transform may do to its records', () => {
  it('lets it write into the buffers it got, and leaves the source bytes alone', async () => {
    for (const codec of ['none', 'gzip'] as const) {
      const bytes = batchOf([record(0, 'card 4711'), record(1, 'none')], codec)
      const before = Buffer.from(bytes)
      const { result } = run(segmentsOf(bytes), given => {
        given.value?.fill('*')
        return given
      })
      expect(await valuesOf(result)).toEqual([
        [0, '*********'],
        [1, '****']
      ])
      expect(bytes.equals(before)).toBe(true)
    }
  })

  it('lets a synchronous one use the same buffer for each result', async () => {
    const scratch = Buffer.alloc(2)
    const { result } = run(five(), (given, { offset }) => {
      scratch.write(`r${offset}`)
      return { ...given, value: scratch }
    })
    expect((await valuesOf(result)).map(([, value]) => value)).toEqual(['r0', 'r1', 'r2', 'r3', 'r4'])
  })

  it('hands a failed record to onError as it was before the transform touched it', async () => {
    for (const codec of ['none', 'lz4'] as const) {
      const original = record(0, 'precious', { headers: [[Buffer.from([0xff]), Buffer.from('h')]] })
      const { failures, result } = run(segmentsOf(batchOf([record(0, 'precious', original)], codec)), given => {
        given.value?.fill(0)
        given.headers.length = 0
        throw new Error('half way')
      })
      expect(await result).toMatchObject({ batches: [], next: 1n, dropped: 1 })
      expect(failures.map(({ record }) => record && plain([record]))).toEqual([plain([original])])
    }
  })

  it('keeps header names that are not UTF-8 where they were left alone, and encodes those that are new', async () => {
    const headers = [
      [Buffer.from([0xff]), Buffer.from('1')],
      [Buffer.from([0xfe]), null],
      [Buffer.from('plain'), null]
    ] as [Buffer, Buffer | null][]
    const names = async (transform: Transform) => {
      const { batches } = await run(segmentsOf(batchOf([record(0, 'v', { headers })])), transform).result
      return walk(batches, 0n).placed[0]?.record.headers.map(([name]) => Buffer.from(name, 'hex').toString('latin1'))
    }
    expect(await names(given => given)).toEqual(['\u00ff', '\u00fe', 'plain'])
    expect(await names(given => ({ ...given, headers: given.headers.slice(1).reverse() }))).toEqual(['plain', '\u00fe'])
    expect(
      await names(given => ({ ...given, headers: given.headers.slice(1).map(([name, value]) => [name, value]) }))
    ).toEqual(['\u00fe', 'plain'])
    const renamed = await names(given => {
      const [first] = given.headers
      if (first) first[0] = 'new é'
      return given
    })
    expect(renamed).toEqual([Buffer.from('new é').toString('latin1'), '\u00fe', 'plain'])
  })

  it('refuses results that cannot be written, and says which field without saying what was in it', async () => {
    const base = (given: MirrorRecord) => ({ ...given })
    const wrong: [string, (given: MirrorRecord) => unknown][] = [
      ['is undefined, not a record', () => undefined],
      ['is of type string', () => 'secret'],
      ['element 1 of what it returned is null', given => [given, null]],
      ['element 0 of what it returned is an array', given => [[given]]],
      ['key of what it returned is of type string', given => ({ ...base(given), key: 'secret' })],
      ['value of what it returned is undefined', given => ({ ...base(given), value: undefined })],
      ['value of what it returned is of type object', given => ({ ...base(given), value: new Uint8Array(1) })],
      ['headers of what it returned is of type object', given => ({ ...base(given), headers: { secret: 1 } })],
      ['header 0 of what it returned is of type string', given => ({ ...base(given), headers: ['secret'] })],
      ['header 0 of what it returned is not', given => ({ ...base(given), headers: [['secret']] })],
      ['value of header 0', given => ({ ...base(given), headers: [['a', 'secret']] })],
      ['timestamp of what it returned is of type number', given => ({ ...base(given), timestamp: 1 })],
      ['timestamp of what it returned is not between', given => ({ ...base(given), timestamp: -2n })],
      ['timestamp of what it returned is not between', given => ({ ...base(given), timestamp: 2n ** 63n })],
      ['topic of what it returned', given => ({ ...base(given), topic: 'secret/topic' })],
      ['topic of what it returned', given => ({ ...base(given), topic: '' })],
      ['partition of what it returned', given => ({ ...base(given), partition: -1 })],
      ['partition of what it returned', given => ({ ...base(given), partition: 1.5 })],
      ['partition of what it returned', given => ({ ...base(given), partition: 2 ** 31 })]
    ]
    for (const [message, transform] of wrong) {
      const { failures, result } = run(segmentsOf(batchOf([record(7, 'v')])), transform as Transform)
      expect(await result).toMatchObject({ batches: [], next: 8n, dropped: 1 })
      expect(failures[0]?.error).toMatchObject({ code: 'TWINLOG_TRANSFORM_FAILED', offset: 7n, ...TOPIC })
      expect(failures[0]?.error.message).toContain(message)
      expect(failures[0]?.error.message).toContain('offset 7 of orders-3')
      expect(failures[0]?.error.message).not.toContain('secret')
    }
  })

  it('keeps what was thrown out of the message and in the cause', async () => {
    const thrown = new SyntaxError('Unexpected token in "secret"')
    const odd = new TwinlogError('TWINLOG_INTERNAL', 'secret')
    for (const [what, name] of [
      [thrown, 'SyntaxError'],
      ['secret', 'an error'],
      [Object.assign(new Error('x'), { name: 'secret value' }), 'an error'],
      [odd, 'TwinlogError']
    ] as const) {
      const throwing: Transform = () => {
        throw what as Error
      }
      for (const transform of [throwing, async () => throwing({} as MirrorRecord, {} as never)]) {
        const { failures, result } = run(segmentsOf(batchOf([record(0, 'v')])), transform)
        await result
        expect(failures[0]?.error).toMatchObject({ code: 'TWINLOG_TRANSFORM_FAILED', cause: what })
        expect(failures[0]?.error.message).toContain(`failed with ${name} at`)
        expect(failures[0]?.error.message).not.toContain('secret')
      }
    }
  })

  it('takes a thenable that throws for a failed transform', async () => {
    const bad = {
      // biome-ignore lint/suspicious/noThenProperty: that is the point
      then() {
        throw new Error('no')
      }
    }
    const { failures, result } = run(segmentsOf(batchOf([record(0, 'v')])), () => bad as never)
    await result
    expect(failures[0]?.error.code).toBe('TWINLOG_TRANSFORM_FAILED')
  })
})

describe('asynchronous transforms', () => {
  it('run up to 32 at once, and their results keep the order of the source', async () => {
    const segments = segmentsOf(batchOf(Array.from({ length: 100 }, (_, index) => record(index, `v${index}`))))
    let running = 0
    let most = 0
    const { result } = run(segments, async (given, { offset }) => {
      most = Math.max(most, ++running)
      for (let left = 3 + Number(offset % 5n); left > 0; left--) await turn()
      running--
      return given
    })
    expect((await valuesOf(result)).map(([source]) => source)).toEqual(Array.from({ length: 100 }, (_, i) => i))
    expect(most).toBe(32)
  })

  it('that never answer are given up after the time-out; their signal says so, and the others count', async () => {
    const signals: AbortSignal[] = []
    const transform: Transform = (given, { offset, signal }) => {
      if (offset % 2n === 0n) return Promise.resolve(given)
      signals.push(signal)
      return never()
    }
    const { failures, result } = run(five(), transform, { timeoutMs: 20 })
    expect((await valuesOf(result)).map(([source]) => source)).toEqual([0, 2, 4])
    expect(failures.map(({ offset }) => offset)).toEqual([1n, 3n])
    for (const { error } of failures) expect(error).toMatchObject({ code: 'TWINLOG_TIMEOUT', retriable: true })
    expect(signals.map(signal => signal.aborted)).toEqual([true, true])
    expect(signals[0]?.reason).toBe(failures[0]?.error)
  })

  it('show an aborted signal also to those who look at it late', async () => {
    const contexts: { signal: AbortSignal }[] = []
    const transform: Transform = (_given, context) => {
      contexts.push(context)
      return never()
    }
    await run(segmentsOf(batchOf([record(0, 'v')])), transform, { timeoutMs: 5 }).result
    expect(contexts[0]?.signal.aborted).toBe(true)
  })

  it('that are still running behind a stop are told so, and what becomes of them does not matter', async () => {
    const signals = new Map<bigint, AbortSignal>()
    const transform: Transform = async (given, { offset, signal }) => {
      signals.set(offset, signal)
      if (offset === 1n) throw new Error('no')
      if (offset > 1n) {
        while (!signal.aborted) await turn()
        throw new Error('late')
      }
      return given
    }
    const { result } = run(five(), transform, { onError: async () => 'stop' })
    expect(await valuesOf(result)).toEqual([[0, 'v0']])
    expect(await result).toMatchObject({ next: 1n, stopped: { offset: 1n }, dropped: 0 })
    expect([...signals].map(([offset, signal]) => [offset, signal.aborted])).toEqual([
      [0n, false],
      [1n, false],
      [2n, true],
      [3n, true],
      [4n, true]
    ])
    await turn()
    await turn()
  })

  it('end with the run when it is aborted, whatever it waits for', async () => {
    const waits: Partial<TransformRunOptions>[] = [
      {},
      { transform: given => given, mine: never },
      {
        transform: () => {
          throw new Error('no')
        },
        onError: never
      }
    ]
    for (const wait of waits) {
      const abort = new AbortController()
      let signal: AbortSignal | undefined
      const hanging: Transform = (_given, context) => {
        signal = context.signal
        return never()
      }
      const { result } = run(five(), wait.transform ?? hanging, { ...wait, signal: abort.signal })
      setImmediate(() => abort.abort())
      await expect(result).rejects.toMatchObject({ code: 'TWINLOG_ABORTED' })
      if (!wait.transform) expect(signal?.aborted).toBe(true)
    }
    const early = run(five(), given => given, { signal: AbortSignal.abort() })
    await expect(early.result).rejects.toMatchObject({ code: 'TWINLOG_ABORTED' })
  })
})

describe('transformSegments', () => {
  it('lets the rest of the process run while a synchronous transform works', async () => {
    const segments = segmentsOf(batchOf(Array.from({ length: 40 }, (_, index) => record(index, 'v'))))
    let turns = 0
    let working = true
    const count = () => {
      turns++
      if (working) setImmediate(count)
    }
    setImmediate(count)
    await run(segments, given => {
      for (const began = performance.now(); performance.now() - began < 1; );
      return given
    }).result
    working = false
    expect(turns).toBeGreaterThanOrEqual(4)
  })

  it('plans the gap between two segments, and leaves one at the end to the next plan', async () => {
    const gap = (from: bigint, to: bigint): Segment => ({ kind: 'gap', from, to, reason: 'marker' })
    const segments = [gap(0n, 2n), ...segmentsOf(batchOf([record(2, 'a'), record(3, 'b')])), gap(4n, 9n)]
    const { batches, next } = await run(segments, given => (given.value?.equals(Buffer.from('a')) ? given : null))
      .result
    expect(batches).toMatchObject([{ from: 2n, to: 3n, count: 1, gaps: [{ index: 0, from: 0n, to: 2n }] }])
    expect(next).toBe(9n)
    expect(await run(segments, () => null).result).toEqual({ batches: [], next: 9n, stopped: undefined, dropped: 0 })
  })

  it('writes expansions down as steps back by one', async () => {
    const segments = segmentsOf(batchOf([record(5, 'a'), record(6, 'b')]))
    const { batches } = await run(segments, given => [given, given, given]).result
    expect(batches[0]).toMatchObject({ from: 5n, to: 7n, count: 6, sourceLeaderEpoch: -1, via: 'rebuild' })
    expect(batches[0]?.gaps).toEqual([
      { index: 1, from: 6n, to: 5n },
      { index: 2, from: 6n, to: 5n },
      { index: 4, from: 7n, to: 6n },
      { index: 5, from: 7n, to: 6n }
    ])
  })

  it('puts small source batches together, but not over a codec, a cut, or the preferred size', async () => {
    const one = (offset: number, codec: 'none' | 'gzip' = 'none') => batchOf([record(offset, 'x'.repeat(200))], codec)
    const counts = async (segments: Segment[], more: Partial<TransformRunOptions> = {}) =>
      (await run(segments, given => given, more).result).batches.map(batch => batch.count)
    const four = () => segmentsOf(one(0), one(1), one(2), one(3))
    expect(await counts(four())).toEqual([4])
    expect(await counts(segmentsOf(one(0), one(1, 'gzip'), one(2, 'gzip'), one(3)))).toEqual([1, 2, 1])
    expect(await counts(carve(four(), { drops: [], cuts: [1n] }))).toEqual([1, 3])
    expect(await counts(four(), { preferredBatchBytes: 400 })).toEqual([2, 2])
    expect(await counts(four(), { maxBatchBytes: 3 * 230 + 61 })).toEqual([2, 2])
  })

  it('never begins a batch over a cut whose own batch came to nothing', async () => {
    const segments = segmentsOf(batchOf([record(0, 'a')]), batchOf([record(1, 'drop')]), batchOf([record(2, 'c')]))
    const cut = carve(segments, { drops: [], cuts: [1n] })
    const { batches } = await run(cut, given => (given.value?.toString() === 'drop' ? null : given)).result
    expect(batches.map(({ from, to }) => [from, to])).toEqual([
      [0n, 1n],
      [2n, 3n]
    ])
  })

  it('treats a damaged batch as one error, with its bytes and its range', async () => {
    const good = batchOf([record(0, 'a')])
    const bad = batchOf([record(1, 'b'), record(2, 'c')])
    bad[bad.length - 2] = (bad[bad.length - 2] as number) ^ 1
    const segments = segmentsOf(good, bad, batchOf([record(3, 'd')]))
    const dropping = run(segments, async given => given)
    expect((await valuesOf(dropping.result)).map(([source]) => source)).toEqual([0, 3])
    expect(dropping.failures).toMatchObject([
      { offset: 1n, to: 3n, record: undefined, error: { code: 'TWINLOG_CORRUPT_BATCH' } }
    ])
    expect(dropping.failures[0]?.raw?.equals(bad)).toBe(true)
    expect(await dropping.result).toMatchObject({ dropped: 2, next: 4n })

    const stopping = run(segments, given => given, { onError: async () => 'stop' })
    expect((await valuesOf(stopping.result)).map(([source]) => source)).toEqual([0])
    expect(await stopping.result).toMatchObject({ next: 1n, stopped: { offset: 1n }, dropped: 0 })
  })

  it('makes a record error of a route that is refused, and fails as a whole when routes cannot be known', async () => {
    const rejected = new TwinlogError('TWINLOG_RECORD_REJECTED', 'no such partition')
    const unknown = new TwinlogError('TWINLOG_UNREACHABLE', 'nobody answers', { retriable: true })
    const failing = (error: TwinlogError) => [
      () => {
        throw error
      },
      () => Promise.reject(error)
    ]
    for (const mine of failing(rejected)) {
      const { failures, result } = run(five(), given => given, { mine })
      expect(await result).toMatchObject({ batches: [], dropped: 5 })
      expect(failures[0]?.error).toBe(rejected)
    }
    for (const mine of failing(unknown)) {
      await expect(run(five(), given => given, { mine }).result).rejects.toBe(unknown)
    }
  })

  it('judges the size of all that one record became, as it is compressed', async () => {
    const transform: Transform = given =>
      Array.from({ length: 20 }, () => ({ ...given, value: Buffer.alloc(1000, 'a') }))
    for (const codec of ['none', 'gzip'] as const) {
      const { failures, result } = run(segmentsOf(batchOf([record(0, 'v')], codec)), transform, {
        maxBatchBytes: 10_000
      })
      const { batches } = await result
      expect(batches.map(({ count }) => count)).toEqual(codec === 'gzip' ? [20] : [])
      expect(failures.map(({ error }) => error.code)).toEqual(codec === 'gzip' ? [] : ['TWINLOG_RECORD_TOO_LARGE'])
    }
  })

  it('splits what turned out longer than its source let expect, but never the outputs of one record', async () => {
    // Compresses to nothing on the source, and not at all on the target.
    const source = batchOf(
      Array.from({ length: 12 }, (_, index) => record(index, 'v'.repeat(1000))),
      'gzip'
    )
    const transform: Transform = (given, { offset }) =>
      [0, 1, 2].map(index => ({ ...given, value: noise(`${offset}/${index}`, 400) }))
    const { batches } = await run(segmentsOf(source), transform, { maxBatchBytes: 5000 }).result
    const { placed } = walk(batches, 0n)
    expect(placed.map(({ source, index }) => Number(source) * 3 + index)).toEqual(
      Array.from({ length: 36 }, (_, i) => i)
    )
    expect(placed[35]?.record.value).toBe(noise('11/2', 400).toString('hex'))
    expect(batches.length).toBeGreaterThan(2)
    for (const batch of batches) {
      expect(batch.bytes.length).toBeLessThanOrEqual(5000)
      expect(batch.count % 3).toBe(0)
    }
  })

  it('writes batches of any length up to the limit', async () => {
    const values = Array.from({ length: 150 }, (_, index) => noise(String(index), 2000))
    const source = values.map((value, index) => batchOf([record(index, null, { value })]))
    const { batches } = await run(segmentsOf(...source), given => given, { maxBatchBytes: 1_000_000 }).result
    expect(batches.length).toBe(1)
    expect(walk(batches, 0n).placed.map(({ record }) => record.value)).toEqual(values.map(v => v.toString('hex')))
  })

  it('refuses segments that leave an offset out, and no segments at all', async () => {
    const [first, , third] = segmentsOf(...[0, 1, 2].map(offset => batchOf([record(offset, 'v')])))
    const error = { code: 'TWINLOG_INTERNAL' }
    await expect(run([first, third] as Segment[], given => given).result).rejects.toMatchObject(error)
    await expect(run([], given => given).result).rejects.toMatchObject(error)
  })
})
