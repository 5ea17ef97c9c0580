import { type TwinlogError, toTwinlogError } from '../errors.js'
import type { LaneState } from '../lineage/lane-state.js'
import type { Lane } from './lane.js'
import { keyOf } from './lane-factory.js'
import type { LaneRoutes } from './lane-routes.js'
import { type LaneSpec, type LaneTopic, shareIdOf } from './lane-types.js'
import type { TopicTraits } from './topic-traits.js'

/** A lane that goes to another process has so long to get what it holds to the target. */
const RELEASE_MS = 2_000
const RELEASE_POLL_MS = 10

export type Assignment = ReadonlySet<string> | 'all'

interface LaneSetHost {
  make(spec: LaneSpec): Lane
  /** Resolves when each of them is copying, waiting, stopped or failed. */
  start(lanes: Lane[]): Promise<void>
  /** Writes down where a lane begins. */
  bear(lane: Lane): Promise<void>
  /** The topics' configs have changed. True when the lane's plan has changed with them. */
  reconfigure(lane: Lane, spec: LaneSpec): boolean
  /** Nothing of this lane is fetched or appended any more. */
  removed(lane: Lane): void
  writeCheckpoints(): Promise<void>
  isPaused(topic: string): boolean
  isTransformed(topic: string): boolean
  /** Every lane that the link has ever had. */
  bornLanes(): Promise<Iterable<LaneState>>
}

/** Which lanes there are, and which of them are this process's: what discovery names, what transforms open, what sharing deals out. */
export class LaneSet {
  readonly lanes = new Map<string, Lane>()
  readonly #host: LaneSetHost
  readonly #routes: LaneRoutes
  /** Every source partition that discovery has named, with the lanes that its transform has opened. */
  readonly #specs = new Map<string, LaneSpec[]>()
  /** Lanes whose transform's other lanes could not be looked for. */
  readonly #blocked = new Map<string, Lane>()
  /** Lanes that are on their way to another process. */
  readonly #releasing = new Set<Lane>()
  #assigned: Assignment = 'all'

  constructor(routes: LaneRoutes, host: LaneSetHost) {
    this.#routes = routes
    this.#host = host
  }

