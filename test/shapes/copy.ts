import { setTimeout as sleep } from 'node:timers/promises'
import { type Logger, Mirror, type MirrorOptions, TwinlogError } from '../../src/index.js'
import type { LaneStatus } from '../../src/mirror/lane-status.js'
import type { ShapesBed } from './bed.js'
import type { Phase, Stage } from './shape.js'

/** `middle`: half of the lanes rest. `rest`: all do, as far as open transactions let them. `everything`: these end as well, then caughtUp(). */
export type CopyEnd = 'middle' | 'rest' | 'everything'

export interface CopyOptions {
  bed: ShapesBed
  link: string
  stages: readonly Stage[]
  phase: Phase
  until: CopyEnd
}

const REST_WITHIN_MS = 60_000
const CAUGHT_UP_WITHIN_MS = 60_000
const SAY_WITHIN_MS = 15_000
/** Rest is believed when it was seen so often in a row. */
const SEEN_RESTING = 4
const RESTING = new Set<LaneStatus['state']>(['caught-up', 'waiting', 'failed', 'stopped'])

const silent: Logger = process.env.TWINLOG_TEST_LOG
  ? { debug() {}, info: console.error, warn: console.error, error: console.error }
  : { debug() {}, info() {}, warn() {}, error() {} }

/** One Mirror over all topics of an isolation level, from its start to its stop. What goes wrong is written down in the stage it concerns. */
export async function copy(o: CopyOptions): Promise<void> {
  await Promise.all(
    [undefined, 'read_uncommitted' as const].map(async isolation => {
      const stages = o.stages.filter(({ shape }) => shape.isolation === isolation)
      if (stages.length === 0) return
      await copyGroup({ ...o, stages, link: isolation === undefined ? o.link : `${o.link}-uncommitted` }, isolation)
    })
  )
}

async function copyGroup(o: CopyOptions, isolation: MirrorOptions['isolation']): Promise<void> {
  let mirror: Mirror | undefined
  try {
    mirror = new Mirror({
      source: o.bed.source.config(),
      target: o.bed.target.config(),
      topics: o.stages.map(({ topic }) => topic),
      link: o.link,
      syncGroups: false,
      discoveryIntervalMs: 1_000,
      logger: silent,
      ...(isolation !== undefined && { isolation })
    })
    await mirror.start()
    await rest(mirror, o)
    if (o.until === 'middle') return
    const running = mirror
    await concerning(o.stages, stage => eventuallySay(running, stage, o.phase))
    if (o.until === 'rest') return
    await concerning(o.stages, stage => stage.shape.finish?.(stage))
    await caughtUp(mirror, o)
  } catch (error) {
    for (const stage of o.stages) stage.failures.push(explain(error))
  } finally {
    if (mirror !== undefined) writeDownFailedLanes(mirror, o.stages)
    await mirror?.stop()
  }
}

/** What a lane waits for is found out by and by. */
async function eventuallySay(mirror: Mirror, stage: Stage, phase: Phase): Promise<void> {
  for (const deadline = Date.now() + SAY_WITHIN_MS; ; await sleep(200)) {
    try {
      return await stage.shape.resting?.(stage, lanesOf(mirror, stage), phase)
    } catch (error) {
      if (Date.now() > deadline) throw error
    }
  }
}

/** Exact when no lane has failed; otherwise the healthy ones are given the time to come to rest. */
async function caughtUp(mirror: Mirror, o: CopyOptions): Promise<void> {
  try {
    await mirror.caughtUp({ timeoutMs: CAUGHT_UP_WITHIN_MS })
  } catch (error) {
    await sleep(1_000)
    await rest(mirror, o)
    const lanes = mirror.status().lanes
    if (!lanes.some(({ state }) => state === 'failed')) throw error
  }
}

async function rest(mirror: Mirror, { stages, until }: CopyOptions): Promise<void> {
  const partitions = stages.reduce((sum, stage) => sum + stage.partitions, 0)
  const whole = new Set(stages.filter(({ shape }) => shape.compares === 'seen').map(({ topic }) => topic))
  const deadline = Date.now() + REST_WITHIN_MS
  for (let seen = 0; seen < SEEN_RESTING; ) {
    if (Date.now() > deadline) return writeDownRestless(mirror, stages)
    const { lanes } = mirror.status()
    const resting = lanes.filter(isResting)
    if (until === 'middle') {
      const wholeRest = lanes.every(lane => !whole.has(lane.topic) || isResting(lane))
      if (wholeRest && resting.length * 2 >= partitions) return
    }
    seen = resting.length === lanes.length && lanes.length >= partitions ? seen + 1 : 0
    await sleep(until === 'middle' ? 1 : 100)
  }
}

function isResting({ state, position, sourceEnd }: LaneStatus): boolean {
  return RESTING.has(state) && (state !== 'caught-up' || position >= sourceEnd)
}

function writeDownRestless(mirror: Mirror, stages: readonly Stage[]): void {
  for (const stage of stages) {
    const lanes = lanesOf(mirror, stage)
    if (lanes.length < stage.partitions) stage.failures.push(`${lanes.length} of ${stage.partitions} lanes exist`)
    const restless = lanes.find(lane => !isResting(lane))
    if (restless) stage.failures.push(`lane ${restless.partition} is still ${describeLane(restless)}`)
  }
}

function writeDownFailedLanes(mirror: Mirror, stages: readonly Stage[]): void {
  for (const stage of stages) {
    const failed = lanesOf(mirror, stage).find(({ state }) => state === 'failed' || state === 'stopped')
    if (failed) stage.failures.push(`lane ${failed.partition} is ${describeLane(failed)}`)
  }
}

function describeLane({ state, why, position, sourceEnd, error }: LaneStatus): string {
  const reason = error === undefined ? (why ?? '') : explain(error)
  return `${state} at ${position} of ${sourceEnd}${reason === '' ? '' : `: ${reason}`}`
}

function lanesOf(mirror: Mirror, { topic }: Stage): LaneStatus[] {
  return mirror.status().lanes.filter(lane => lane.topic === topic)
}

async function concerning(
  stages: readonly Stage[],
  work: (stage: Stage) => Promise<void> | void | undefined
): Promise<void> {
  await Promise.all(
    stages.map(async stage => {
      try {
        await work(stage)
      } catch (error) {
        stage.failures.push(explain(error))
      }
    })
  )
}

function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error instanceof TwinlogError ? `${error.code}: ${error.message}` : error.message
}
