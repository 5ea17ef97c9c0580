import { COPIER_TITLES, codecTitle } from './report.js'
import { type CodecFigures, COPIERS, type CopierFigures, type CopierName } from './results.js'
import type { Spread } from './statistics.js'

const WIDTH = 760
const LABEL_WIDTH = 140
const VALUE_WIDTH = 110
const BAR_HEIGHT = 20
const ROW_HEIGHT = 28
const COLOURS: Record<CopierName, string> = { twinlog: '#1f6feb', kafkajs: '#9aa4b2', relay: '#57606a' }

const PANELS: {
  title: (codec: string) => string
  of: (figures: CopierFigures) => Spread
  text: (value: number) => string
}[] = [
  { title: codec => `Records per second, ${codec} (more is better)`, of: f => f.recordsPerSecond, text: thousands },
  {
    title: codec => `CPU time per record in ns, ${codec} (less is better)`,
    of: f => f.cpuNsPerRecord,
    text: value => value.toFixed(0)
  }
]

/** Bars of medians with whiskers from the smallest to the largest round. */
export function barChart(all: CodecFigures[]): string {
  const body: string[] = []
  let y = 24
  for (const { title, of, text } of PANELS) {
    for (const figures of all) {
      body.push(`<text x="16" y="${y}" class="title">${title(codecTitle(figures))}</text>`)
      y += 14
      // Codecs differ by the bytes of a record: a scale of its own keeps each readable.
      const largest = Math.max(...COPIERS.map(name => of(figures.copiers[name]).max))
      const scale = (WIDTH - LABEL_WIDTH - VALUE_WIDTH) / largest
      for (const name of COPIERS) {
        body.push(...bar(COPIER_TITLES[name], of(figures.copiers[name]), COLOURS[name], y, scale, text))
        y += ROW_HEIGHT
      }
      y += 24
    }
  }
  const height = y - 16
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="Copying speed and cost of twinlog, a kafkajs loop and a bare TCP relay">
<style>text{font:13px system-ui,sans-serif;fill:#1f2328}.title{font-weight:600;font-size:14px}</style>
<rect width="100%" height="100%" fill="#ffffff"/>
${body.join('\n')}
</svg>
`
}

function bar(
  label: string,
  { median, min, max }: Spread,
  colour: string,
  y: number,
  scale: number,
  text: (value: number) => string
): string[] {
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
