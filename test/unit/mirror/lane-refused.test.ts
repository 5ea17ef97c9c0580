import { describe, expect, it, vi } from 'vitest'
import { TwinlogError } from '../../../src/errors.js'
import type { Send } from '../../../src/mirror/lane-buffer.js'
import type { RecordErrorPolicy } from '../../../src/mirror/options.js'
import { viewOf } from '../../../src/records/batch.js'
import { decodeRecords } from '../../../src/records/decode.js'
import { DAY_MS, EPOCH, LaneBench, OWN, workOf } from './lane-bench.js'

const VALUES = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
const LATER = { ...EPOCH, epoch: 1 }
const TOO_LARGE = 10

const valuesOf = (send: Send | undefined) =>
  send ? decodeRecords(viewOf(send.batch.bytes)).map(({ value }) => String(value)) : []

/** One batch of eight records at source offsets 10 to 17, behind two that are copied. */
function withBatch(
  onRecordError: RecordErrorPolicy,
  o: { timestampMs?: number; epoch?: typeof EPOCH } = {}
): LaneBench {
  const { epoch = EPOCH, timestampMs = Date.now() } = o
  const bench = new LaneBench({ work: workOf({ onRecordError }) })
  bench.begin({ epoch, next: 10n, targetEnd: 110n })
  return bench.fetch(1, { values: VALUES, timestampMs }).fetch(1)
}

/** A target that refuses every batch with this value in it; goes on until the lane has nothing more, or is not copying. */
async function copy(bench: LaneBench, bad: string, badRecords: (values: string[]) => number[] = () => []) {
  const copied: string[] = []
  for (let turn = 0; turn < 60; turn++) {
    if (!bench.lane.active) {
      const { recoveries } = bench.host
      if (recoveries.length === 0) break
      recoveries.length = 0
      await bench.lane.troubles.settled()
      const next = BigInt(10 + copied.length)
      const epoch = bench.lane.troubles.broken ? { ...EPOCH, epoch: turn + 1, base: next } : (bench.lane.epoch ?? EPOCH)
      bench.begin({ next, targetEnd: 100n + next, epoch })
    }
    if (bench.lane.drained) {
      if (bench.lane.position >= 20n) break
      refetch(bench)
    }
    await Promise.resolve()
    const send = bench.lane.peek() && bench.lane.take()
    if (!send) continue
    const values = valuesOf(send)
    if (values.includes(bad)) bench.refused(send, TOO_LARGE, badRecords(values))
    else {
      bench.appended(send, send.first + 100n)
      copied.push(...values)
    }
  }
  return copied
}

/** The source once more, from where the lane stands. */
function refetch(bench: LaneBench): void {
  const from = Number(bench.lane.position)
  if (from < 18) {
    const whole = bench.answer(1, { values: VALUES })
    whole.records.writeBigInt64BE(10n, 0)
    const segments = bench.lane.read(whole, BigInt(from))
    if (segments) void bench.lane.ingest(segments)
  } else bench.fetch(1)
}

