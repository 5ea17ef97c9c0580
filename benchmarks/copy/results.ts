import type { Measured } from './meter.js'
import type { BenchCodec } from './options.js'
import { type Spread, spread } from './statistics.js'

export const COPIERS = ['twinlog', 'kafkajs', 'relay'] as const
export type CopierName = (typeof COPIERS)[number]

/** One run of one copier. */
export interface Run extends Measured {
  records: number
  bytes: number
}

/** The three copiers one after another, under about the same weather. */
export type Round = Record<CopierName, Run>

export interface CopierFigures {
  records: number
  bytes: number
  recordsPerSecond: Spread
  megabytesPerSecond: Spread
  cpuNsPerRecord: Spread
  peakRssMb: Spread
  p99EventLoopDelayMs: Spread
}

export interface CodecFigures {
  codec: BenchCodec
  copiers: Record<CopierName, CopierFigures>
  /** Each of a pair of runs of the same round. */
  ratios: { twinlogToRelay: Spread; twinlogToRelayCpu: Spread; twinlogToKafkajs: Spread; twinlogToKafkajsCpu: Spread }
  rounds: Round[]
}

const rate = (run: Run) => run.records / run.seconds
const cpuNs = (run: Run) => (run.cpuMicros * 1000) / run.records

export function figuresOf(codec: BenchCodec, rounds: Round[]): CodecFigures {
  const copiers = Object.fromEntries(
    COPIERS.map(name => [name, copierFigures(rounds.map(round => round[name]))])
  ) as CodecFigures['copiers']
  const ratio = (of: (round: Round) => number) => spread(rounds.map(of))
  return {
    codec,
    copiers,
    ratios: {
      twinlogToRelay: ratio(round => rate(round.twinlog) / rate(round.relay)),
      twinlogToRelayCpu: ratio(round => cpuNs(round.relay) / cpuNs(round.twinlog)),
      twinlogToKafkajs: ratio(round => rate(round.twinlog) / rate(round.kafkajs)),
      twinlogToKafkajsCpu: ratio(round => cpuNs(round.kafkajs) / cpuNs(round.twinlog))
    },
    rounds
  }
}

function copierFigures(runs: Run[]): CopierFigures {
  return {
    records: runs[0]?.records ?? 0,
    bytes: runs[0]?.bytes ?? 0,
    recordsPerSecond: spread(runs.map(rate)),
    megabytesPerSecond: spread(runs.map(run => run.bytes / 1e6 / run.seconds)),
    cpuNsPerRecord: spread(runs.map(cpuNs)),
    peakRssMb: spread(runs.map(run => run.peakRssBytes / 1e6)),
    p99EventLoopDelayMs: spread(runs.map(run => run.p99EventLoopDelayMs))
  }
}
