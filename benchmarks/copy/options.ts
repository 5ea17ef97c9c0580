import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

export type BenchCodec = 'none' | 'lz4'

export interface CopyOptions {
  records: number
  naiveRecords: number
  codecs: BenchCodec[]
  rounds: number
  /** Directory of copy.json, copy.md and copy.svg. */
  out: string
  /** Directory for a .cpuprofile of each Mirror process, or undefined. */
  profile: string | undefined
}

export const USAGE = `npx tsx benchmarks/copy.ts [options]
  --records N        records that twinlog copies and the relay's bytes stand for (default 4000000)
  --naive-records N  records of the kafkajs loop, which is slow (default: 200000, at most --records)
  --codec C          none, lz4 or both (default both)
  --rounds N         how often each copier runs, in turn (default 3)
  --out DIR          where copy.json, copy.md and copy.svg go (default benchmarks/results)
  --profile DIR      write a CPU profile of each Mirror process`

export function parseCopyOptions(args: string[]): CopyOptions {
  const { values } = parseArgs({
    args,
    options: {
      records: { type: 'string', default: '4000000' },
      'naive-records': { type: 'string', default: '200000' },
      codec: { type: 'string', default: 'both' },
      rounds: { type: 'string', default: '3' },
      out: { type: 'string', default: fileURLToPath(new URL('../results', import.meta.url)) },
      profile: { type: 'string' }
    }
  })
  const records = positive('--records', values.records)
  const { codec } = values
  if (codec !== 'none' && codec !== 'lz4' && codec !== 'both') throw new Error(`--codec: none, lz4 or both\n\n${USAGE}`)
  return {
    records,
    naiveRecords: Math.min(records, positive('--naive-records', values['naive-records'])),
    codecs: codec === 'both' ? ['none', 'lz4'] : [codec],
    rounds: positive('--rounds', values.rounds),
    out: values.out,
    profile: values.profile
  }
}

function positive(name: string, text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value <= 0)
    throw new Error(`${name}: a positive whole number, not ${text}\n\n${USAGE}`)
  return value
}
