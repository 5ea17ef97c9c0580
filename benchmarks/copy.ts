import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import { consoleLogger } from '../src/logger.js'
import { ClusterClient } from '../src/kafka/cluster.js'
import { type KafkaCluster, startKafka } from '../test/support/kafka.js'
import { CopierProcess, killAllCopiers } from './copy/copier-process.js'
import { countRecords, createTopic, deleteTopic, type LoadedTopic, loadTopic, RECORDS_A_BATCH } from './copy/load.js'
import { type BenchCodec, type CopyOptions, parseCopyOptions } from './copy/options.js'
import { type Environment, markdown, terminalTable } from './copy/report.js'
import { type CodecFigures, figuresOf, type Round, type Run } from './copy/results.js'
import { barChart } from './copy/bar-chart.js'
import { runRelay } from './copy/relay-run.js'

// Per copier; a machine that needs longer gives no figure worth having.
const COPIER_TIMEOUT_MS = 180_000

interface Bench {
  source: ClusterClient
  target: ClusterClient
  sourceCluster: KafkaCluster
  targetCluster: KafkaCluster
  options: CopyOptions
}

async function main(options: CopyOptions): Promise<void> {
  const clusters = await Promise.all(
    ['east', 'west'].map(name =>
      startKafka({
        name,
        jvm: 'throughput',
        heapMb: 768,
        properties: { 'file.delete.delay.ms': 1_000, 'log.segment.delete.delay.ms': 1_000 }
      })
    )
  )
  const [sourceCluster, targetCluster] = clusters as [KafkaCluster, KafkaCluster]
  const source = new ClusterClient(sourceCluster.config(), { logger: consoleLogger() })
  const target = new ClusterClient(targetCluster.config(), { logger: consoleLogger() })
  try {
    await Promise.all([source.connect(), target.connect()])
    const figures: CodecFigures[] = []
    for (const codec of options.codecs)
      figures.push(await measure({ source, target, sourceCluster, targetCluster, options }, codec))
    publish(options, figures)
  } finally {
    source.destroy()
    target.destroy()
    await Promise.all(clusters.map(cluster => cluster.stop()))
  }
}

async function measure(bench: Bench, codec: BenchCodec): Promise<CodecFigures> {
  const { source, options } = bench
  const topic = `copy-${codec}`
  const shortTopic = `copy-${codec}-short`
  say(`${codec}: loading ${options.records} and ${options.naiveRecords} records`)
  const loaded = await loadTopic(source, topic, options.records, codec)
  const short = await loadTopic(source, shortTopic, options.naiveRecords, codec)
  const rounds: Round[] = []
  for (let number = 1; number <= options.rounds; number++) {
    const twinlog = await runTwinlog(bench, topic, loaded, `bench-${codec}-${number}`)
    const relay = {
      ...(await runRelay(loaded.batches, COPIER_TIMEOUT_MS)),
      records: loaded.records,
      bytes: loaded.bytes
    }
    const kafkajs = await runKafkajs(bench, shortTopic, short, codec, number)
    rounds.push({ twinlog, kafkajs, relay })
    const text = Object.entries({ twinlog, kafkajs, relay }).map(
      ([name, run]) => `${name} ${Math.round(run.records / run.seconds / 1000)} k/s`
    )
    say(`${codec}: round ${number} of ${options.rounds}: ${text.join(', ')}`)
  }
  await Promise.all([deleteTopic(source, topic), deleteTopic(source, shortTopic)])
  return figuresOf(codec, rounds)
}

async function runTwinlog(bench: Bench, topic: string, loaded: LoadedTopic, link: string): Promise<Run> {
  const job = { source: bench.sourceCluster.bootstrap, target: bench.targetCluster.bootstrap, topic, link }
  const mirror = new CopierProcess('./mirror-copier.ts', job, {
    timeoutMs: COPIER_TIMEOUT_MS,
    profileDirectory: bench.options.profile
  })
  const { measured } = await mirror.next('done')
  await mirror.ended()
  await verifyCopy(bench.target, topic, loaded)
  return { ...measured, records: loaded.records, bytes: loaded.bytes }
}

async function runKafkajs(
  bench: Bench,
  topic: string,
  loaded: LoadedTopic,
  codec: BenchCodec,
  round: number
): Promise<Run> {
  const targetTopic = `kafkajs-${codec}-${round}`
  await createTopic(bench.target, targetTopic)
  const job = {
    source: bench.sourceCluster.bootstrap,
    target: bench.targetCluster.bootstrap,
    sourceTopic: topic,
    targetTopic,
    records: loaded.records,
    recordsABatch: RECORDS_A_BATCH,
    codec
  }
  const loop = new CopierProcess('./kafkajs-copier.ts', job, { timeoutMs: COPIER_TIMEOUT_MS })
  const { measured } = await loop.next('done')
  await loop.ended()
  await verifyCopy(bench.target, targetTopic, loaded)
  return { ...measured, records: loaded.records, bytes: loaded.bytes }
}

/** A wrong copy is no result. The topic goes, so that the next round begins with nothing. */
async function verifyCopy(target: ClusterClient, topic: string, loaded: LoadedTopic): Promise<void> {
  const count = await countRecords(target, topic)
  if (count !== loaded.records)
    throw new Error(`${topic}: the target has ${count} records, the source ${loaded.records}`)
  await deleteTopic(target, topic)
}

function publish(options: CopyOptions, figures: CodecFigures[]): void {
  const [cpu] = cpus()
  const environment: Environment = {
    at: new Date().toISOString(),
    node: process.version,
    cpu: cpu?.model ?? 'unknown',
    cores: cpus().length,
    memoryGb: Math.round(totalmem() / 1e9)
  }
  process.stdout.write(`\n${terminalTable(figures)}\n`)
  mkdirSync(options.out, { recursive: true })
  writeFileSync(
    join(options.out, 'copy.json'),
    `${JSON.stringify({ environment, rounds: options.rounds, figures }, undefined, 2)}\n`
  )
  writeFileSync(join(options.out, 'copy.md'), markdown(environment, options.rounds, figures))
  writeFileSync(join(options.out, 'copy.svg'), barChart(figures))
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    killAllCopiers()
    // The brokers go with this process: their watcher sees it end.
    process.exit(130)
  })
}

const options = (() => {
  try {
    return parseCopyOptions(process.argv.slice(2))
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`)
    process.exit(2)
  }
})()

main(options).then(
  () => process.exit(0),
  (error: unknown) => {
    killAllCopiers()
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
    process.exit(1)
  }
)
