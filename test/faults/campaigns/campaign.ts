import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ChildEvent, type ChildOptions, MirrorProcess } from '../../support/mirror-process.js'
import type { ProduceOptions } from '../../support/oracle.js'
import { type Bed, PROXIED } from './bed.js'
import { randomFrom } from './random.js'
import type { Verdict } from './judges.js'
import type { Report } from './report.js'
import { Timeline } from './timeline.js'

export type Load = Omit<ProduceOptions, 'cluster' | 'topic' | 'count' | 'partitions' | 'seed'>

export interface CampaignOptions {
  name: string
  bed: Bed
  seed: number
  partitions: number
  /** Live load on the source until all faults are done; several run at once. */
  load?: Load | readonly Load[] | undefined
  /** How many mirror processes copy the same lanes. */
  mirrors: number
  /** Options of the Mirrors. Processes race for the lanes unless `workers` says otherwise. */
  mirror?: Partial<Omit<ChildOptions, 'source' | 'target' | 'topics' | 'link'>> | undefined
  /** One process at a time copies a lane: because it is shared out, or because it needs a fence. */
  exclusive?: boolean | undefined
  sourceConfigs?: Record<string, string> | undefined
  /** See ChildOptions. */
  targetLatencyMs?: number | undefined
  /** The mirrors reach both clusters through the bed's proxies. */
  proxied?: boolean | undefined
  /** Instead of a load: whatever writes to the source until it is told to stop. */
  produce?: ((topic: string) => { stop(): Promise<unknown> }) | undefined
  /** Instead of the oracle's comparison of both topics. */
  judge?: ((topic: string) => Promise<Verdict>) | undefined
}

export interface Stage {
  topic: string
  mirrors: MirrorProcess[]
  timeline: Timeline
  random: () => number
  /** A process that is not running yet; its options go over those of the others. */
  another(name: string, over?: Partial<ChildOptions>): MirrorProcess
  /** Everybody (with `exclusive`: somebody for each lane) says that it copies again. */
  recovered(): Promise<void>
  /** Every lane has really moved on since this call. */
  progress(): Promise<void>
}

const CATCH_UP_MS = 90_000
const COVER_MS = 60_000
const MARKERS_MS = 30_000
/** What a process said longer ago than this is no proof that it lives. */
const FRESH_MS = 2_000
const STATES_AT_WORK: readonly string[] = ['copying', 'caught-up']

