import { setTimeout as sleep } from 'node:timers/promises'
import type { ShapesBed } from './bed.js'
import { compareStage, rememberSeen } from './compare.js'
import { copy, type CopyEnd } from './copy.js'
import type { Row } from './report.js'
import { type Compression, type Mode, type Phase, type Shape, Stage } from './shape.js'

export interface RunOptions {
  bed: ShapesBed
  shapes: readonly Shape[]
  compression: Compression | 'mixed'
  mode: Mode
  /** Where the first Mirror of `resumed` stops: when everything rests, or when half of the lanes do. */
  firstStop: 'rest' | 'middle'
}

/** How many topics are written and compared at once: the brokers and this process share two cores. */
const AT_ONCE = 6
const CREATED_WITHIN_MS = 60_000

/** Writes, copies and compares all shapes of a compression, side by side; one that fails does not touch the others. */
export async function runShapes(o: RunOptions): Promise<Row[]> {
  const { bed, mode } = o
  const compression = o.compression === 'mixed' ? 'none' : o.compression
  const stages = o.shapes.map(shape => new Stage({ shape, compression, mode, source: bed.source, oracle: bed.oracle }))
  const healthy = (): Stage[] => stages.filter(stage => stage.failures.length === 0)
  const each = (work: (stage: Stage) => Promise<void>) => eachOf(healthy(), work)
  const link = `shapes-${o.compression}-${mode}`
  const write = (phase: Phase) =>
    each(async stage => {
      await stage.shape.write(stage, phase)
      await stage.shape.verifySetup?.(stage, phase)
    })
  const copyAll = (phase: Phase, until: CopyEnd) => copy({ bed, link, stages: healthy(), phase, until })

  await each(stage => createTopics(bed, stage))
  await write(1)
  if (mode === 'resumed') {
    await copyAll(1, o.firstStop)
    await each(rememberSeen)
  }
  await write(2)
  await copyAll(2, 'everything')
  const rows = new Map<Stage, Row>()
  await eachOf(stages, async stage => {
    const row: Row = {
      shape: stage.shape.name,
      compression: o.compression,
      mode,
      records: 0,
      differences: 0,
      failures: stage.failures
    }
    rows.set(stage, row)
    // A lane that stopped half-way is reported as that; how much is missing then says little.
    if (stage.failures.length === 0) Object.assign(row, await compareStage(bed, stage, mode))
  })
  await eachOf(stages, stage => removeTopics(bed, stage))
  return stages.map(stage => rows.get(stage) as Row)
}

async function createTopics(bed: ShapesBed, stage: Stage): Promise<void> {
  const { partitions, topic, shape } = stage
  await bed.oracle.createTopic({ ...stage.where, partitions, configs: shape.configs })
  await everyLeaderAnswers(stage)
  if (shape.target !== undefined)
    await bed.oracle.createTopic({
      cluster: bed.target.bootstrap,
      topic,
      partitions,
      configs: shape.target(stage.compression)
    })
}

/** With a thousand partitions the broker needs some seconds; a producer that comes before may wait for its two minutes. */
async function everyLeaderAnswers(stage: Stage): Promise<void> {
  const deadline = Date.now() + CREATED_WITHIN_MS
  for (;;) {
    const ends = await stage.oracle.endOffsets(stage.where).catch((error: unknown) => error)
    if (Array.isArray(ends) && ends.length === stage.partitions) return
    if (Date.now() > deadline)
      throw new Error(`${stage.topic} was not created within ${CREATED_WITHIN_MS} ms`, { cause: ends })
    await sleep(100)
  }
}

/** A thousand partitions are heavy for a broker of this size; the others may stay. */
async function removeTopics(bed: ShapesBed, { topic, partitions }: Stage): Promise<void> {
  if (partitions < 100) return
  await bed.oracle.deleteTopic({ cluster: bed.source.bootstrap, topic })
  await bed.oracle.deleteTopic({ cluster: bed.target.bootstrap, topic }).catch(() => undefined)
}

async function eachOf(stages: readonly Stage[], work: (stage: Stage) => Promise<void>): Promise<void> {
  const queue = [...stages]
  const worker = async (): Promise<void> => {
    for (let stage = queue.shift(); stage !== undefined; stage = queue.shift()) {
      try {
        await work(stage)
      } catch (error) {
        stage.failures.push(error instanceof Error ? error.message : String(error))
      }
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
}
