import { EventEmitter } from 'eventemitter3'
import type { ConsumerConfig } from 'kafkajs'
import { TwinlogError } from '../errors.js'
import { abortable } from '../util/abortable.js'
import type { ClientHandle } from './client-handle.js'
import { ClusterIdentities } from './cluster-identities.js'
import { ClusterLink } from './cluster-link.js'
import { FailoverConsumer } from './consumer.js'
import type { FailoverEvents, ForcedMoveOptions, SwitchoverOptions } from './events.js'
import type { Evidence } from './evidence.js'
import type { PreflightReport } from '../util/preflight-report.js'
import { LocalParticipants } from './fleet-participants.js'
import { linkOf, type MoveContext } from './move-context.js'
import { MoveCoordinator } from './move-coordinator.js'
import type { Settled } from '../control/moves.js'
import { type FailoverOptions, type ResolvedFailoverOptions, resolveFailoverOptions } from './options.js'
import type { ClusterHandle } from './participants.js'
import { runPreflight } from './preflight.js'
import { FailoverProducer, type FailoverProducerConfig } from './producer.js'
import { type MoveRequest, runMove } from './run-move.js'
import { FailoverSchemaRegistry } from './schema-registry.js'
import { ServiceMember } from './service-member.js'
import { type FailoverState, type StateChange, StateMachine } from './state-machine.js'
import { Translators } from './translators.js'
import { TrimLoop } from './trim-loop.js'

const SWITCHOVER_TIMEOUT_MS = 60_000

/**
 * A service's way to its clusters: hands out consumers and producers that survive a move from one cluster to another, and moves
 * all instances of the service together. The Mirrors that copy between the clusters run wherever you run them.
 */
export class FailoverClient {
  readonly #emitter = new EventEmitter<FailoverEvents>()
  readonly #options: ResolvedFailoverOptions
  readonly #links: ReadonlyMap<string, ClusterLink>
  readonly #machine: StateMachine
  readonly #local: LocalParticipants
  readonly #member: ServiceMember
  readonly #trim: TrimLoop
  readonly #stop = new AbortController()
  readonly #translators: Translators
  readonly #context: MoveContext
  readonly #identities = new ClusterIdentities()
  readonly #waiting = new Set<() => void>()
  #opening: Promise<void> | undefined
  #move: { kind: string; control: AbortController; done: Promise<unknown> } | undefined