  /** Source partitions that can be shared out. */
  get shareIds(): string[] {
    return [...this.#specs].flatMap(([id, [main]]) => (main?.refused ? [] : [id]))
  }

  /** Lanes of this link that another process copies, or would. */
  elsewhere(): LaneSpec[] {
    return [...this.#specs.values()].flat().filter(spec => !spec.refused && !this.#isMine(spec.source))
  }

  specOf(lane: Lane): LaneSpec | undefined {
    return this.#specs.get(shareIdOf(lane.source))?.find(spec => keyOf(spec) === lane.key)
  }

  /** Whether discovery, or a transform, still names this lane. */
  knows(spec: Pick<LaneSpec, 'source' | 'target'>): boolean {
    return (
      this.lanes.has(keyOf(spec)) ||
      (this.#specs.get(shareIdOf(spec.source)) ?? []).some(own => keyOf(own) === keyOf(spec))
    )
  }

  isReleasing(lane: Lane): boolean {
    return this.#releasing.has(lane)
  }

  /** What discovery has found. Nothing of it is lost when this rejects: the next call goes on with it. */
  async add(specs: LaneSpec[]): Promise<void> {
    for (const spec of specs) {
      const id = shareIdOf(spec.source)
      const [main, ...routed] = this.#specs.get(id) ?? []
      const same = main !== undefined && keyOf(main) === keyOf(spec)
      if (main && !same) this.#forget(spec.source)
      this.#routes.add(spec)
      this.#specs.set(id, same ? [spec, ...routed] : [spec])
    }
    await this.#apply()
  }

  /** Source topics that are gone: nothing is left to copy from them. */
  retire(topics: { topic: string; topicId: string }[]): void {
    for (const [id, [main]] of [...this.#specs]) {
      if (!main || !topics.some(({ topicId }) => topicId === main.source.topicId)) continue
      this.#specs.delete(id)
      this.#forget(main.source)
    }
  }

  reconfigure(topic: string, traits: TopicTraits): void {
    for (const [main, ...routed] of [...this.#specs.values()]) {
      if (main?.source.topic !== topic) continue
      this.#respec({ ...main, ...traits })
      for (const spec of routed) this.#respec({ ...spec, compacted: traits.compacted })
    }
  }

  /** What holds for the whole target has changed. */
  reconfigureAll(): void {
    for (const specs of [...this.#specs.values()]) for (const spec of specs) if (!spec.refused) this.#respec(spec)
  }

  /** The source topic of this lane is compacted, as its log shows. */
  compacted(lane: Lane): void {
    for (const spec of this.#specs.get(shareIdOf(lane.source)) ?? []) this.#respec({ ...spec, compacted: true })
  }

  /** Which source partitions this process copies. Lanes that stay go on undisturbed; those that go hand over what they hold. */
  async assign(ids: Assignment): Promise<void> {
    this.#assigned = ids
    for (const lane of [...this.lanes.values()])
      if (!this.#isMine(lane.source) && !this.specOf(lane)?.refused) void this.#release(lane)
    await this.#apply()
  }

  /** A lane that a transform needs from now on: its beginning is written down when this resolves. */
  async addRouted(spec: LaneSpec): Promise<void> {
    const id = shareIdOf(spec.source)
    const lane = this.#make(spec)
    if (!lane) return
    try {
      await this.#host.bear(lane)
    } catch (error) {
      this.#remove(lane)
      throw error
    }
    const specs = this.#specs.get(id)
    // The source topic is gone, or this process no longer copies it; what is written down is found again.
    if (!specs?.[0] || !this.#isMine(spec.source)) return this.#remove(lane)
    this.#specs.set(id, [...specs, spec])
    void this.#host.start([lane])
  }

  #isMine(source: LaneTopic): boolean {
    return this.#assigned === 'all' || this.#assigned.has(shareIdOf(source))
  }

  /** Starts every lane that is this process's and is not there yet. One source partition's trouble is its own. */
  async #apply(): Promise<void> {
    const fresh: Lane[] = []
    for (const [id, [main]] of [...this.#specs]) {
      // What cannot be copied is nobody's, and shows everywhere.
      if (!main || (!main.refused && !this.#isMine(main.source))) continue
      const blocked = this.#blocked.get(keyOf(main))
      if (blocked) this.#remove(blocked)
      this.#blocked.delete(keyOf(main))
      try {
        if (!this.lanes.has(keyOf(main))) await this.#findRouted(id, main)
      } catch (error) {
        this.#block(
          main,
          toTwinlogError(error, 'TWINLOG_INTERNAL', 'cannot find the lanes that the transform has opened')
        )
        continue
      }
      // It may have been dealt to another process meanwhile.
      if (!main.refused && !this.#isMine(main.source)) continue
      for (const spec of this.#specs.get(id) ?? []) {
        const lane = this.#make(spec)
        if (lane) fresh.push(lane)
      }
    }
    await this.#host.start(fresh)
  }

  /** Shows why the lane is not copied; the next round tries again. */
  #block(spec: LaneSpec, error: TwinlogError): void {
    const lane = this.#make(spec)
    if (!lane) return
    this.#blocked.set(lane.key, lane)
    lane.stop(error.message, error)
  }

  /** Lanes that a transform has opened, here or elsewhere, before the source partition came to this process. */
  async #findRouted(id: string, main: LaneSpec): Promise<void> {
    if (main.refused || !this.#host.isTransformed(main.source.topic)) return
    const known = await this.#routes.known(main, await this.#host.bornLanes())
    // Discovery may have gone on meanwhile.
    const [now, ...routed] = this.#specs.get(id) ?? []
    if (!now || keyOf(now) !== keyOf(main)) return
    const merged = new Map([...routed, ...known].map(spec => [keyOf(spec), spec]))
    for (const spec of merged.values()) this.#routes.add(spec)
    this.#specs.set(id, [now, ...merged.values()])
  }

  /** The lane, if it has to be started. */
  #make(spec: LaneSpec): Lane | undefined {
    const key = keyOf(spec)
    const before = this.lanes.get(key)
    if (before && (!this.#releasing.has(before) || this.#takeBack(before))) return undefined
    if (before) this.#remove(before)
    const lane = this.#host.make(spec)
    this.lanes.set(key, lane)
    if (this.#host.isPaused(spec.source.topic)) lane.pause()
    if (!spec.refused) return lane
    lane.fail(spec.refused)
    return undefined
  }

  /** A lane that was on its way to another process stays. False when it has stopped already. */
  #takeBack(lane: Lane): boolean {
    if (lane.over) return false
    this.#releasing.delete(lane)
    if (!this.#host.isPaused(lane.source.topic)) lane.resume()
    return true
  }

  #respec(spec: LaneSpec): void {
    const id = shareIdOf(spec.source)
    const specs = this.#specs.get(id) ?? []
    this.#specs.set(
      id,
      specs.map(known => (keyOf(known) === keyOf(spec) ? spec : known))
    )
    const lane = this.lanes.get(keyOf(spec))
    if (lane && this.#host.reconfigure(lane, spec)) lane.replan()
  }

  /** No lane of this source partition goes on. */
  #forget(source: LaneTopic): void {
    this.#routes.forget(source)
    for (const lane of [...this.lanes.values()]) {
      if (shareIdOf(lane.source) !== shareIdOf(source)) continue
      lane.stop('its topic is gone')
      this.#remove(lane)
    }
  }

  /** What the lane holds goes out, its place is written down, then it is another process's. */
  async #release(lane: Lane): Promise<void> {
    if (this.#releasing.has(lane)) return
    this.#releasing.add(lane)
    lane.pause()
    const deadline = performance.now() + RELEASE_MS
    const busy = () => this.#releasing.has(lane) && lane.state === 'paused' && !lane.needsRecovery && !lane.drained
    while (busy() && performance.now() < deadline) await new Promise(resolve => setTimeout(resolve, RELEASE_POLL_MS))
    await this.#host.writeCheckpoints().catch(() => undefined)
    if (!this.#releasing.has(lane)) return
    lane.stop('another process copies it now')
    this.#remove(lane)
  }

  #remove(lane: Lane): void {
    this.#releasing.delete(lane)
    if (this.lanes.get(lane.key) === lane) this.lanes.delete(lane.key)
    this.#host.removed(lane)
  }
}
