import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { MirrorProcess } from '../../support/mirror-process.js'
import type { ProduceOptions } from '../../support/oracle.js'
import { type Bed, PROXIED } from './bed.js'
import type { Report } from './report.js'
import { Timeline } from './timeline.js'

export type Load = Omit<ProduceOptions, 'cluster' | 'topic' | 'count' | 'partitions' | 'seed'>

export interface CampaignOptions {
  name: string
  bed: Bed
  seed: number
  partitions: number
  /** Live load on the source until all faults are done. */
  load: Load
  /** How many mirror processes race for the same lanes. */
  mirrors: number
  /** See ChildOptions. */
  targetLatencyMs?: number | undefined
  /** The mirrors reach the target through the bed's proxies. */
  proxied?: boolean | undefined
}

export interface Stage {
  topic: string
  mirrors: MirrorProcess[]
  timeline: Timeline
  random: () => number
  /** Everybody says that it copies again. */
  recovered(): Promise<void>
  /** Every lane has really moved on since this call. */
  progress(): Promise<void>
}

const CATCH_UP_MS = 90_000

/** Load on the source, mirror processes, faults; then everything must be on the target, as the oracle sees it. */
export async function runCampaign(o: CampaignOptions, inject: (stage: Stage) => Promise<void>): Promise<Report> {
  const { bed, seed } = o
  const startedAt = Date.now()
  const topic = `${o.name.replaceAll(/[^a-z0-9]+/gi, '-')}-${seed}`
  const failures: string[] = []
  const timeline = new Timeline()
  await bed.oracle.createTopic({ cluster: bed.east.bootstrap, topic, partitions: o.partitions })
  const replicated = bed.west.brokers.length >= 3
  const options = {
    source: bed.east.config('east'),
    target: bed.west.config('west', o.proxied ? { brokers: bed.west.bootstrapOf(PROXIED) } : {}),
    topics: topic,
    link: topic,
    createTopics: replicated ? { replicationFactor: 3, configs: { 'min.insync.replicas': '2' } } : true,
    targetLatencyMs: o.targetLatencyMs
  }
  const mirrors = Array.from({ length: o.mirrors }, (_, index) => {
    const name = `${topic}-${'ab'[index] ?? index}`
    const events = {
      status: timeline.sample.bind(timeline),
      failed: (error: string) => failures.push(error)
    }
    return new MirrorProcess(name, { options, logFile: join(bed.logDirectory, `${name}.log`), events })
  })
  const load = bed.oracle.produce({ cluster: bed.east.bootstrap, topic, seed, ...o.load })
  const recovered = async () => {
    await Promise.all(mirrors.map(mirror => mirror.copying(o.partitions)))
  }
  try {
    for (const mirror of mirrors) mirror.start()
    await recovered()
    await inject({ topic, mirrors, timeline, random: randomFrom(seed), recovered, progress: () => timeline.progress() })
    await recovered()
    timeline.loadEnds()
    await load.stop()
    await Promise.all(mirrors.map(mirror => mirror.caughtUp(CATCH_UP_MS)))
  } catch (error) {
    failures.push(error instanceof Error ? error.message : String(error))
    await load.stop().catch(() => undefined)
  } finally {
    await Promise.all(mirrors.map(mirror => (failures.length === 0 ? mirror.stop() : mirror.kill())))
  }
  // A batch that was still on its way when its sender was killed may arrive now: it must not matter.
  await sleep(500)
  const comparison = await bed.oracle.compare({
    source: bed.east.bootstrap,
    target: bed.west.bootstrap,
    sourceTopic: topic
  })
  return {
    name: o.name,
    seed,
    seconds: (Date.now() - startedAt) / 1000,
    comparison,
    injections: timeline.injections(),
    longestPauses: timeline.longestPauses(),
    deepest: timeline.deepest,
    recoveries: timeline.recoveries,
    failures
  }
}

/** Same seed, same campaign (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}
