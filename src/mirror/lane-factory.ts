import type { ClusterClient } from '../kafka/cluster.js'
import { laneTransactionalId } from '../lineage/fence.js'
import { laneKey } from '../lineage/state-keys.js'
import type { Segment } from '../records/types.js'
import { Lane, type LaneHost } from './lane.js'
import type { Hold } from './lane-buffer.js'
import { lanePlan } from './lane-guard.js'
import type { LaneRoutes } from './lane-routes.js'
import type { LaneLimits, LaneSpec } from './lane-types.js'
import type { LaneWork, TransformedPlan } from './lane-work.js'
import type { LinkBinding } from './link-session.js'
import type { ResolvedMirrorOptions } from './options.js'
import type { LaneSchemas } from './schemas/lane-schemas.js'
import type { MirrorSchemas } from './schemas/mirror-schemas.js'
import { transactionCalls } from './transaction-calls.js'
import { LaneTransform } from './transform/plan-transform.js'
import type { Transform } from './transform-types.js'

const LANE_BUFFER_BYTES = 4 << 20
const COALESCE_BELOW_BYTES = 32 << 10
/** What a batch that is put together grows to, whatever the target would accept. */
const PREFERRED_BATCH_BYTES = 1_000_000

export const keyOf = ({ source, target }: Pick<LaneSpec, 'source' | 'target'>): string =>
  laneKey({
    sourceTopicId: source.topicId,
    sourcePartition: source.partition,
    targetTopicId: target.topicId,
    targetPartition: target.partition
  })

/** Makes lanes: what each is allowed, and what this process does with its records. */
export class LaneFactory {
  readonly #target: ClusterClient
  readonly #link: LinkBinding
  readonly #options: ResolvedMirrorOptions
  readonly #host: LaneHost
  readonly #routes: LaneRoutes
  readonly #hold: Hold
  readonly #signal: AbortSignal
  readonly #schemas: MirrorSchemas | undefined

  constructor(o: {
    target: ClusterClient
    link: LinkBinding
    options: ResolvedMirrorOptions
    host: LaneHost
    routes: LaneRoutes
    hold: Hold
    /** Ends transforms that are being waited for. */
    signal: AbortSignal
    schemas?: MirrorSchemas | undefined
  }) {
    this.#target = o.target
    this.#link = o.link
    this.#options = o.options
    this.#host = o.host
    this.#routes = o.routes
    this.#hold = o.hold
    this.#signal = o.signal
    this.#schemas = o.schemas
  }

  make(spec: LaneSpec): Lane {
    const key = keyOf(spec)
    const transactionalId = laneTransactionalId(this.#options.link, key)
    const { topic, partition } = spec.target
    const { opened } = this.#link
    if (opened) this.#schemas?.begin(opened.state)
    const schemas = this.#schemas?.ofLane(spec.source)
    const lane: Lane = new Lane({
      key,
      source: spec.source,
      target: spec.target,
      host: this.#host,
      limits: this.limits(spec),
      work: this.#work(spec, () => lane, schemas),
      transactionalId,
      transactions: transactionCalls(this.#target, { transactionalId, topic, partition }),
      hold: this.#hold,
      routed: spec.routed,
      first: spec.first
    })
    return lane
  }

  limits(spec: LaneSpec): LaneLimits {
    return {
      maxBatchBytes: spec.maxBatchBytes,
      preferredBatchBytes: PREFERRED_BATCH_BYTES,
      coalesceBelowBytes: COALESCE_BELOW_BYTES,
      bufferBytes: LANE_BUFFER_BYTES,
      producerIdExpirationMs: this.#link.opened?.producerIdExpirationMs ?? 0,
      logAppendTime: spec.logAppendTime
    }
  }

  /** The configs of the lane's topics have changed. True when its plan has changed with them. */
  reconfigure(lane: Lane, spec: LaneSpec): boolean {
    const work = this.#work(spec, () => lane, lane.work.schemas)
    const changed = work.plan.digest !== lane.work.plan.digest
    lane.reconfigure({ limits: this.limits(spec), work })
    return changed
  }

  #work(spec: LaneSpec, lane: () => Lane, schemas: LaneSchemas | undefined): LaneWork {
    const { isolation, forward, onRecordError, onGap } = this.#options
    const transform = this.#options.transform(spec.source.topic)
    return {
      plan: lanePlan({
        isolation,
        forward,
        transformed: transform !== undefined,
        compacted: spec.compacted,
        routed: spec.routed === true,
        onRecordError,
        onGap,
        rewritesSchemaIds: schemas !== undefined && this.#schemas?.rewrites,
        dropsWithoutSchema: schemas !== undefined && this.#schemas?.drops
      }),
      isolation,
      onRecordError,
      onGap,
      classify: id => this.#link.session.provenance.classify(id),
      ...(transform ? { transform: this.#transform(transform, spec, lane, schemas) } : {}),
      ...(schemas ? { schemas } : {})
    }
  }

  #transform(
    transform: Transform,
    spec: LaneSpec,
    lane: () => Lane,
    schemas: LaneSchemas | undefined
  ): (segments: Segment[], seenAt: number) => Promise<TransformedPlan> {
    const planner = new LaneTransform({
      transform,
      source: spec.source,
      target: spec.target,
      fallback: this.#routes.fallbackOf(spec.source),
      partitionsOf: topic => this.#routes.partitionsOf(topic),
      learnTopic: topic => this.#routes.learn(topic, spec.source),
      hasLane: target => this.#routes.has(spec.source, target),
      timeoutMs: this.#options.transformTimeoutMs,
      onError: async failure => {
        if (this.#options.onRecordError === 'stop-partition') return 'stop'
        // Every lane of the source partition meets what the transform throws; one of them tells.
        const told = spec.routed === true && failure.error.code === 'TWINLOG_TRANSFORM_FAILED'
        if (!told) await this.#host.dropped(lane(), failure)
        return 'drop'
      },
      limits: { maxBatchBytes: this.limits(spec).maxBatchBytes }
    })
    return async (segments, seenAt) => {
      const admit = schemas?.records(segments, seenAt)
      const plan = await planner.plan(segments, { signal: this.#signal, admit })
      // Before this lane passes the offsets at which they begin: behind them nobody would look for their records.
      await this.#routes.open(spec, plan.newRoutes)
      return plan
    }
  }
}