  constructor(options: FailoverOptions) {
    this.#options = resolveFailoverOptions(options)
    const { logger, service, clusters } = this.#options
    this.#machine = new StateMachine(change => this.#onState(change))
    this.#local = new LocalParticipants({ logger, onError: error => this.#fail(error) })
    this.#links = new Map(clusters.map(config => [config.alias, this.#createLink(config, service)]))
    this.#member = new ServiceMember({
      options: this.#options,
      links: this.#links,
      machine: this.#machine,
      local: this.#local,
      signal: this.#stop.signal,
      events: { moved: settled => this.#onMoved(settled), error: error => this.#fail(error) }
    })
    this.#translators = new Translators(this.#options, this.#links)
    this.#trim = new TrimLoop({
      local: this.#local,
      logger,
      signal: this.#stop.signal,
      standbys: () => this.#translators.standbys(this.active)
    })
    this.#context = this.#createContext()
  }

  /** Alias of the cluster that the service works on. */
  get active(): string {
    return this.#member.handle.alias
  }

  get state(): FailoverState {
    return this.#machine.state
  }

  /** Learns from every cluster that answers where the service works. One that answers is enough. */
  async connect(o: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    this.#opening ??= this.#open()
    await abortable(this.#opening, o.signal)
  }

  async disconnect(): Promise<void> {
    if (this.#stop.signal.aborted) return
    this.#stop.abort(new TwinlogError('TWINLOG_ABORTED', 'the failover client was disconnected'))
    this.#move?.control.abort(this.#stop.signal.reason)
    await this.#move?.done.catch(() => undefined)
    await this.#opening?.catch(() => undefined)
    const farewell = this.#options.fleet ? { ...this.#member.heartbeat(), left: true as const } : undefined
    await Promise.all([...this.#links.values()].map(link => link.close(farewell)))
    this.#wake()
    if (this.state !== 'disconnected') this.#machine.transition('disconnected', 'disconnect() was called')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.disconnect()
  }

  on<E extends keyof FailoverEvents>(event: E, listener: FailoverEvents[E]): this {
    this.#emitter.on(event, listener as never)
    return this
  }

  once<E extends keyof FailoverEvents>(event: E, listener: FailoverEvents[E]): this {
    this.#emitter.once(event, listener as never)
    return this
  }

  off<E extends keyof FailoverEvents>(event: E, listener: FailoverEvents[E]): this {
    this.#emitter.off(event, listener as never)
    return this
  }

  consumer(config: ConsumerConfig): FailoverConsumer {
    return new FailoverConsumer(config, this.#handle())
  }

  producer(config: FailoverProducerConfig = {}): FailoverProducer {
    return new FailoverProducer(config, this.#handle())
  }

  /** `options`: as for `@kafkajs/confluent-schema-registry`, for example which message of a .proto file is meant. */
  schemaRegistry(options?: ConstructorParameters<typeof FailoverSchemaRegistry>[1]): FailoverSchemaRegistry {
    const clusters = {
      logger: this.#options.logger,
      cluster: () => this.#cluster(),
      reading: () => (this.state === 'disconnected' ? undefined : this.#member.handle),
      config: (alias: string) => this.#options.clusters.find(cluster => cluster.alias === alias)
    }
    return new FailoverSchemaRegistry(clusters, options)
  }

  /** What a switchover would look at first. Changes nothing. */
  async preflight(to: string, o: { signal?: AbortSignal | undefined } = {}): Promise<PreflightReport> {
    this.#assertConnected('preflight')
    linkOf(this.#context, to)
    const move = new MoveCoordinator(this.#context, { kind: 'switchover', to, signal: this.#stop.signal })
    await abortable(move.survey(), o.signal)
    const { topics, groups } = move
    const { ok, checks } = await abortable(
      runPreflight(this.#context, { kind: 'switchover', to, topics, groups }),
      o.signal
    )
    return { ok, checks }
  }

  /** Moves the service while both clusters work: everything is copied first, so nothing is lost and nothing is handled twice. */
  async switchover(to: string, o: SwitchoverOptions = {}): Promise<Evidence> {
    const { dryRun = false, timeoutMs = SWITCHOVER_TIMEOUT_MS, maxLagRecords, signal } = o
    return this.#start({ kind: 'switchover', to, dryRun, timeoutMs, maxLagRecords }, signal)
  }

  /** Moves the service away from a cluster that is gone. The evidence names what was lost and what is in doubt. */
  async failover(to: string, o: ForcedMoveOptions = {}): Promise<Evidence> {
    const { dryRun = false, reason, signal } = o
    // A planned move of ours that hangs because its source has just died must not be in the way.
    if (this.#move?.kind === 'switchover') {
      this.#move.control.abort(
        new TwinlogError('TWINLOG_MOVE_ABORTED', `a failover to ${to} took the place of this switchover`)
      )
      await this.#move.done.catch(() => undefined)
    }
    return this.#start({ kind: 'failover', to, dryRun, timeoutMs: 0, reason }, signal)
  }

  failback(to: string, _o: SwitchoverOptions = {}): Promise<Evidence> {
    const message = `failback to ${to} is not available yet in this version of twinlog; run a Mirror over the reverse link and use switchover`
    return Promise.reject(new TwinlogError('TWINLOG_UNSUPPORTED', message, { cluster: to }))
  }

  async #open(): Promise<void> {
    const links = [...this.#links.values()]
    const results = await Promise.allSettled(links.map(link => link.open()))
    const errors = results.flatMap(result => (result.status === 'rejected' ? [result.reason as TwinlogError] : []))
    // Wrong credentials and mixed-up clusters are mistakes, not outages.
    const mistake = errors.find(error => error.code !== 'TWINLOG_UNREACHABLE' && error.code !== 'TWINLOG_TIMEOUT')
    const failure = mistake ?? (errors.length === links.length ? errors[0] : undefined)
    if (failure) {
      this.#opening = undefined
      for (const link of links) link.release()
      throw failure
    }
    this.#member.begin()
    for (const link of links) link.watch()
    this.#trim.start()
    void this.#member.react()
  }

  async #start(request: Omit<MoveRequest, 'signal'>, signal: AbortSignal | undefined): Promise<Evidence> {
    this.#assertConnected(request.kind)
    linkOf(this.#context, request.to)
    const stuck = request.kind === 'failover' && this.#move === undefined && this.#local.away
    if (this.#move || (!this.#machine.resting && !stuck)) {
      throw new TwinlogError('TWINLOG_INVALID_STATE', `a move is under way (${this.state}); wait for its end`, {
        retriable: true
      })
    }
    const control = new AbortController()
    const signals = [control.signal, this.#stop.signal, ...(signal ? [signal] : [])]
    const done = runMove(this.#context, { ...request, signal: AbortSignal.any(signals) })
    this.#move = { kind: request.kind, control, done }
    try {
      const evidence = await done
      if (evidence.outcome === 'moved')
        this.#emitter.emit('moved', { from: evidence.from, to: evidence.to, epoch: evidence.epoch, evidence })
      return evidence
    } finally {
      this.#move = undefined
      this.#member.endPreflight()
    }
  }

  #createContext(): MoveContext {
    const member = this.#member
    return {
      options: this.#options,
      links: this.#links,
      machine: this.#machine,
      local: this.#local,
      get active() {
        return member.handle.alias
      },
      heartbeat: () => member.heartbeat(),
      drive: epoch => member.drive(epoch),
      translator: (from, to) => this.#translators.get(from, to),
      views: () => member.views(),
      participate: move => member.participate(move),
      react: () => member.react()
    }
  }

  #handle(): ClientHandle {
    return {
      logger: this.#options.logger,
      cluster: () => this.#cluster(),
      current: () => (this.state === 'disconnected' || this.#local.away ? undefined : this.#member.handle),
      join: participant => this.#local.add(participant)
    }
  }

  async #cluster(): Promise<ClusterHandle> {
    this.#assertConnected('connect')
    while (this.#local.away)
      await new Promise<void>(resolve => this.#waiting.add(resolve)).then(() => this.#assertConnected('connect'))
    return this.#member.handle
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }

  #createLink(config: ResolvedFailoverOptions['clusters'][number], service: string): ClusterLink {
    const alias = config.alias
    return new ClusterLink(config, {
      service,
      logger: this.#options.logger,
      events: {
        changed: () => void this.#member.react(),
        healthy: () => this.#onHealth(alias),
        unhealthy: error => this.#onHealth(alias, error),
        heartbeat: () => (this.#options.fleet ? this.#member.heartbeat() : undefined),
        admit: clusterId => this.#identities.admit(alias, clusterId)
      }
    })
  }

  #onHealth(alias: string, error?: TwinlogError): void {
    if (this.state === 'disconnected') return
    if (error) this.#emitter.emit('cluster:unhealthy', { cluster: alias, error })
    else this.#emitter.emit('cluster:healthy', { cluster: alias })
    const link = this.#links.get(alias)
    if (link && !error) this.#member.inform(link).catch(() => undefined)
    if (alias === this.active && this.#machine.resting) this.#member.rest(error?.message ?? `${alias} answers`)
    if (!error) void this.#member.react()
  }

  #onState(change: StateChange): void {
    this.#options.logger.info({ ...change }, 'failover state')
    this.#emitter.emit('state', change)
    if (!this.#local.away) this.#wake()
  }

  #onMoved({ from, to, epoch }: Settled): void {
    // The instance that drives the move tells it with the evidence.
    if (!this.#move) this.#emitter.emit('moved', { from, to, epoch })
  }

  #fail(error: TwinlogError): void {
    if (this.#emitter.listenerCount('error') > 0) this.#emitter.emit('error', error)
    else this.#options.logger.error({ error: error.toJSON() }, error.message)
  }

  #assertConnected(action: string): void {
    if (this.state !== 'disconnected' && !this.#stop.signal.aborted) return
    throw new TwinlogError(
      'TWINLOG_INVALID_STATE',
      `${action}: the failover client is not connected; call connect() first`
    )
  }
}
