import { hostname } from 'node:os'
import { EventEmitter } from 'eventemitter3'
import { type TwinlogError, toTwinlogError } from '../errors.js'
import { childLogger, type Logger } from '../logger.js'
import type { PreflightReport } from '../util/preflight-report.js'
import { createRegistryClient } from './client/client.js'
import { findDrift, SchemaDrift } from './diff.js'
import type { SchemaSyncEvents } from './events.js'
import { findTargetId } from './find-target-id.js'
import { createGate } from './gate.js'
import type { SchemaGate } from './gate-types.js'
import { HeldBack } from './held-back.js'
import { IdMap } from './id-map.js'
import { type ResolvedSchemaSyncOptions, resolveSchemaSyncOptions, type SchemaSyncOptions } from './options.js'
import { extras } from './plan-deletes.js'
import { PlanMaker } from './plan-maker.js'
import type { SchemaConflict, SchemaPlan } from './plan-types.js'
import { PollLoop } from './poll-loop.js'
import { preflight } from './preflight.js'
import type { CallOptions, RegistryClient } from './registry-types.js'
import { SchemaSyncReport } from './report.js'
import { RunQueue } from './run-queue.js'
import { SchemaSyncStatus } from './status.js'
import { SyncRun, type SyncRunResult } from './sync-run.js'

/**
 * Copies schemas from one registry to another and keeps them alike: subjects, versions, references, ids, compatibility levels and other
 * config, modes, deletions. Once (`syncOnce`) or for as long as it runs (`start`). The counterpart of Confluent's Schema Linking.
 */
export class SchemaSync {
  readonly #o: ResolvedSchemaSyncOptions
  readonly #logger: Logger
  readonly #source: RegistryClient
  readonly #target: RegistryClient
  readonly #maker: PlanMaker
  readonly #map = new IdMap()
  readonly #queue = new RunQueue()
  readonly #loop: PollLoop
  readonly #heldBack = new HeldBack(() => performance.now())
  readonly #emitter = new EventEmitter<SchemaSyncEvents>()
  readonly #gates = new Map<'topic' | 'any', SchemaGate>()
  readonly #warned = new Set<string>()
  readonly #told = new Set<string>()
  #conflicts: readonly SchemaConflict[] = []
  #lastReport: SchemaSyncReport | undefined
  #lastError: TwinlogError | undefined

