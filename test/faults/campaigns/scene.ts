import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { type LaneStatus, Mirror, type MirrorEvents, type MirrorOptions, OffsetTranslator } from '../../../src/index.js'
import type { KafkaCluster } from '../../support/kafka.js'
import type { WrittenRecord } from '../../support/oracle.js'
import type { Bed } from './bed.js'

const EVENTS = [
  'lane:state',
  'lane:gap',
  'lane:failed',
  'record:dead-letter',
  'record:skipped',
  'throttled',
  'topic:created',
  'topic:grown',
  'warning',
  'error'
] as const satisfies (keyof MirrorEvents)[]

type EventName = (typeof EVENTS)[number]
type Payload<E extends EventName> = Parameters<MirrorEvents[E]>[0]

const TIMEOUT_MS = 60_000
const quiet = { debug() {}, info() {}, warn() {}, error() {} }
const loud = { debug() {}, info: console.error, warn: console.error, error: console.error }

/** A Mirror in this process, with everything that it has told. */
export class WatchedMirror {
  readonly mirror: Mirror
  readonly #told: { event: EventName; payload: unknown }[] = []

  constructor(mirror: Mirror) {
    this.mirror = mirror
    for (const event of EVENTS) mirror.on(event, (payload: unknown) => void this.#told.push({ event, payload }))
  }

  of<E extends EventName>(event: E): Payload<E>[] {
    return this.#told.filter(each => each.event === event).map(each => each.payload as Payload<E>)
  }

  lane(partition = 0): LaneStatus {
    const found = this.mirror.status().lanes.find(lane => lane.partition === partition)
    if (!found) throw new Error(`there is no lane ${partition}`)
    return found
  }

  async laneIs(state: LaneStatus['state'], partition = 0, code?: string): Promise<LaneStatus> {
    const seen = () => this.mirror.status().lanes.find(lane => lane.partition === partition)
    await eventually(
      () => seen()?.state === state && (code === undefined || seen()?.error?.code === code),
      () =>
        `lane ${partition} is ${seen()?.state} (${seen()?.error?.code ?? ''} ${seen()?.why}), not ${state} ${code ?? ''}`
    )
    return this.lane(partition)
  }

  async copied(): Promise<void> {
    await this.mirror.caughtUp({ timeoutMs: TIMEOUT_MS })
  }
}

export interface SceneOptions {
  partitions?: number | undefined
  configs?: Record<string, string> | undefined
}

/** One topic and one link: for cases whose point is a state, an event and a policy. Values are what tells records apart. */
export class Scene {
  readonly bed: Bed
  readonly topic: string
  readonly #options: SceneOptions
  readonly #startedAt = Date.now()
  readonly #mirrors: WatchedMirror[] = []

  private constructor(bed: Bed, name: string, options: SceneOptions) {
    this.bed = bed
    this.topic = name
    this.#options = options
  }

  static async open(bed: Bed, name: string, options: SceneOptions = {}): Promise<Scene> {
    const scene = new Scene(bed, name, options)
    await scene.createTopic()
    return scene
  }

  get source(): { cluster: string[]; topic: string } {
    return { cluster: this.bed.east.bootstrap, topic: this.topic }
  }

  get target(): { cluster: string[]; topic: string } {
    return { cluster: this.bed.west.bootstrap, topic: this.topic }
  }