/** Load on the source, mirror processes, faults; then everything must be on the target, as the oracle sees it. */
export async function runCampaign(o: CampaignOptions, inject: (stage: Stage) => Promise<void>): Promise<Report> {
  const { bed, seed } = o
  const startedAt = Date.now()
  const topic = `${o.name.replaceAll(/[^a-z0-9]+/gi, '-')}-${seed}`
  const failures: string[] = []
  const told = new Map<string, number>()
  const timeline = new Timeline()
  await bed.oracle.createTopic({
    cluster: bed.east.bootstrap,
    topic,
    partitions: o.partitions,
    ...(bed.east.brokers.length >= 3 && { replicationFactor: 3 }),
    configs: { ...(bed.east.brokers.length >= 3 && { 'min.insync.replicas': '2' }), ...o.sourceConfigs }
  })
  const replicated = bed.west.brokers.length >= 3
  const through = (cluster: Bed['east'], alias: string) =>
    cluster.config(alias, o.proxied ? { brokers: cluster.bootstrapOf(PROXIED) } : {})
  const options: ChildOptions = {
    source: through(bed.east, 'east'),
    target: through(bed.west, 'west'),
    topics: topic,
    link: topic,
    createTopics: replicated ? { replicationFactor: 3, configs: { 'min.insync.replicas': '2' } } : true,
    targetLatencyMs: o.targetLatencyMs,
    workers: false,
    ...o.mirror
  }
  const events = {
    status: timeline.sample.bind(timeline),
    failed: (error: string) => failures.push(error),
    told: ({ event }: ChildEvent) => void told.set(event, (told.get(event) ?? 0) + 1)
  }
  const all: MirrorProcess[] = []
  const another = (letter: string, over: Partial<ChildOptions> = {}): MirrorProcess => {
    const name = `${topic}-${letter}`
    const logFile = join(bed.logDirectory, `${name}.log`)
    const mirror = new MirrorProcess(name, { options: { ...options, ...over }, logFile, events })
    all.push(mirror)
    return mirror
  }
  const mirrors = Array.from({ length: o.mirrors }, (_, index) => another('abcdefgh'[index] ?? String(index)))
  const loads = o.produce
    ? [o.produce(topic)]
    : [o.load ?? []]
        .flat()
        .map((load, index) =>
          bed.oracle.produce({ cluster: bed.east.bootstrap, topic, seed: seed + index * 1_000, ...load })
        )
  const recovered = async () => {
    if (o.exclusive) return covered(all, o.partitions)
    await Promise.all(all.filter(mirror => mirror.running).map(mirror => mirror.copying(o.partitions)))
  }
  try {
    for (const mirror of mirrors) mirror.start()
    await recovered()
    const stage = { topic, mirrors, timeline, random: randomFrom(seed), another, recovered }
    await inject({ ...stage, progress: () => timeline.progress() })
    await recovered()
    timeline.loadEnds()
    await Promise.all(loads.map(load => load.stop()))
    await markersWritten(bed, topic)
    await Promise.all(all.filter(mirror => mirror.running).map(mirror => mirror.caughtUp(CATCH_UP_MS)))
  } catch (error) {
    failures.push(error instanceof Error ? error.message : String(error))
    await Promise.all(loads.map(load => load.stop().catch(() => undefined)))
  } finally {
    await Promise.all(all.map(mirror => (failures.length === 0 ? mirror.stop() : mirror.kill())))
  }
  // A batch that was still on its way when its sender was killed may arrive now: it must not matter.
  await sleep(500)
  const compare = async (): Promise<Verdict> => ({
    comparison: await bed.oracle.compare({
      source: bed.east.bootstrap,
      target: bed.west.bootstrap,
      sourceTopic: topic
    })
  })
  const { comparison, note } = await (o.judge?.(topic) ?? compare())
  return {
    name: o.name,
    seed,
    seconds: (Date.now() - startedAt) / 1000,
    comparison,
    injections: timeline.injections(),
    longestPauses: timeline.longestPauses(),
    deepest: timeline.deepest,
    recoveries: timeline.recoveries,
    told,
    note,
    failures
  }
}

/** A commit is answered before its markers are in the logs, and until then nobody can read what it committed. */
async function markersWritten(bed: Bed, topic: string): Promise<void> {
  const ends = async (isolation: 'read_committed' | 'read_uncommitted') =>
    (await bed.oracle.endOffsets({ cluster: bed.east.bootstrap, topic, isolation })).map(({ end }) => end).join()
  const deadline = Date.now() + MARKERS_MS
  while ((await ends('read_committed')) !== (await ends('read_uncommitted'))) {
    if (Date.now() > deadline) throw new Error(`transactions on the source are still open after ${MARKERS_MS} ms`)
    await sleep(50)
  }
}

/** For each lane some process that was heard of lately copies it. */
async function covered(mirrors: readonly MirrorProcess[], partitions: number): Promise<void> {
  const deadline = Date.now() + COVER_MS
  for (;;) {
    const fresh = mirrors.filter(({ running, sample }) => running && Date.now() - sample.at < FRESH_MS)
    const lanes = fresh.flatMap(({ sample }) => sample.lanes.filter(lane => STATES_AT_WORK.includes(lane.state)))
    if (new Set(lanes.map(({ partition }) => partition)).size >= partitions) return
    if (Date.now() > deadline) {
      const said = mirrors.map(({ name, sample }) => `${name}: ${JSON.stringify(sample.lanes)}`).join('; ')
      throw new Error(`not every lane is copied after ${COVER_MS} ms: ${said}`)
    }
    await sleep(20)
  }
}
