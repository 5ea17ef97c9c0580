import { describe, expect, it } from 'vitest'
import type { Gap } from '../../../src/lineage/gap-table.js'
import type { LinkState } from '../../../src/lineage/link-state.js'
import { birthEpoch } from '../../../src/lineage/sequence.js'
import { decodeGapChunk, encodeGapChunk, type GapChunk } from '../../../src/lineage/state-values.js'
import { GapWriter } from '../../../src/mirror/gap-writer.js'

const EPOCH = birthEpoch(70n)
const gap = (number: number): Gap => ({ ordinal: BigInt(number * 3), from: BigInt(number * 4), length: 1n })

function writerOver(o: { fail: (call: number) => boolean }) {
  const written: Gap[][] = []
  const merged: Gap[][] = []
  const split: Gap[][] = []
  let calls = 0
  const state = {
    async writeGaps(_lane: string, chunk: GapChunk) {
      calls += 1
      await new Promise(resolve => setTimeout(resolve, 1))
      if (o.fail(calls)) throw new Error('lost')
      if (chunk.gaps.some(({ era }) => era !== undefined)) return void split.push(chunk.gaps)
      written.push(decodeGapChunk(encodeGapChunk(chunk), 'x').gaps)
    },
    async mergeGaps(_lane: string, chunk: GapChunk) {
      merged.push(decodeGapChunk(encodeGapChunk(chunk), 'x').gaps)
    }
  }
  return { writer: new GapWriter(state as unknown as LinkState, 'lane'), written, merged, split }
}

describe('GapWriter', () => {
  it('lets what waits behind a failed write fail with it, so that no later gap is written without the earlier one', async () => {
    const { writer, written } = writerOver({ fail: call => call === 1 })
    const results = await Promise.allSettled([1, 2, 3].map(number => writer.write(EPOCH, [gap(number)])))
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    expect(written).toEqual([])
    await Promise.all([1, 2, 3].map(number => writer.write(EPOCH, [gap(number)])))
    expect(written).toEqual([[gap(1)], [gap(2)], [gap(3)]])
  })

  it('replaces many chunks by one', async () => {
    const { writer, merged } = writerOver({ fail: () => false })
    for (let number = 0; number < 300; number++) await writer.write(EPOCH, [gap(number)])
    expect(merged).toEqual([Array.from({ length: 256 }, (_unused, number) => gap(number))])
  })

  it('does not put gaps into one chunk when another owner has written some between them', async () => {
    const { writer, merged } = writerOver({ fail: () => false })
    const mine = Array.from({ length: 400 }, (_unused, number) => gap(number)).filter(
      (_gap, number) => number < 100 || number >= 110
    )
    for (const one of mine) await writer.write(EPOCH, [one])
    expect(merged).toEqual([mine.slice(100, 356)])
  })

  it('does not put gaps into one chunk when a new history of the source begins between them', async () => {
    const { writer, merged, split } = writerOver({ fail: () => false })
    const before = Array.from({ length: 100 }, (_unused, number) => gap(number))
    const era: Gap = { ordinal: 300n, from: 400n, length: -50n, era: 340n }
    const behind = Array.from({ length: 300 }, (_unused, number) => {
      const { ordinal, from, length } = gap(number + 100)
      return { ordinal, from: from - 50n, length }
    })
    for (const one of before) await writer.write(EPOCH, [one])
    await writer.write(EPOCH, [era])
    for (const one of behind) await writer.write(EPOCH, [one])
    expect(split).toEqual([[era]])
    expect(merged).toEqual([behind.slice(0, 256)])
  })
})
