// Started by mirror-process.ts: one Mirror as a process of its own. Options as JSON in argv, reports as JSON lines on stdout, commands
// as lines on stdin; it ends when stdin does.
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Logger, Mirror, TwinlogError } from '../../src/index.js'
import { LaneBuffer } from '../../src/mirror/lane-buffer.js'
import type { ChildOptions, ChildReport } from './mirror-process.js'
import { namedTransforms } from './named-transforms.js'
import { proxyMap, socketFactoryThrough } from './socket-factory.js'

const options = JSON.parse(process.argv[2] ?? '{}') as ChildOptions
let deepest = 0
let recoveries = 0

// How deep a lane's pipeline gets is nobody's business but this test's.
const take = LaneBuffer.prototype.take
LaneBuffer.prototype.take = function (this: LaneBuffer) {
  const send = take.call(this)
  if (this.unsettled > deepest) deepest = this.unsettled
  return send
}

function say(report: ChildReport): void {
  process.stdout.write(
    `${JSON.stringify(report, (_key, value: unknown) => (typeof value === 'bigint' ? value.toString() : value))}\n`
  )
}

function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const code = error instanceof TwinlogError ? `${error.code}: ` : ''
  return `${code}${error.message}${error.cause === undefined ? '' : ` ← ${explain(error.cause)}`}`
}

const TOLD = [
  'lane:gap',
  'record:dead-letter',
  'record:skipped',
  'throttled',
  'topic:created',
  'topic:grown',
  'warning'
] as const

function plain(payload: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(payload).map(([name, value]) => [name, value instanceof Error ? explain(value) : value])
  )
}

const logger = ((): Logger => {
  const at = (level: string) => (fields: object, message: string) => {
    const plain = JSON.stringify(fields, (_key, value: unknown) => {
      if (value instanceof Error) return explain(value)
      return typeof value === 'bigint' ? value.toString() : value
    })
    process.stderr.write(`${new Date().toISOString()} ${process.pid} ${level} ${message} ${plain}\n`)
  }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
})()

const delayed = proxyMap()
if (options.targetLatencyMs !== undefined) {
  const latencyMs = options.targetLatencyMs
  delayed.forEach(proxy => proxy.setLatency(latencyMs))
}

function newMirror(): Mirror {
  const { targetLatencyMs, sampleMs: _sampleMs, transform, ...rest } = options
  const target =
    targetLatencyMs === undefined ? options.target : { ...options.target, socketFactory: socketFactoryThrough(delayed) }
  const mirror = new Mirror({
    ...rest,
    target,
    transform: transform === undefined ? undefined : namedTransforms[transform],
    syncGroups: false,
    logger
  })
  for (const event of TOLD)
    mirror.on(event, (payload: object) => say({ what: 'event', event, at: Date.now(), payload: plain(payload) }))
  mirror.on('lane:state', ({ to }) => {
    if (to === 'starting') recoveries += 1
  })
  mirror.on('lane:failed', ({ topic, partition, error }) =>
    say({ what: 'failed', topic, partition, error: explain(error) })
  )
  return mirror
}

/** As a service would: a start that fails for a passing reason is tried again. */
async function started(): Promise<Mirror> {
  for (;;) {
    const mirror = newMirror()
    try {
      await mirror.start()
      return mirror
    } catch (error) {
      if (!(error instanceof TwinlogError) || !error.retriable) throw error
      process.stderr.write(`${new Date().toISOString()} ${process.pid} start failed: ${explain(error)}\n`)
      await sleep(200)
    }
  }
}

async function obey(mirror: Mirror, command: string): Promise<void> {
  const [what, argument] = command.split(' ')
  try {
    if (what === 'caughtUp') await mirror.caughtUp({ timeoutMs: Number(argument) })
    if (what === 'stop') await mirror.stop()
    say({ what: 'done', command })
  } catch (error) {
    say({ what: 'done', command, error: explain(error) })
  }
  if (what === 'stop') process.exit(0)
}

process.stdin.on('end', () => process.exit(0))
try {
  const starting = started()
  // A command that comes while the Mirror starts is obeyed when it has.
  createInterface({ input: process.stdin }).on('line', command => {
    void starting.then(
      ready => obey(ready, command),
      () => undefined
    )
  })
  const mirror = await starting
  const sample = () => {
    const lanes = mirror.status().lanes.map(lane => ({
      topic: lane.topic,
      partition: lane.partition,
      state: lane.state,
      reached: Number(lane.reached),
      targetEnd: Number(lane.targetEnd),
      lag: Number(lane.lagRecords)
    }))
    say({ what: 'status', at: Date.now(), lanes, deepest, recoveries })
  }
  say({ what: 'started' })
  setInterval(sample, options.sampleMs ?? 50)
} catch (error) {
  say({ what: 'fatal', error: explain(error) })
  process.exit(1)
}
