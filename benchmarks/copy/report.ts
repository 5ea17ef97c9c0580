import { type CodecFigures, COPIERS, type CopierFigures, type CopierName } from './results.js'
import type { Spread } from './statistics.js'

export interface Environment {
  at: string
  node: string
  cpu: string
  cores: number
  memoryGb: number
}

export const COPIER_TITLES: Record<CopierName, string> = {
  twinlog: 'twinlog Mirror',
  kafkajs: 'kafkajs loop',
  relay: 'bare TCP relay'
}

const COLUMNS: { title: string; of: (figures: CopierFigures) => Spread; digits: number }[] = [
  { title: 'k records/s', of: f => scaled(f.recordsPerSecond, 1e-3), digits: 0 },
  { title: 'MB/s', of: f => f.megabytesPerSecond, digits: 1 },
  { title: 'CPU ns/record', of: f => f.cpuNsPerRecord, digits: 0 },
  { title: 'peak RSS, MB', of: f => f.peakRssMb, digits: 0 },
  { title: 'p99 event-loop delay, ms', of: f => f.p99EventLoopDelayMs, digits: 1 }
]

const RATIOS: { title: string; of: (figures: CodecFigures) => Spread }[] = [
  { title: 'twinlog / relay, records/s', of: f => f.ratios.twinlogToRelay },
  { title: 'relay / twinlog, CPU per record', of: f => f.ratios.twinlogToRelayCpu },
  { title: 'twinlog / kafkajs, records/s', of: f => f.ratios.twinlogToKafkajs },
  { title: 'kafkajs / twinlog, CPU per record', of: f => f.ratios.twinlogToKafkajsCpu }
]

export function terminalTable(all: CodecFigures[]): string {
  const rows = [['batches', 'copier', ...COLUMNS.map(({ title }) => title)]]
  for (const figures of all) {
    for (const name of COPIERS) {
      rows.push([
        codecTitle(figures),
        COPIER_TITLES[name],
        ...COLUMNS.map(column => cell(column.of(figures.copiers[name]), column.digits))
      ])
    }
  }
  const ratios = [['batches', 'ratio of runs of the same round', 'median (min–max)']]
  for (const figures of all)
    for (const { title, of } of RATIOS) ratios.push([codecTitle(figures), title, cell(of(figures), 2)])
  return `${aligned(rows)}\n\n${aligned(ratios)}\n`
}

export function markdown(environment: Environment, rounds: number, all: CodecFigures[]): string {
  const { cpu, cores, memoryGb, node, at } = environment
  const lines = [
    '# Copying: twinlog, a kafkajs loop, and the wire itself',
    '',
    `Taken ${at.slice(0, 10)} by \`npm run bench\` on ${cores} cores (${cpu}), ${memoryGb} GB, Node.js ${node}; source, target, load and copier share the machine.`,
    `Each figure is the median of ${rounds} rounds (smallest–largest). In a round the copiers run one after another, each in a process of its own that does`,
    'nothing else. Only ratios within a round carry over to other machines.',
    '',
    '![Records per second and CPU time per record of the three copiers](copy.svg)',
    ''
  ]
  for (const figures of all) {
    const { twinlog, kafkajs } = figures.copiers
    lines.push(
      `## ${codecTitle(figures)}`,
      '',
      `${count(twinlog.records)} records of 200 B in ${(twinlog.bytes / 1e6).toFixed(0)} MB; the kafkajs loop copied ${count(kafkajs.records)} of them. Every copy was counted on the target.`,
      '',
      `| copier | ${COLUMNS.map(({ title }) => title).join(' | ')} |`,
      `|---|${COLUMNS.map(() => '---:').join('|')}|`,
      ...COPIERS.map(
        name =>
          `| ${COPIER_TITLES[name]} | ${COLUMNS.map(column => cell(column.of(figures.copiers[name]), column.digits)).join(' | ')} |`
      ),
      '',
      '| ratio | median (min–max) |',
      '|---|---:|',
      ...RATIOS.map(({ title, of }) => `| ${title} | ${cell(of(figures), 2)} |`),
      ''
    )
  }
  lines.push(
    '## What the three do',
    '',
    '- **twinlog Mirror**: one topic of 4 partitions, from the first lane that copies to `caughtUp()`, checkpoints included. Batches of 4,500 records pass as they are.',
    '- **kafkajs loop**: `eachBatch` → `producer.sendBatch` with the same codec and as many records a batch, from the first batch to the last acknowledgement. It keeps values, keys, headers and time',
    '  stamps; it is not exact when anything fails.',
    '- **bare TCP relay**: as many bytes as the batches have, in at one socket and out at another (`a.pipe(b)`), into a sink that throws them away. No broker takes part.',
    '',
    'CPU is user and system time of the copying process alone, all its threads. Peak RSS counts from the start of the process, tsx included.',
    ''
  )
  return lines.join('\n')
}

export function codecTitle({ codec }: CodecFigures): string {
  return codec === 'none' ? 'plain' : codec
}

function cell({ median, min, max }: Spread, digits: number): string {
  return `${number(median, digits)} (${number(min, digits)}–${number(max, digits)})`
}

function number(value: number, digits: number): string {
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

const count = (value: number) => number(value, 0)

function scaled({ median, min, max }: Spread, factor: number): Spread {
  return { median: median * factor, min: min * factor, max: max * factor }
}

function aligned(rows: string[][]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map(row => row[column]?.length ?? 0)))
  return rows
    .map(row =>
      row
        .map((text, column) => (column < 2 ? text.padEnd(widths[column]!) : text.padStart(widths[column]!)))
        .join('  ')
        .trimEnd()
    )
    .join('\n')
}
