import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AcknowledgedRanges } from '../../../src/failover/acknowledged.js'

describe('AcknowledgedRanges', () => {
  it('keeps one range for acknowledgements that follow each other', () => {
    const ranges = new AcknowledgedRanges()
    for (let i = 0n; i < 1000n; i++) ranges.add({ topic: 't', partition: 0, from: i * 3n, to: i * 3n + 3n })
    expect(ranges.list()).toEqual([{ topic: 't', partition: 0, from: 0n, to: 3000n }])
  })

  it('ignores an empty range', () => {
    const ranges = new AcknowledgedRanges()
    ranges.add({ topic: 't', partition: 0, from: 5n, to: 5n })
    expect(ranges.list()).toEqual([])
  })

  it('holds exactly the offsets that were added and not dropped, whatever the order', () => {
    const range = fc.record({ partition: fc.nat(1), from: fc.nat(40), count: fc.nat(6) })
    const drop = fc.record({ partition: fc.nat(1), below: fc.nat(45) })
    fc.assert(
      fc.property(fc.array(fc.oneof(range, drop), { maxLength: 40 }), steps => {
        const ranges = new AcknowledgedRanges()
        const model = [new Set<number>(), new Set<number>()]
        for (const step of steps) {
          const held = model[step.partition] as Set<number>
          if ('below' in step) {
            ranges.dropBelow('t', step.partition, BigInt(step.below))
            for (const offset of held) if (offset < step.below) held.delete(offset)
          } else {
            ranges.add({
              topic: 't',
              partition: step.partition,
              from: BigInt(step.from),
              to: BigInt(step.from + step.count)
            })
            for (let i = 0; i < step.count; i++) held.add(step.from + i)
          }
        }
        for (const partition of [0, 1]) {
          const list = ranges.list().filter(r => r.partition === partition)
          const offsets = list.flatMap(r => Array.from({ length: Number(r.to - r.from) }, (_, i) => Number(r.from) + i))
          expect(offsets).toEqual([...(model[partition] as Set<number>)].sort((a, b) => a - b))
          for (let i = 1; i < list.length; i++) expect(list[i]?.from).toBeGreaterThan(list[i - 1]?.to as bigint)
        }
      })
    )
  })
})
