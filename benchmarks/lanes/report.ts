import type { ProcessFigures } from './mirror-process.js'

export interface Percentiles {
  p50: number
  p99: number
  max: number
}

export interface LanesFigures {
  environment: { at: string; node: string; cpu: string; cores: number; memoryGb: number }
  lanes: number
  idle: ProcessFigures
  busy: {
    records: number
    recordsPerSecond: number
    lagMs: Percentiles
    sourceMs: Percentiles
    process: ProcessFigures
  }
  copy: { bytes: number; megabytesPerSecond: number; process: ProcessFigures }
}

interface Row {
  title: string
  value: string
  goal: string
  /** Of the goal; undefined: it has none. */
  share: number | undefined
}

export function percentiles(values: number[]): Percentiles {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
  return { p50: at(0.5), p99: at(0.99), max: at(1) }
}

function rows({ idle, busy, copy }: LanesFigures): Row[] {
  const { p50, p99, max } = busy.lagMs
  const delay = copy.process.loopDelayMs
  return [
    row('CPU while idle, % of one core', idle.cpuPercent, 5, 2),
    row('RSS while idle, MB', idle.rssBytes / 1e6, 350, 0),
    row('CPU with one busy lane, % of one core', busy.process.cpuPercent),
    row('lag of the busy lane, p50, ms', p50),
    row('lag of the busy lane, p99, ms', p99, 1_000, 0),
    row('lag of the busy lane, worst, ms', max),
    row('of it until the source had acknowledged, p50, ms', busy.sourceMs.p50),
    row('of it until the source had acknowledged, p99, ms', busy.sourceMs.p99),
    row('full-speed copy, MB/s', copy.megabytesPerSecond),
    row('full-speed copy, peak RSS, MB', copy.process.peakRssBytes / 1e6),
    row('event-loop delay in it, p50, ms', delay.p50, undefined, 1),
    row('event-loop delay in it, p99, ms', delay.p99, 20, 1),
    row('event-loop delay in it, worst, ms', delay.max, undefined, 1)
  ]
}

function row(title: string, value: number, goal?: number, digits = 0): Row {
  const share = goal === undefined ? undefined : value / goal
  return { title, value: value.toFixed(digits), goal: goal === undefined ? '' : `< ${goal}`, share }
}

export function terminalTable(figures: LanesFigures): string {
  const all = rows(figures)
  const width = Math.max(...all.map(({ title }) => title.length))
  return all
    .map(({ title, value, goal }) => `${title.padEnd(width)}  ${value.padStart(8)}  ${goal}`.trimEnd())
    .join('\n')
}

export function markdown(figures: LanesFigures): string {
  const { at, cores, cpu, memoryGb, node } = figures.environment
  return [
    `# ${figures.lanes.toLocaleString('en-US')} lanes: what idleness costs, and what it costs a busy one`,
    '',
    `Taken ${at.slice(0, 10)} by \`npm run bench:lanes\` on ${cores} cores (${cpu}), ${memoryGb} GB, Node.js ${node}; source, target, load and Mirror share the machine.`,
    'The Mirror runs in a process of its own; CPU is user and system time of all its threads.',
    '',
    '![Figures as shares of their goals](lanes.svg)',
    '',
    '| figure | value | goal |',
    '|---|---:|---:|',
    ...rows(figures).map(({ title, value, goal }) => `| ${title} | ${value} | ${goal} |`),
    '',
    `- **Idle**: ${figures.idle.seconds.toFixed(0)} s without a record on any lane.`,
    `- **Busy**: ${figures.busy.records} single records at ${figures.busy.recordsPerSecond} a second into one of the lanes; lag is from the record's time stamp to a reader of the target.`,
    `- **Full-speed copy**: ${(figures.copy.bytes / 1e6).toFixed(0)} MB in one topic, batches of about 1 MB; delay by \`perf_hooks.monitorEventLoopDelay\` from the start of the Mirror to \`caughtUp()\`.`,
    ''
  ].join('\n')
}

const WIDTH = 720
const LABEL_WIDTH = 290
const ROW_HEIGHT = 30

/** Bars of what has a goal, with the goal as a line. */
export function chart(figures: LanesFigures): string {
  const all = rows(figures).filter(({ share }) => share !== undefined)
  const scale = (WIDTH - LABEL_WIDTH - 90) / Math.max(1.05, ...all.map(({ share }) => share ?? 0))
  const bars = all.map(({ title, value, share = 0 }, index) => {
    const y = 16 + index * ROW_HEIGHT
    const colour = share < 1 ? '#1f6feb' : '#cf222e'
    const length = Math.max(1, share * scale)
    return `<text x="${LABEL_WIDTH - 10}" y="${y + 15}" text-anchor="end">${title}</text><rect x="${LABEL_WIDTH}" y="${y}" width="${length.toFixed(1)}" height="20" rx="2" fill="${colour}"/><text x="${(LABEL_WIDTH + length + 8).toFixed(1)}" y="${y + 15}">${value}</text>`
  })
  const height = 32 + all.length * ROW_HEIGHT
  const goal = (LABEL_WIDTH + scale).toFixed(1)
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="Figures of a Mirror with many lanes as shares of their goals">
<style>text{font:13px system-ui,sans-serif;fill:#1f2328}</style>
<rect width="100%" height="100%" fill="#ffffff"/>
${bars.join('\n')}
<path d="M${goal} 8V${height - 20}" stroke="#d29922" stroke-width="2" stroke-dasharray="4 3"/><text x="${goal}" y="${height - 5}" text-anchor="middle">goal</text>
</svg>
`
}
