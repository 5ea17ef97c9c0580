import { TwinlogError } from '../../errors.js'
import type { Segment } from '../../records/types.js'
import type { AdmitRecords } from '../schemas/lane-schemas.js'
import type { Transform } from '../transform-types.js'
import type { OutputRoute } from './mirror-record.js'
import { type RouteTarget, RouteTable } from './routes.js'
import { type RecordFailure, type TransformedSegments, transformSegments } from './run-transform.js'

/** A target partition that no lane of this source partition writes to yet. */
export interface NewRoute extends RouteTarget {
  /** Source offset of the first output that goes there: where its lane begins. */
  firstOffset: bigint
}

export interface TransformPlan extends TransformedSegments {
  /** Their lanes must exist durably before the batches are added to this one: behind them nobody would look for these outputs. */
  newRoutes: NewRoute[]
}

export interface LaneTransformOptions {
  transform: Transform
  source: { topic: string; partition: number }
  /** What the lane itself writes to. */
  target: RouteTarget
  /** Where outputs without a route go: the target of the source partition's first lane. */
  fallback: RouteTarget
  partitionsOf: (topic: string) => number | undefined
  /** Finds or creates a topic, or looks at it anew; afterwards `partitionsOf` knows it. */
  learnTopic: (topic: string, signal: AbortSignal) => Promise<void>
  /** Whether some lane of this source partition writes there. */
  hasLane: (target: RouteTarget) => boolean
  timeoutMs: number
  onError: (failure: RecordFailure) => Promise<'drop' | 'stop'>
  limits: { maxBatchBytes: number; preferredBatchBytes?: number | undefined }
}

/** A lane's transform: which outputs are the lane's, and which routes still need a lane. */
export class LaneTransform {
  readonly #o: LaneTransformOptions
  readonly #routes: RouteTable

  constructor(o: LaneTransformOptions) {
    this.#o = o
    this.#routes = new RouteTable(o)
  }

  /** One call at a time. The bytes of the segments must stay as they are until it resolves. */
  async plan(
    segments: readonly Segment[],
    { signal, admit }: { signal: AbortSignal; admit?: AdmitRecords | undefined }
  ): Promise<TransformPlan> {
    const { transform, source, timeoutMs, onError, limits } = this.#o
    const newRoutes = new Map<string, NewRoute>()
    const judge = (to: RouteTarget, offset: bigint) => {
      if (isSame(to, this.#o.target)) return 'mine'
      const key = `${to.topic}/${to.partition}`
      if (!newRoutes.has(key) && !this.#o.hasLane(to)) newRoutes.set(key, { ...to, firstOffset: offset })
      return 'other'
    }
    const mine = (output: OutputRoute, offset: bigint) => {
      const to = this.#known(output)
      return to === undefined ? this.#learnt(output, signal).then(found => judge(found, offset)) : judge(to, offset)
    }
    const planned = await transformSegments(segments, {
      transform,
      source,
      mine,
      timeoutMs,
      signal,
      onError,
      admit,
      ...limits
    })
    return { ...planned, newRoutes: [...newRoutes.values()] }
  }

  /** Undefined also where the topic may have grown since it was looked at. */
  #known(output: OutputRoute): RouteTarget | undefined {
    try {
      return this.#routes.resolve(output)
    } catch {
      return undefined
    }
  }

  async #learnt(output: OutputRoute, signal: AbortSignal): Promise<RouteTarget> {
    const topic = this.#routes.topicOf(output)
    await this.#o.learnTopic(topic, signal)
    const found = this.#routes.resolve(output)
    if (found !== undefined) return found
    throw new TwinlogError('TWINLOG_UNKNOWN_TOPIC', `the transform routes to topic ${topic}, which does not exist`, {
      topic,
      retriable: true
    })
  }
}

const isSame = (a: RouteTarget, b: RouteTarget) => a.partition === b.partition && a.topic === b.topic
