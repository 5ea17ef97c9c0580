import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

export interface LanesOptions {
  topics: number
  partitions: number
  idleSeconds: number
  busySeconds: number
  recordsPerSecond: number
  /** Of the full-speed copy during which the event loop is watched. */
  copyMegabytes: number
  copyPartitions: number
  /** Directory of lanes.json, lanes.md and lanes.svg. */
  out: string
}

export const USAGE = `npx tsx benchmarks/lanes.ts [options]
  --quick            a small run for CI: 200 lanes, 5 s each, 100 MB
  --topics N         topics of 100 partitions each (default 20)
  --seconds N        how long the lanes are watched idle (default 30)
  --megabytes N      size of the full-speed copy (default 1000)
  --out DIR          where lanes.json, lanes.md and lanes.svg go (default benchmarks/results)`

export function parseLanesOptions(args: string[]): LanesOptions {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: 'boolean', default: false },
      topics: { type: 'string' },
      seconds: { type: 'string' },
      megabytes: { type: 'string' },
      out: { type: 'string', default: fileURLToPath(new URL('../results', import.meta.url)) }
    }
  })
  const { quick } = values
  const seconds = positive('--seconds', values.seconds ?? (quick ? '5' : '30'))
  return {
    topics: positive('--topics', values.topics ?? (quick ? '2' : '20')),
    partitions: 100,
    idleSeconds: seconds,
    busySeconds: Math.min(seconds, 20),
    recordsPerSecond: 200,
    copyMegabytes: positive('--megabytes', values.megabytes ?? (quick ? '100' : '1000')),
    copyPartitions: 8,
    out: values.out
  }
}

function positive(name: string, text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value <= 0)
    throw new Error(`${name}: a positive whole number, not ${text}\n\n${USAGE}`)
  return value
}
