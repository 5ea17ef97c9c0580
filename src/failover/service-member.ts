import { TwinlogError, toTwinlogError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { ClusterLink } from './cluster-link.js'
import type { LocalParticipants } from './fleet-participants.js'
import { writeAnswer, watchInitiator } from './move-participant.js'
import { type ControlView, mergeViews, type MoveView, outcomeOf, type Settled } from '../control/moves.js'
import type { ClusterHandle } from './participants.js'
import type { ResolvedFailoverOptions } from './options.js'
import type { Heartbeat } from './presence.js'
import { LaneReopener } from './reopen-lanes.js'
import type { StateMachine } from './state-machine.js'

/** How long running handlers and unanswered sends may take in a planned move. */
const GRACE_MS = 30_000

export interface MemberEvents {
  moved(settled: Settled): void
  error(error: TwinlogError): void
}

/** This instance in its service: follows what the control topics say, whoever wrote it. */
export class ServiceMember {
  readonly #options: ResolvedFailoverOptions
  readonly #links: ReadonlyMap<string, ClusterLink>
  readonly #machine: StateMachine
  readonly #local: LocalParticipants
  readonly #events: MemberEvents
  readonly #signal: AbortSignal
  readonly #logger: Logger
  #settled: Settled | undefined
  #handle: ClusterHandle
  #participation: { epoch: number; done: Promise<void> } | undefined
  #reacting: Promise<void> = Promise.resolve()
  #queued = false
  #driving: number | undefined
  readonly #reopener: LaneReopener

  constructor(o: {
    options: ResolvedFailoverOptions
    links: ReadonlyMap<string, ClusterLink>
    machine: StateMachine
    local: LocalParticipants
    events: MemberEvents
    signal: AbortSignal
  }) {
    this.#options = o.options
    this.#links = o.links
    this.#machine = o.machine
    this.#local = o.local
    this.#events = o.events
    this.#signal = o.signal
    this.#logger = o.options.logger
    this.#reopener = new LaneReopener({ links: o.links, options: o.options })
    this.#handle = this.#handleFor(o.options.active, 0)
  }

  get handle(): ClusterHandle {
    return this.#handle
  }

  get epoch(): number {
    return this.#settled?.epoch ?? 0
  }

  views(): ReadonlyMap<string, ControlView> {
    const views = new Map<string, ControlView>()
    for (const link of this.#links.values()) if (link.view) views.set(link.alias, link.view)
    return views
  }

  heartbeat(): Heartbeat {
    const { service, instanceId: instance } = this.#options
    const driving = this.#driving === undefined ? {} : { driving: this.#driving }
    return { service, instance, epoch: this.epoch, topics: this.#local.topics, groups: this.#local.groups, ...driving }
  }

  drive(epoch: number | undefined): void {
    this.#driving = epoch
  }

  /** Takes the place that the control topics say, before anything works. */
  begin(): void {
    const { settled } = mergeViews(this.views())
    if (settled) this.#takeOver(settled)
    this.#local.begin(this.#handle)
    this.#rest('connected')
  }

  /** Never rejects: what goes wrong is an error event. One run at a time, and one more for everything that came meanwhile. */
  react(): Promise<void> {
    if (this.#queued) return this.#reacting
    this.#queued = true
    this.#reacting = this.#reacting.then(async () => {
      this.#queued = false
      if (this.#signal.aborted) return
      try {
        await this.#follow()
      } catch (error) {
        this.#events.error(toTwinlogError(error, 'TWINLOG_INTERNAL', 'could not follow a move'))
      }
    })
    return this.#reacting
  }

  /** This instance leaves the old cluster and says so. One run per move. */
  participate(move: MoveView): Promise<void> {
    const { epoch } = move.record
    if (this.#participation && this.#participation.epoch >= epoch) return this.#participation.done
    const done = this.#participate(move)
    this.#participation = { epoch, done }
    return done
  }

  /** Tells a cluster that was away where the service works now. */
  async inform(link: ClusterLink): Promise<void> {
    const settled = this.#settled
    if (!settled || settled.to === link.alias || (link.view?.settled?.epoch ?? 0) >= settled.epoch) return
    const { service, instanceId: instance } = this.#options
    await link.append({ type: 'moved', service, instance, at: new Date().toISOString(), ...settled })
  }

  /** The health of the active cluster has changed. */
  rest(reason: string): void {
    if (this.#machine.resting) this.#rest(reason)
  }

  /** A move that ended before it began. */
  endPreflight(): void {
    if (this.#machine.state === 'preflight') this.#machine.transition(this.#restingState(), 'the preflight is over')
  }

  async #follow(): Promise<void> {
    const { settled, open } = mergeViews(this.views())
    if (settled && settled.epoch > this.epoch) {
      await this.#participation?.done.catch(() => undefined)
      await this.#move(settled)
    }
    if (open) {
      this.participate(open).catch((error: unknown) =>
        this.#events.error(
          toTwinlogError(error, 'TWINLOG_INTERNAL', `could not take part in move ${open.record.epoch}`)
        )
      )
    } else if (this.#local.away) {
      await this.#participation?.done.catch(() => undefined)
      await this.#return()
    }
    this.#reopener.follow(this.views())
  }

  async #participate(move: MoveView): Promise<void> {
    const { epoch, kind, to, instance } = move.record
    this.#machine.transition('fencing', `move ${epoch}: ${kind} to ${to}, opened by ${instance}`)
    await this.#local.leave(
      kind === 'failover' ? { mode: 'abandon', timeoutMs: 0 } : { mode: 'graceful', timeoutMs: GRACE_MS }
    )
    const context = {
      link: this.#linkTo(to),
      record: move.record,
      isOpen: () => !this.#signal.aborted && outcomeOf(this.views(), epoch, to).outcome === 'open',
      signal: this.#signal,
      logger: this.#logger
    }
    await writeAnswer({
      ...context,
      instance: this.#options.instanceId,
      answer: this.#local.answer(this.#options.instanceId)
    })
    if (this.#participation && this.#participation.epoch > epoch) return
    if (this.#machine.state === 'fencing')
      this.#machine.transition('draining', `everything here has left ${move.record.from}`)
    watchInitiator({
      ...context,
      own: () => this.heartbeat(),
      abandoned: error => this.#events.error(error)
    }).catch((error: unknown) =>
      this.#logger.warn({ epoch, error: String(error) }, 'could not watch the instance that drives the move')
    )
  }

  /** A move was decided: work on the new cluster. */
  async #move(settled: Settled): Promise<void> {
    this.#machine.transition('resuming', `move ${settled.epoch} was joined`)
    if (!this.#local.away) await this.#local.leave({ mode: 'abandon', timeoutMs: 0 })
    this.#takeOver(settled)
    await this.#local.resume(this.#handle, this.#signal)
    this.#rest(`working on ${settled.to} since move ${settled.epoch}`)
    this.#events.moved(settled)
    // Not waited for: one of them is perhaps dying at this moment.
    for (const link of this.#links.values()) if (link.healthy) this.inform(link).catch(() => undefined)
  }

  /** A move was aborted: back to work where we were, if there is anything to work with. */
  async #return(): Promise<void> {
    const epoch = this.#participation?.epoch ?? this.epoch
    const reason = this.views().get(this.#handle.alias)?.moves.get(epoch)?.reason ?? `move ${epoch} was aborted`
    if (this.#linkTo(this.#handle.alias).healthy) await this.#local.resume(this.#handle, this.#signal)
    else
      this.#logger.warn(
        { cluster: this.#handle.alias },
        'the move was aborted and the active cluster does not answer: waiting for either'
      )
    this.#rest(reason)
  }

  #rest(reason: string): void {
    if (this.#machine.state === 'preflight') return
    this.#machine.transition(this.#restingState(), reason)
  }

  #restingState(): 'steady' | 'degraded' {
    return this.#linkTo(this.#handle.alias).healthy ? 'steady' : 'degraded'
  }

  #takeOver(settled: Settled): void {
    if (!this.#links.has(settled.to)) {
      throw new TwinlogError(
        'TWINLOG_INVALID_STATE',
        `service ${this.#options.service} works on cluster ${settled.to} since move ${settled.epoch}, which is not among the clusters of this client; add it to the option clusters`
      )
    }
    this.#settled = settled
    this.#handle = this.#handleFor(settled.to, settled.epoch)
  }

  #handleFor(alias: string, epoch: number): ClusterHandle {
    const link = this.#linkTo(alias)
    return Object.freeze({
      alias,
      epoch,
      config: link.config,
      originOf: (producerId: string) => link.originOf(producerId)
    })
  }

  #linkTo(alias: string): ClusterLink {
    const link = this.#links.get(alias)
    if (link) return link
    throw new TwinlogError(
      'TWINLOG_INVALID_STATE',
      `a move leads to cluster ${alias}, which is not among the clusters of this client`
    )
  }
}