describe('a record that the target refuses', () => {
  it('is found by halves: what is before it is copied, and the lane stops at its very offset', async () => {
    const bench = withBatch('stop-partition')
    const copied = await copy(bench, 'f')
    expect(copied).toEqual(['a', 'b', 'c', 'd', 'e'])
    expect(bench.lane.state).toBe('failed')
    expect(bench.lane.error).toMatchObject({
      code: 'TWINLOG_RECORD_TOO_LARGE',
      offset: 15n,
      topic: 'orders',
      partition: 3
    })
    expect([bench.host.left, bench.lane.acknowledgedNext]).toEqual([[], 15n])
  })

  it('is left out when that is the policy, and nothing else', async () => {
    const bench = withBatch('skip')
    const copied = await copy(bench, 'f')
    expect(copied).toEqual(['a', 'b', 'c', 'd', 'e', 'g', 'h', 'a', 'b'])
    expect(bench.host.left).toMatchObject([{ offset: 15n, to: 16n, error: { code: 'TWINLOG_RECORD_TOO_LARGE' } }])
    expect(bench.host.left[0]?.record?.value?.toString()).toBe('f')
    // What was planned behind it has other ordinals now.
    expect(bench.lane.epoch?.epoch).toBeGreaterThan(0)
    expect(bench.host.gaps.at(-1)?.gaps).toEqual([{ ordinal: 15n, from: 15n, length: 1n }])
  })

  it('is named by some brokers', async () => {
    const bench = withBatch('skip')
    const copied = await copy(bench, 'f', values => [values.indexOf('f')])
    expect(copied).toEqual(['a', 'b', 'c', 'd', 'e', 'g', 'h', 'a', 'b'])
    expect(bench.host.left).toMatchObject([{ offset: 15n }])
  })

  it('is looked for by halves where the lane stops at it, also when the broker names it: what precedes it is copied', () => {
    const bench = withBatch('stop-partition')
    bench.refused(bench.send()[0], 87, [2])
    expect(bench.lane.state).not.toBe('failed')
    expect(bench.host.recoveries).toHaveLength(1)
  })

  it('is left out only once the word about it is where it has to be', async () => {
    const bench = withBatch({ deadLetterTopic: 'dlq' })
    let write: () => void = () => undefined
    bench.host.onDropped = () => new Promise(resolve => (write = resolve))
    bench.refused(bench.send()[0], 87, [0])
    expect(bench.host.recoveries).toHaveLength(1)
    let settled = false
    const waiting = bench.lane.troubles.settled().then(() => (settled = true))
    await vi.waitFor(() => expect(write).not.toBe(undefined))
    await new Promise(resolve => setTimeout(resolve, 5))
    expect(settled).toBe(false)
    write()
    await waiting
    bench.begin({ next: 10n, targetEnd: 110n, epoch: LATER })
    refetch(bench)
    await vi.waitFor(() => expect(valuesOf(bench.send()[0])).toEqual(VALUES.slice(1)))
  })

  it('is refused again, and told again, when the word about it could not be written', async () => {
    // Symptom: every later attempt to start the lane found the same old failure.
    const bench = withBatch({ deadLetterTopic: 'dlq' })
    bench.host.onDropped = () => Promise.reject(new TwinlogError('TWINLOG_UNAUTHORIZED', 'no right to write'))
    bench.refused(bench.send()[0], 87, [0])
    await expect(bench.lane.troubles.settled()).rejects.toThrow('no right to write')
    await expect(bench.lane.troubles.settled()).resolves.toBeUndefined()
    bench.host.onDropped = () => Promise.resolve()
    bench.begin({ next: 10n, targetEnd: 110n, epoch: LATER })
    refetch(bench)
    const [send] = bench.send()
    expect(valuesOf(send)).toEqual(VALUES)
    bench.refused(send, 87, [0])
    await bench.lane.troubles.settled()
    expect(bench.host.left).toMatchObject([{ offset: 10n }])
  })

  it('is found also among old records, where each refusal costs the transaction and all memory', async () => {
    // Symptom: the halves were forgotten with the epoch, and the whole batch was refused again for ever.
    const bench = withBatch('stop-partition', { epoch: OWN, timestampMs: Date.now() - 2 * DAY_MS })
    let size = 8
    for (let round = 0; size > 1; round++) {
      expect(bench.lane.peek()).toBeUndefined()
      await bench.calls.answer()
      const send = bench.lane.peek() && bench.lane.take()
      expect(send?.batch.count).toBe(size)
      bench.refused(send, TOO_LARGE)
      size /= 2
      expect(bench.lane.troubles.broken).toBe(true)
      bench.begin({ next: 10n, targetEnd: 110n, epoch: { ...OWN, epoch: 4 + round } })
      const whole = bench.answer(1, { values: VALUES, timestampMs: Date.now() - 2 * DAY_MS })
      void bench.lane.ingest(bench.lane.read(whole, 10n) ?? [])
    }
    expect(bench.lane.peek()).toBeUndefined()
    await bench.calls.answer()
    const one = bench.lane.peek() && bench.lane.take()
    expect(valuesOf(one)).toEqual(['a'])
    bench.refused(one, TOO_LARGE)
    expect(bench.lane.error).toMatchObject({ offset: 10n })
  })
})

