import type { DemoProcess } from './children.js'

export interface Row {
  service: string
  producer: DemoProcess
  consumers: DemoProcess[]
}

/** The live table: redrawn in place on a terminal, a line now and then elsewhere. */
export class LiveTable {
  readonly #rows: Row[]
  readonly #mirror: DemoProcess
  readonly #started = Date.now()
  readonly #timer: NodeJS.Timeout
  #drawn = 0
  #step = 'starting'

  constructor(rows: Row[], mirror: DemoProcess) {
    this.#rows = rows
    this.#mirror = mirror
    this.#timer = setInterval(() => this.#draw(), process.stdout.isTTY ? 250 : 2_000)
  }

  step(text: string): void {
    this.#step = text
    this.#clear()
    process.stdout.write(`${this.#clock()}  ${text}\n`)
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#clear()
  }

  #draw(): void {
    const header = ['service', 'active', 'state', 'acknowledged', 'handled', 'result so far']
    const rows = this.#rows.map(({ service, producer, consumers }) => [
      service,
      producer.progress?.active ?? '-',
      [...new Set([producer, ...consumers].map(child => child.progress?.state ?? '-'))].join('/'),
      String(producer.progress?.count ?? 0),
      consumers.map(child => String(child.progress?.count ?? 0)).join(' + '),
      consumers[0]?.progress?.note ?? ''
    ])
    const mirror = this.#mirror.progress
    const widths = header.map((title, column) => Math.max(title.length, ...rows.map(row => row[column]?.length ?? 0)))
    const line = (cells: string[]) => cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')
    const lines = [
      line(header),
      ...rows.map(line),
      `mirror east>west: lag ${mirror?.count ?? 0} records, ${mirror?.note ?? '0/s'}, lanes ${mirror?.state ?? '-'}`
    ]
    this.#clear()
    process.stdout.write(`${process.stdout.isTTY ? '' : `${this.#clock()}  [${this.#step}]\n`}${lines.join('\n')}\n`)
    this.#drawn = process.stdout.isTTY ? lines.length : 0
  }

  #clear(): void {
    if (this.#drawn > 0) process.stdout.write(`\u001b[${this.#drawn}A\u001b[0J`)
    this.#drawn = 0
  }

  #clock(): string {
    return `${((Date.now() - this.#started) / 1000).toFixed(1).padStart(6)} s`
  }
}
