import type { Content, WrittenRecord } from '../../support/oracle.js'
import { insist, type Phase, type Shape } from '../shape.js'

const NOT_UTF8 = Buffer.from([0xc3, 0x28, 0xff, 0x00, 0xfe, 0x80])
const CONTENTS: Content[] = [null, '', 'text', NOT_UTF8, '\u0000', 'ümläut 漢字 🙂']
const NAMES = [
  'constructor',
  '__proto__',
  'toString',
  'hasOwnProperty',
  '',
  ' ',
  'ümläut',
  '漢字',
  '🙂',
  'a\u0000b',
  'length'
]

/** Every pair of contents as key and value, alone and with headers. */
function odd(phase: Phase): WrittenRecord[] {
  const pairs = CONTENTS.flatMap(key => CONTENTS.map(value => ({ key, value })))
  return [
    ...pairs,
    ...pairs.map(pair => ({ ...pair, headers: [['phase', String(phase)]] as const })),
    ...NAMES.map(name => ({ key: name, value: name, headers: [[name, name]] as const })),
    // Order and repeats: the same names with other values in between, null and empty among them.
    { key: 'all', value: 'all', headers: NAMES.flatMap(name => CONTENTS.map(content => [name, content] as const)) },
    {
      key: 'repeats',
      value: null,
      headers: CONTENTS.flatMap(
        content =>
          [
            ['r', content],
            ['s', null],
            ['r', content]
          ] as const
      )
    },
    { key: 'reverse', value: '', headers: NAMES.toReversed().map(name => [name, null] as const) }
  ]
}

/** As many headers as fit into a batch of the broker's limit: two bytes each. */
const MOST_HEADERS = (1_048_588 - 61 - 20) >> 1

export const RECORD_SHAPES: Shape[] = [
  {
    name: 'mixed-load',
    partitions: 3,
    write: async (stage, phase) => {
      await stage.produce({ count: 3_000, seed: phase, mixed: true, batchBytes: 8_192 })
    }
  },
  {
    name: 'one-record-a-batch',
    write: async (stage, phase) => {
      await stage.produce({ count: 300, seed: phase, mixed: true, onePerBatch: true })
    },
    verifySetup: stage =>
      insist(
        stage.batches().every(({ count }) => count === 1),
        'a batch holds more than a record'
      )
  },
  {
    name: 'odd-records',
    write: async (stage, phase) => {
      const records = odd(phase)
      await stage.write([
        { send: records },
        { send: records.toReversed(), onePerBatch: true },
        ...records.filter((_, index) => index % 5 === 0).map(record => ({ send: [record, {}, record] }))
      ])
    }
  },
  {
    name: 'empty-records',
    write: async stage => {
      const nothing: WrittenRecord = { key: null, value: null }
      await stage.write([
        { send: Array.from({ length: 2_000 }, () => nothing) },
        { send: Array.from({ length: 50 }, () => nothing), onePerBatch: true }
      ])
    }
  },
  {
    name: 'tombstones',
    write: async (stage, phase) => {
      const keyed = (value: Content) => Array.from({ length: 20 }, (_, i) => ({ key: `${phase}-${i}`, value }))
      await stage.write([{ send: keyed('alive') }, { send: keyed(null) }, { send: [...keyed(''), ...keyed(null)] }])
    }
  },
  {
    name: 'most-headers',
    write: async (stage, phase) => {
      const thousand = Array.from(
        { length: 1_000 },
        (_, i) => [`name-${i % 17}`, i % 3 === 0 ? null : `${phase}:${i}`] as const
      )
      await stage.write([
        { send: [{ bareHeaders: MOST_HEADERS }] },
        { send: [{ key: 'k', headers: thousand }, { value: 'v' }, { headers: thousand.toReversed() }] },
        { send: [{ bareHeaders: MOST_HEADERS }] }
      ])
    },
    verifySetup: stage => {
      const largest = Math.max(...stage.batches().map(({ bytes }) => bytes))
      insist(stage.compression !== 'none' || largest > 1_048_500, `the largest batch has ${largest} bytes`)
    }
  }
]
