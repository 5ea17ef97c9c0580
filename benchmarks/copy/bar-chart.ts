import { COPIER_TITLES, codecTitle } from './report.js'
import { type CodecFigures, COPIERS, type CopierFigures, type CopierName } from './results.js'
import type { Spread } from './statistics.js'

const WIDTH = 760
const LABEL_WIDTH = 190
const VALUE_WIDTH = 110
const BAR_HEIGHT = 20
const ROW_HEIGHT = 28
const COLOURS: Record<CopierName, string> = { twinlog: '#1f6feb', kafkajs: '#9aa4b2', relay: '#57606a' }

const PANELS: { title: string; of: (figures: CopierFigures) => Spread; text: (value: number) => string }[] = [
  { title: 'Records per second (more is better)', of: f => f.recordsPerSecond, text: thousands },
  { title: 'CPU time per record, ns (less is better)', of: f => f.cpuNsPerRecord, text: value => value.toFixed(0) }
]

/** Bars of medians with whiskers from the smallest to the largest round. */
export function barChart(all: CodecFigures[]): string {
  const body: string[] = []
  let y = 24
  for (const { title, of, text } of PANELS) {
    body.push(`<text x="16" y="${y}" class="title">${title}</text>`)
    y += 16
    const largest = Math.max(...all.flatMap(figures => COPIERS.map(name => of(figures.copiers[name]).max)))
    const scale = (WIDTH - LABEL_WIDTH - VALUE_WIDTH) / largest
    for (const figures of all) {
      for (const name of COPIERS) {
        body.push(...bar(`${COPIER_TITLES[name]}, ${codecTitle(figures)}`, of(figures.copiers[name]), COLOURS[name], y, scale, text))
        y += ROW_HEIGHT
      }
      y += 8
    }
    y += 24
  }
  const height = y - 8
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="Copying speed and cost of twinlog, a kafkajs loop and a bare TCP relay">
<style>text{font:13px system-ui,sans-serif;fill:#1f2328}.title{font-weight:600;font-size:14px}</style>
<rect width="100%" height="100%" fill="#ffffff"/>
${body.join('\n')}
</svg>
`
}

function bar(label: string, { median, min, max }: Spread, colour: string, y: number, scale: number, text: (value: number) => string): string[] {
  const middle = y + BAR_HEIGHT / 2
  const at = (value: number) => (LABEL_WIDTH + value * scale).toFixed(1)
  return [
    `<text x="${LABEL_WIDTH - 10}" y="${middle + 5}" text-anchor="end">${label}</text>`,
    `<rect x="${LABEL_WIDTH}" y="${y}" width="${Math.max(1, median * scale).toFixed(1)}" height="${BAR_HEIGHT}" rx="2" fill="${colour}"/>`,
    `<path d="M${at(min)} ${middle}H${at(max)}M${at(min)} ${middle - 4}v8M${at(max)} ${middle - 4}v8" stroke="#d29922" stroke-width="2" fill="none"/>`,
    `<text x="${(LABEL_WIDTH + max * scale + 8).toFixed(1)}" y="${middle + 5}">${text(median)}</text>`
  ]
}

function thousands(value: number): string {
  return value >= 1e6 ? `${(value / 1e6).toFixed(2)} M` : `${Math.round(value / 1e3)} k`
}
