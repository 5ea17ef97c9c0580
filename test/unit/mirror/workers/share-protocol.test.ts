import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { keysOf } from '../../../../src/mirror/workers/lane-keys.js'
import {
  decodeAssignment,
  decodeSubscription,
  encodeAssignment,
  encodeSubscription
} from '../../../../src/mirror/workers/share-protocol.js'

const laneId = fc.oneof(
  fc.tuple(fc.constantFrom('a', 'b', 'dir/c', ''), fc.nat(40)).map(([text, number]) => `${text}/${number}`),
  fc.tuple(fc.constantFrom('a', 'b'), fc.constantFrom(0, 2 ** 31 - 1, 2 ** 31, 2 ** 40)).map(parts => parts.join('/')),
  fc.constantFrom('a', 'a/', 'a/07', 'a/7', 'a/-1', 'a/1e3', '/', 'a/ 1', 'ä/1'),
  fc.string()
)

describe('lane keys', () => {
  it('tell all ids apart and lead back to them', () => {
    fc.assert(
      fc.property(fc.uniqueArray(laneId), ids => {
        const keys = keysOf(ids)
        expect([...keys.values()].sort()).toEqual([...ids].sort())
        expect([...keysOf([...ids].reverse())].sort()).toEqual([...keys].sort())
      })
    )
  })
})

describe('what members say', () => {
  it('comes out as it went in, weights in KiB', () => {
    const said = fc.record({
      name: fc.string(),
      generation: fc.integer({ min: -1, max: 2 ** 31 - 1 }),
      lanes: fc.uniqueArray(fc.tuple(laneId, fc.option(fc.nat(4_000_000))), { selector: ([id]) => id })
    })
    fc.assert(
      fc.property(said, ({ name, generation, lanes }) => {
        const known = new Set(keysOf(lanes.map(([id]) => id)).keys())
        const weights = new Map(
          lanes.flatMap(([id, kib]) =>
            kib === null ? [] : [...keysOf([id]).keys()].map(key => [key, kib * 1024] as const)
          )
        )
        const bytes = encodeSubscription({ name, generation, known, current: weights })
        const decoded = decodeSubscription(bytes)
        expect(decoded).toEqual({ name, generation, known, current: weights })
        // What a later version adds at the end is skipped.
        expect(decodeSubscription(Buffer.concat([bytes, Buffer.from('more')]))).toEqual(decoded)
      })
    )
  })

  it('is the same whatever the order', () => {
    const ids = ['b/3', 'a/1', 'a/0', 'b/4', 'c']
    const encode = (list: string[]) =>
      encodeSubscription({ name: 'n', generation: 1, known: new Set(keysOf(list).keys()), current: new Map() })
    expect(encode([...ids].reverse())).toEqual(encode(ids))
  })

  it('has these bytes', () => {
    const [key] = keysOf(['t/0']).keys()
    const [second] = keysOf(['t/1']).keys()
    const current = new Map([[second ?? '', 3_000]])
    const bytes = encodeSubscription({ name: 'n', generation: 7, known: new Set([key ?? '', second ?? '']), current })
    // sha256("t") = e3b98a4da31a127d…; one run: 1 behind −1, 2 long; one lane copied: index 1, 3 KiB/s
    expect(bytes.toString('hex')).toBe(
      ['01', '026e', '00000007', '02', 'e3b98a4da31a127d', '02', '01', '02', '02', '01', '03'].join('')
    )
    expect(encodeAssignment({ members: 3, lanes: [key ?? ''] }).toString('hex')).toBe(
      ['01', '00000003', '02', 'e3b98a4da31a127d', '02', '01', '01'].join('')
    )
  })

  it('assignments come out as they went in', () => {
    fc.assert(
      fc.property(fc.uniqueArray(laneId), fc.nat(1_000), (ids, members) => {
        const lanes = new Set(keysOf(ids).keys())
        expect(decodeAssignment(encodeAssignment({ members, lanes }))).toEqual({ members, lanes })
      })
    )
  })

  it('of 2,000 topics fits 30 times into the 1 MiB that a broker keeps of a group, of one topic easily', () => {
    const current = new Map<string, number>()
    const size = (ids: string[]) =>
      encodeSubscription({ name: 'name', generation: 1, known: new Set(keysOf(ids).keys()), current }).length
    const topics = Array.from({ length: 2_000 }, () => `${randomBytes(16).toString('base64url')}/0`)
    expect(size(topics) * 30).toBeLessThan(1_048_576)
    expect(size(Array.from({ length: 2_000 }, (_, partition) => `topic/${partition}`))).toBeLessThan(50)
  })

  it('damage is an error and nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), noise => {
        for (const decode of [decodeSubscription, decodeAssignment]) {
          for (const bytes of [Buffer.from(noise), Buffer.concat([Buffer.from('01', 'hex'), noise])]) {
            try {
              decode(bytes)
            } catch (error) {
              expect(error).toMatchObject({ code: 'TWINLOG_PROTOCOL' })
            }
          }
        }
      })
    )
    const endless = Buffer.from('01000000010200000000000000000201ffffffff0f', 'hex')
    expect(() => decodeAssignment(endless)).toThrow('more than')
  })
})