describe('a batch that was damaged on the source', () => {
  const damage = (bytes: Buffer) => bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 0xff, bytes.length - 1)

  it('is told as what it is when the target refuses it', () => {
    const bench = new LaneBench().begin()
    const answer = bench.answer(1)
    damage(answer.records)
    void bench.lane.ingest(bench.lane.read(answer, 0n) ?? [])
    bench.refused(bench.send()[0], 2)
    expect(bench.lane.error).toMatchObject({
      code: 'TWINLOG_CORRUPT_BATCH',
      offset: 0n,
      message: expect.stringContaining('source partition orders-3')
    })
  })

  it('is left out as a whole, with its bytes', async () => {
    const bench = new LaneBench({ work: workOf({ onRecordError: 'skip' }) }).begin()
    const answer = bench.answer(1)
    damage(answer.records)
    void bench.lane.ingest(bench.lane.read(answer, 0n) ?? [])
    bench.refused(bench.send()[0], 2)
    await bench.lane.troubles.settled()
    expect(bench.host.left).toMatchObject([{ offset: 0n, to: 2n, raw: expect.any(Buffer) }])
    expect(bench.lane.troubles.broken).toBe(true)
    bench.begin({ epoch: LATER })
    void bench.lane.ingest(bench.lane.read(answer, 0n) ?? [])
    expect([bench.lane.position, bench.lane.drained, bench.lane.reached]).toEqual([2n, true, 2n])
  })

  it.each(['stop-partition', 'skip'] as const)(
    'and has to be opened: the policy %s counts too',
    async onRecordError => {
      // Small batches are put together, for which their checksums are looked at.
      const bench = new LaneBench({ work: workOf({ onRecordError }), limits: { coalesceBelowBytes: 1_000 } }).begin()
      const answer = bench.answer(3)
      const each = answer.records.length / 3
      damage(answer.records.subarray(each, 2 * each))
      await bench.lane.ingest(bench.lane.read(answer, 0n) ?? [])
      if (onRecordError === 'skip') {
        expect(bench.host.left).toMatchObject([{ offset: 2n, to: 4n, error: { code: 'TWINLOG_CORRUPT_BATCH' } }])
        await Promise.resolve()
        expect(bench.host.gaps).toMatchObject([{ gaps: [{ ordinal: 2n, from: 2n, length: 2n }] }])
        expect(bench.lane.position).toBe(6n)
        return
      }
      // What is before it goes out first.
      expect([bench.lane.state, bench.lane.wantsFetch]).toEqual(['copying', false])
      const [before, ...others] = bench.send()
      expect([before?.end, others]).toEqual([2n, []])
      bench.appended(before, 100n)
      expect(bench.lane.state).toBe('failed')
      expect(bench.lane.error).toMatchObject({ code: 'TWINLOG_CORRUPT_BATCH', offset: 2n })
      expect(bench.pair).toEqual({ next: 2n, targetEnd: 102n })
    }
  )

  it('stops a lane that was paused meanwhile when it is resumed', async () => {
    // Symptom: it neither failed nor fetched, for ever.
    const bench = new LaneBench({ limits: { coalesceBelowBytes: 1_000 } }).begin()
    const answer = bench.answer(2)
    damage(answer.records)
    await bench.lane.ingest(bench.lane.read({ ...answer, records: Buffer.concat([bench.answer(1).records]) }, 0n) ?? [])
    const rest = bench.answer(1, {})
    rest.records.writeBigInt64BE(2n, 0)
    damage(rest.records)
    const small = bench.lane.read(
      { ...rest, records: Buffer.concat([rest.records, shifted(bench.answer(1).records, 4n)]) },
      2n
    )
    await bench.lane.ingest(small ?? [])
    bench.lane.pause()
    for (const send of bench.send()) bench.appended(send, 100n)
    expect(bench.lane.state).toBe('paused')
    bench.lane.resume()
    expect(bench.lane.state).toBe('failed')
  })
})

const shifted = (bytes: Buffer, offset: bigint) => {
  bytes.writeBigInt64BE(offset, 0)
  return bytes
}
