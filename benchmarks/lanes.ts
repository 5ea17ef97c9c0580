import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ClusterClient } from '../src/kafka/cluster.js'
import { consoleLogger } from '../src/logger.js'
import { type KafkaCluster, startKafka } from '../test/support/kafka.js'
import { killAllMirrors, MirrorChild } from './lanes/mirror-process.js'
import { type LanesOptions, parseLanesOptions } from './lanes/options.js'
import { chart, type LanesFigures, markdown, percentiles, terminalTable } from './lanes/report.js'
import { createTopics, endOf, fill, lagsOf, placeOf, trickle } from './lanes/traffic.js'

const SETTLE_MS = 5_000
const WARM_UP_SECONDS = 3
const LAG_TIMEOUT_MS = 60_000

interface Bench {
  source: ClusterClient
  target: ClusterClient
  brokers: { source: string[]; target: string[] }
  options: LanesOptions
}

async function main(options: LanesOptions): Promise<void> {
  const clusters = await Promise.all(['east', 'west'].map(name => startKafka({ name, jvm: 'throughput', heapMb: 768 })))
  const [east, west] = clusters as [KafkaCluster, KafkaCluster]
  const source = new ClusterClient(east.config(), { logger: consoleLogger() })
  const target = new ClusterClient(west.config(), { logger: consoleLogger() })
  try {
    await Promise.all([source.connect(), target.connect()])
    const brokers = { source: east.bootstrap, target: west.bootstrap }
    const bench: Bench = { source, target, brokers, options }
    const many = await measureLanes(bench)
    const copy = await measureCopy(bench)
    publish({ environment: environment(), ...many, copy }, options)
  } finally {
    killAllMirrors()
    source.destroy()
    target.destroy()
    await Promise.all(clusters.map(cluster => cluster.stop()))
  }
}

async function measureLanes(bench: Bench): Promise<Pick<LanesFigures, 'lanes' | 'idle' | 'busy'>> {
  const { options, source, target, brokers } = bench
  const topics = Array.from({ length: options.topics }, (_, index) => `lanes-${index}`)
  say(`creating ${topics.length * options.partitions} partitions on both sides`)
  for (const cluster of [source, target])
    for (const topic of topics) await createTopics(cluster, [topic], options.partitions)
  const mirror = new MirrorChild({ ...brokers, topics, link: 'bench-lanes' })
  const startedAt = performance.now()
  const { lanes } = await mirror.next('started')
  say(`${lanes} lanes started in ${((performance.now() - startedAt) / 1000).toFixed(1)} s`)
  await sleep(SETTLE_MS)
  mirror.tell('begin')
  await sleep(options.idleSeconds * 1000)
  const idle = await mirror.figures()
  say(`idle: ${idle.cpuPercent.toFixed(2)} % of one core, ${(idle.rssBytes / 1e6).toFixed(0)} MB`)

  const topic = topics[topics.length >> 1] as string
  const partition = options.partitions >> 1
  // Brokers compile what they run often, and connections are opened when they are needed.
  await trickle(source, await placeOf(source, topic, partition), {
    recordsPerSecond: options.recordsPerSecond,
    seconds: WARM_UP_SECONDS
  })
  await sleep(SETTLE_MS)
  const from = await endOf(target, await placeOf(target, topic, partition))
  const { recordsPerSecond, busySeconds } = options
  mirror.tell('begin')
  const records = recordsPerSecond * busySeconds
  const reading = lagsOf(target, await placeOf(target, topic, partition), { from, records, timeoutMs: LAG_TIMEOUT_MS })
  const writing = trickle(source, await placeOf(source, topic, partition), { recordsPerSecond, seconds: busySeconds })
  const [lags, acknowledged] = await Promise.all([reading, writing])
  const busy = {
    records,
    recordsPerSecond,
    lagMs: percentiles(lags),
    sourceMs: percentiles(acknowledged),
    process: await mirror.figures()
  }
  await mirror.stop()
  return { lanes, idle, busy }
}

async function measureCopy(bench: Bench): Promise<LanesFigures['copy']> {
  const { options, source, brokers } = bench
  const topic = 'full-speed'
  await createTopics(source, [topic], options.copyPartitions)
  say(`loading ${options.copyMegabytes} MB`)
  const bytes = await fill(source, topic, options.copyPartitions, options.copyMegabytes)
  const mirror = new MirrorChild({ ...brokers, topics: [topic], link: 'bench-full-speed', waitForBegin: true })
  mirror.tell('begin')
  await mirror.next('started')
  mirror.tell('caughtUp')
  await mirror.next('caughtUp')
  const figures = await mirror.figures()
  await mirror.stop()
  return { bytes, megabytesPerSecond: bytes / 1e6 / figures.seconds, process: figures }
}

function environment(): LanesFigures['environment'] {
  const [cpu] = cpus()
  return {
    at: new Date().toISOString(),
    node: process.version,
    cpu: cpu?.model ?? 'unknown',
    cores: cpus().length,
    memoryGb: Math.round(totalmem() / 1e9)
  }
}

function publish(figures: LanesFigures, options: LanesOptions): void {
  process.stdout.write(`\n${terminalTable(figures)}\n`)
  mkdirSync(options.out, { recursive: true })
  writeFileSync(join(options.out, 'lanes.json'), `${JSON.stringify(figures, undefined, 2)}\n`)
  writeFileSync(join(options.out, 'lanes.md'), markdown(figures))
  writeFileSync(join(options.out, 'lanes.svg'), chart(figures))
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    killAllMirrors()
    // The brokers go with this process: their watcher sees it end.
    process.exit(130)
  })
}

const options = (() => {
  try {
    return parseLanesOptions(process.argv.slice(2))
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`)
    process.exit(2)
  }
})()

main(options).then(
  () => process.exit(0),
  (error: unknown) => {
    killAllMirrors()
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
    process.exit(1)
  }
)