  async createTopic(partitions = this.#options.partitions ?? 1): Promise<void> {
    const replicationFactor = this.bed.east.brokers.length
    await this.bed.oracle.createTopic({ ...this.source, partitions, replicationFactor, configs: this.#options.configs })
  }

  /** As one batch. */
  async write(values: readonly (string | WrittenRecord)[], partition = 0): Promise<bigint[]> {
    const send = values.map(value => (typeof value === 'string' ? { key: 'k', value } : value))
    const { offsets } = await this.bed.oracle.write({ ...this.source, steps: [{ send, partition }] })
    return offsets[0] ?? []
  }

  async mirror(options: Partial<MirrorOptions> = {}): Promise<WatchedMirror> {
    const watched = new WatchedMirror(
      new Mirror({
        source: this.bed.east.config('east'),
        target: this.bed.west.config('west'),
        topics: this.topic,
        link: this.topic,
        syncGroups: false,
        discoveryIntervalMs: 300,
        logger: process.env.TWINLOG_TEST_LOG ? loud : quiet,
        ...options
      })
    )
    this.#mirrors.push(watched)
    await watched.mirror.start()
    return watched
  }

  /** What a committed reader finds, by value. */
  async values(side: 'source' | 'target', partition = 0): Promise<string[]> {
    return (await this.bed.oracle.read({ ...this[side], partition })).map(({ value }) => String(value))
  }

  /** Until the target holds these, and nothing else. */
  async targetBecomes(values: readonly string[], partition = 0): Promise<void> {
    let found: string[] = []
    await eventually(
      async () => {
        found = await this.values('target', partition).catch(() => [])
        return found.length >= values.length
      },
      () => `${found.length} of ${values.length} values are on the target`
    )
    expect(found).toEqual(values)
  }

  async expectEqual(): Promise<void> {
    const comparison = await this.bed.oracle.compare({
      source: this.bed.east.bootstrap,
      target: this.bed.west.bootstrap,
      sourceTopic: this.topic
    })
    expect(comparison).toMatchObject({ equal: true, missing: 0, repeated: 0, outOfOrder: 0, altered: 0, extra: 0 })
  }

  /**
   * Every source position from 0 to `end` resumes at the first copied record that stands there or behind. `copied`: source offset and value
   * of each, in order.
   */
  async expectTranslations(copied: readonly (readonly [bigint, string])[], end: bigint, from = 0n): Promise<void> {
    const onTarget = await this.bed.oracle.read({ ...this.target, partition: 0 })
    const placeOf = new Map(onTarget.map(({ value, offset }) => [String(value), offset]))
    const behind = (placeOf.get(copied.at(-1)?.[1] ?? '') ?? -1n) + 1n
    const translator = new OffsetTranslator({ source: 'east', target: this.bed.west.config('west'), link: this.topic })
    await translator.connect()
    try {
      const wrong: string[] = []
      for (let offset = from; offset <= end; offset++) {
        const next = copied.find(([at]) => at >= offset)
        const wanted = next ? placeOf.get(next[1]) : behind
        const found = await translator.translate({ topic: this.topic, partition: 0, offset })
        if (found.kind !== 'exact' || found.offset !== wanted)
          wrong.push(`${offset} → ${found.kind} ${'offset' in found ? found.offset : ''}, not ${wanted}`)
      }
      expect(wrong.slice(0, 10)).toEqual([])
    } finally {
      await translator.disconnect()
    }
  }

  /** Its figures, then its end: nothing of a case runs on into the next one. */
  async close(what: string): Promise<void> {
    const seconds = ((Date.now() - this.#startedAt) / 1000).toFixed(0)
    const told = EVENTS.filter(event => event !== 'lane:state').flatMap(event => {
      const times = this.#mirrors.reduce((sum, watched) => sum + watched.of(event).length, 0)
      return times === 0 ? [] : [`${event} × ${times}`]
    })
    console.log(`── ${this.topic} (${seconds} s) ── ${what}${told.length > 0 ? ` | told: ${told.join(', ')}` : ''}`)
    await this.stop()
  }

  async stop(): Promise<void> {
    await Promise.all(this.#mirrors.map(({ mirror }) => mirror.stop()))
  }
}

/** Opens a scene, plays it, says what came of it, and ends its Mirrors whatever happened. */
export async function play(
  bed: Bed,
  name: string,
  options: SceneOptions,
  act: (scene: Scene) => Promise<string>
): Promise<void> {
  const scene = await Scene.open(bed, name, options)
  try {
    await scene.close(await act(scene))
  } finally {
    await scene.stop()
  }
}

/** '7' … as many as wanted, from a number on. */
export function numbers(from: number, to: number, prefix = ''): string[] {
  return Array.from({ length: to - from }, (_unused, index) => `${prefix}${from + index}`)
}

/** Source offset and value of records that lie where they were counted. */
export function placed(values: readonly string[], from = 0n): [bigint, string][] {
  return values.map((value, index) => [from + BigInt(index), value])
}

export async function eventually(
  check: () => boolean | Promise<boolean>,
  problem: () => string = () => 'did not become true in time',
  timeoutMs = TIMEOUT_MS
): Promise<void> {
  const deadline = Date.now() + timeoutMs
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error(problem())
    await sleep(30)
  }
}

/** The broker that leads the only partition. */
export const onlyBroker = (cluster: KafkaCluster) => {
  const [broker] = cluster.brokers
  if (!broker) throw new Error(`cluster ${cluster.name} has no broker`)
  return broker
}