  /** @throws InvalidOptionError */
  constructor(options: SchemaSyncOptions) {
    this.#o = resolveSchemaSyncOptions(options)
    const { source, target, intervalMs } = this.#o
    this.#logger = childLogger(this.#o.logger, { component: 'schema-sync' })
    this.#source = createRegistryClient(source, { logger: this.#logger })
    this.#target = createRegistryClient(target, { logger: this.#logger })
    this.#maker = new PlanMaker({ ...this.#o, source: this.#source, target: this.#target })
    this.#loop = new PollLoop({
      intervalMs,
      work: signal => this.#sync({ signal, held: true }),
      failed: error => this.#failed(error)
    })
  }

  /** Whether a sync would work, and what it would meet. Changes nothing. */
  preflight(o: CallOptions = {}): Promise<PreflightReport> {
    return this.#run('preflight', signal => preflight({ ...this.#parts(), signal }), o)
  }

  /** What a sync would do now. Changes nothing; `String(plan)` is a table. */
  plan(o: CallOptions = {}): Promise<SchemaPlan> {
    return this.#run('plan', async signal => (await this.#prepare({ signal })).plan, o)
  }

  /** Where the two registries differ, config and modes of every subject included. Changes nothing; `String(drift)` is a table. */
  diff(o: CallOptions = {}): Promise<SchemaDrift> {
    const look = async (signal: AbortSignal) => {
      const { input } = await this.#prepare({ signal, every: true })
      const subjects = findDrift(input)
      return new SchemaDrift({ at: new Date(), ids: this.#o.ids, compared: [...input.subjects].length, subjects })
    }
    return this.#run('diff', look, o)
  }

  /**
   * Copies what is missing, once. What cannot be copied is a conflict of the report, and all the rest is copied. Can be called again after any
   * failure or crash: it goes on where it stopped.
   *
   * @throws TwinlogError TWINLOG_UNREACHABLE, TWINLOG_UNAUTHORIZED, TWINLOG_UNSUPPORTED, TWINLOG_SCHEMA_ID_CONFLICT (the target does not keep
   * ids), TWINLOG_ABORTED
   */
  syncOnce(o: CallOptions = {}): Promise<SchemaSyncReport> {
    return this.#sync({ signal: o.signal, held: false })
  }

  /** Copies, then looks for changes every `intervalMs`. Resolves after the first run; rejects if that failed for a reason that will not pass. */
  async start(o: CallOptions = {}): Promise<void> {
    await this.#loop.start(o)
  }

  /** Ends a run that is in progress, with all modes as they were, and looks for changes no more. */
  async stop(): Promise<void> {
    await Promise.all([this.#loop.stop(), this.#queue.stop()])
  }

  /**
   * The target's id of a schema of the source.
   *
   * @throws TwinlogError TWINLOG_SCHEMA_ID_CONFLICT when the id is another schema there, TWINLOG_SCHEMA_REGISTRY when it is not there
   */
  targetId(sourceId: number, o: CallOptions = {}): Promise<number> {
    const known = this.#map.targetIdOf(sourceId)
    if (known !== undefined) return Promise.resolve(known)
    const { names } = this.#o
    const contexts = { source: names.idContext, target: names.targetIdContext }
    const find = (signal: AbortSignal) => findTargetId(sourceId, { ...this.#parts(), map: this.#map, contexts, signal })
    return this.#run('targetId', find, o)
  }

  /** An immutable snapshot; no requests are made. */
  status(): SchemaSyncStatus {
    return new SchemaSyncStatus({
      running: this.#loop.running,
      report: this.#lastReport,
      error: this.#lastError,
      conflicts: this.#conflicts,
      translated: this.#map.size,
      requests: { source: this.#source.requests, target: this.#target.requests }
    })
  }

  /**
   * What a Mirror asks before it lets a record through.
   *
   * @internal
   */
  gate(o: { subjectsOf?: 'topic' | 'any' | undefined } = {}): SchemaGate {
    const { subjectsOf = 'topic' } = o
    let gate = this.#gates.get(subjectsOf)
    if (gate === undefined) {
      const { ids, names } = this.#o
      gate = createGate({
        ...this.#parts(),
        ids,
        names,
        map: this.#map,
        subjectsOf,
        syncSubjects: async (only, { signal }) => (await this.#syncSome(only, signal)).conflicts
      })
      this.#gates.set(subjectsOf, gate)
    }
    return gate
  }

  on<E extends keyof SchemaSyncEvents>(event: E, listener: SchemaSyncEvents[E]): this {
    this.#emitter.on(event, listener as never)
    return this
  }

  once<E extends keyof SchemaSyncEvents>(event: E, listener: SchemaSyncEvents[E]): this {
    this.#emitter.once(event, listener as never)
    return this
  }

  off<E extends keyof SchemaSyncEvents>(event: E, listener: SchemaSyncEvents[E]): this {
    this.#emitter.off(event, listener as never)
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #sync(o: { signal?: AbortSignal | undefined; held: boolean }): Promise<SchemaSyncReport> {
    const began = performance.now()
    const before = { source: this.#source.requests, target: this.#target.requests }
    const result = await this.#run('sync', signal => this.#runner({ ...o, signal }).run(), o)
    const report = new SchemaSyncReport({
      at: new Date(),
      ms: Math.round(performance.now() - began),
      ids: this.#o.ids,
      compared: result.prepared.plan.compared,
      configsCompared: result.prepared.plan.configsCompared,
      registered: result.registered.length,
      conflicts: result.conflicts,
      subjects: result.outcomes,
      extra: this.#extra(result),
      repaired: result.repaired,
      requests: { source: this.#source.requests - before.source, target: this.#target.requests - before.target }
    })
    this.#lastReport = report
    this.#lastError = undefined
    this.#conflicts = report.conflicts
    this.#tell(report.conflicts, true)
    this.#logger.info(
      { changes: report.changes, conflicts: report.conflicts.length, ms: report.ms },
      'schemas compared'
    )
    this.#emitter.emit('synced', { report })
    return report
  }

  async #syncSome(only: readonly string[], signal: AbortSignal | undefined): Promise<SyncRunResult> {
    const result = await this.#run('sync', own => this.#runner({ only, held: true, signal: own }).run(), { signal })
    this.#tell(result.conflicts, false)
    return result
  }

  #runner(o: { only?: readonly string[]; held: boolean; signal: AbortSignal }): SyncRun {
    const { ids, concurrency } = this.#o
    return new SyncRun({
      ...this.#parts(),
      ids,
      concurrency,
      map: this.#map,
      owner: `${hostname()} ${process.pid}`,
      logger: this.#logger,
      warn: message => this.#warn(message),
      only: o.only,
      heldBack: o.held ? this.#heldBack : undefined,
      signal: o.signal
    })
  }

  async #prepare(o: { signal: AbortSignal; every?: boolean }) {
    try {
      return await this.#maker.prepare(o)
    } finally {
      this.#maker.endRun()
    }
  }

  #extra({ prepared: { comparison, input } }: SyncRunResult): { subject: string; versions: number[] }[] {
    if (this.#o.syncDeletes) return []
    return extras(comparison, input).map(({ subject, versions }) => ({
      subject,
      versions: versions.map(({ version }) => version)
    }))
  }

  #parts() {
    return { maker: this.#maker, source: this.#source, target: this.#target, ids: this.#o.ids }
  }

  async #run<T>(what: string, work: (signal: AbortSignal) => Promise<T>, o: CallOptions): Promise<T> {
    try {
      return await this.#queue.run(work, o.signal)
    } catch (error) {
      throw toTwinlogError(error, 'TWINLOG_INTERNAL', `${what} failed`)
    }
  }

  /** Each conflict once; one that is gone and comes back is told again. */
  #tell(conflicts: readonly SchemaConflict[], all: boolean): void {
    const keys = new Map(conflicts.map(one => [JSON.stringify([one.subject, one.kind, one.message]), one]))
    if (all) for (const key of this.#told) if (!keys.has(key)) this.#told.delete(key)
    for (const [key, conflict] of keys) {
      if (this.#told.has(key)) continue
      this.#told.add(key)
      this.#logger.warn({ subject: conflict.subject, kind: conflict.kind }, conflict.message)
      this.#emitter.emit('conflict', conflict)
    }
  }

  #warn(message: string): void {
    if (this.#warned.has(message)) return
    this.#warned.add(message)
    this.#logger.warn({}, message)
    this.#emitter.emit('warning', { message })
  }

  #failed(error: TwinlogError): void {
    this.#lastError = error
    this.#logger[error.retriable ? 'warn' : 'error']({ err: error }, `schemas could not be compared: ${error.message}`)
    this.#emitter.emit('error', error)
  }
}
