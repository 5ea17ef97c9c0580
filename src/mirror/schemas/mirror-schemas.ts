import type { Logger } from '../../logger.js'
import type { SchemaGate } from '../../schemas/gate-types.js'
import { matches } from '../../util/selector.js'
import type { MirrorEvents } from '../events.js'
import type { LaneTopic } from '../lane-types.js'
import { IdMap, type IdMapState } from './id-map.js'
import { LaneSchemas } from './lane-schemas.js'
import type { ResolvedSchemas } from './options.js'
import { TopicSchemas } from './read-look.js'
import { expiredError } from './schema-hold.js'
import { type SchemaWait, SchemaWaits } from './schema-waits.js'

type MissingEvent = Parameters<MirrorEvents['schema:missing']>[0]

export interface MirrorSchemasEvents {
  missing(event: MissingEvent): void
  warning(message: string): void
}

/** The schema gate of a Mirror between start and stop: what its lanes know together, and the map of ids. */
export class MirrorSchemas {
  readonly #options: ResolvedSchemas
  readonly #gate: SchemaGate
  readonly #waits: SchemaWaits
  readonly #events: MirrorSchemasEvents
  readonly #topics = new Map<string, TopicSchemas>()
  #map: IdMap | undefined
  #ended = false

  constructor(o: { options: ResolvedSchemas; logger: Logger; events: MirrorSchemasEvents }) {
    const { sync, subjectsOf, timeoutMs } = o.options
    this.#options = o.options
    this.#events = o.events
    this.#gate = sync.gate({ subjectsOf })
    this.#waits = new SchemaWaits({ timeoutMs, logger: o.logger, missing: wait => this.#missing(wait) })
  }

  /** Ids of the chosen topics are others on the target. */
  get rewrites(): boolean {
    return this.#gate.ids === 'translate'
  }

  /** Records may be left out for want of a schema. */
  get drops(): boolean {
    return this.#options.onTimeout === 'dead-letter'
  }

  chooses(topic: string): boolean {
    return matches(this.#options.topics, topic)
  }

  /** Before the first lane. Again does nothing. */
  begin(state: IdMapState): void {
    if (!this.rewrites || this.#ended) return
    this.#map ??= new IdMap({
      gate: this.#gate,
      state,
      changed: ({ sourceId, targetId, before }) =>
        this.#events.warning(
          `schema id ${sourceId} of the source was ${before} on the target registry and is ${targetId} there now: the registry was built anew, or is another one. ` +
            `What is copied from now on carries ${targetId}; what was copied before still carries ${before}`
        )
    })
  }

  end(): void {
    this.#ended = true
    this.#waits.end()
    this.#map?.end()
  }

  /** Undefined for a topic that is not chosen. */
  ofLane(source: LaneTopic): LaneSchemas | undefined {
    if (!this.chooses(source.topic)) return undefined
    let topic = this.#topics.get(source.topic)
    if (!topic) {
      topic = new TopicSchemas(source.topic, this.#gate)
      this.#topics.set(source.topic, topic)
    }
    return new LaneSchemas({ topic, waits: this.#waits, source, onTimeout: this.#options.onTimeout })
  }

  #missing(wait: SchemaWait): void {
    const { topic, partition, offset, part, ref } = wait.work.named
    const error = expiredError(wait.work.named, wait, this.#waits.timeoutMs)
    const named = typeof ref === 'number' ? { schemaId: ref } : { schemaGuid: ref }
    this.#events.missing({ topic, partition, offset, part, ...named, error })
  }
}
