import { EventEmitter } from 'eventemitter3'
import { InvalidOptionError, TwinlogError, toTwinlogError } from '../errors.js'
import { ClusterClient } from '../kafka/cluster.js'
import { assertCluster } from '../kafka/cluster-config.js'
import type { ClusterConfig } from '../kafka/types.js'
import { consoleLogger, type Logger } from '../logger.js'
import { abortable } from '../util/abortable.js'
import { assertKnownKeys, assertLogger, assertName, assertObject } from '../util/options.js'
import { LinkTranslator, type OffsetSnapshot } from './link-translator.js'
import type { GroupTranslation, Position, Translation } from './translation.js'

export interface OffsetTranslatorOptions {
  /** Alias of the source cluster. It is not contacted. */
  source: string
  /** Cluster that the link writes to. Everything is read from it, so this works when the source is gone. */
  target: ClusterConfig
  /** @defaultValue `${source}-${target.alias}` */
  link?: string | undefined
  /** pino-shaped. @defaultValue console at `warn` */
  logger?: Logger | undefined
}

/** Every async method can be cancelled. */
export interface CallOptions {
  signal?: AbortSignal | undefined
}

export interface TranslatorEvents {
  error: (error: TwinlogError) => void
}

/**
 * Source offset → target offset, exact for every offset of every lane, read from the target cluster alone.
 *
 * The counterpart of MirrorMaker 2's RemoteClusterUtils.translateOffsets, which samples and can only answer near its samples.
 */
export class OffsetTranslator {
  readonly #config: ClusterConfig
  readonly #logger: Logger
  readonly #link: string
  readonly #emitter = new EventEmitter<TranslatorEvents>()
  #cluster: ClusterClient | undefined
  #translator: LinkTranslator | undefined

  /** @throws InvalidOptionError */
  constructor(options: OffsetTranslatorOptions) {
    assertObject('offsetTranslator', options)
    assertKnownKeys('offsetTranslator', options, ['source', 'target', 'link', 'logger'], ['mm2'])
    assertName('offsetTranslator.source', options.source)
    assertCluster('offsetTranslator.target', options.target)
    if (options.source === options.target.alias)
      throw new InvalidOptionError('offsetTranslator.source', 'must differ from the alias of the target')
    this.#link = options.link ?? `${options.source}-${options.target.alias}`
    assertName('offsetTranslator.link', this.#link)
    if (options.logger !== undefined) assertLogger('offsetTranslator.logger', options.logger)
    this.#logger = options.logger ?? consoleLogger()
    this.#config = options.target
  }

  /** The same on a connection that somebody else owns. @internal */
  static over(target: ClusterClient, o: { link: string; logger: Logger }): LinkTranslator {
    return new LinkTranslator(target, o)
  }

  /** @throws TwinlogError TWINLOG_UNREACHABLE, TWINLOG_UNAUTHORIZED */
  async connect(o: CallOptions = {}): Promise<void> {
    if (this.#translator) return
    const cluster = new ClusterClient(this.#config, { logger: this.#logger })
    try {
      await cluster.connect(o)
    } catch (error) {
      cluster.destroy()
      throw toTwinlogError(error, 'TWINLOG_UNREACHABLE', 'the translator cannot connect')
    }
    this.#cluster = cluster
    this.#translator = new LinkTranslator(cluster, { link: this.#link, logger: this.#logger })
  }

  async disconnect(): Promise<void> {
    const cluster = this.#cluster
    this.#cluster = undefined
    this.#translator = undefined
    await cluster?.close()
  }

  /** Where a consumer at this source position resumes on the target. */
  translate(position: Position, o: CallOptions = {}): Promise<Translation> {
    return this.#run(translator => translator.translate(checked(position)), o)
  }

  translateMany(positions: Iterable<Position>, o: CallOptions = {}): Promise<Translation[]> {
    return this.#run(translator => translator.translateMany([...positions].map(checked)), o)
  }

  /** Loads every lane's map; the snapshot answers without I/O and stays as it is. */
  snapshot(o: CallOptions = {}): Promise<OffsetSnapshot> {
    return this.#run(translator => translator.snapshot(), o)
  }

  /** Last known commits of a source group, translated. They are those that a Mirror with `syncGroups` has seen. */
  translateGroup(groupId: string, o: CallOptions = {}): Promise<GroupTranslation> {
    return this.#run(translator => translator.translateGroup(groupId), o)
  }

  /** The same, committed to the group on the target: not while the group is in use, and never over somebody else's commit. */
  applyGroup(groupId: string, o: CallOptions & { dryRun?: boolean | undefined } = {}): Promise<GroupTranslation> {
    return this.#run(translator => translator.applyGroup(groupId, o), o)
  }

  on<E extends keyof TranslatorEvents>(event: E, listener: TranslatorEvents[E]): this {
    this.#emitter.on(event, listener)
    return this
  }

  once<E extends keyof TranslatorEvents>(event: E, listener: TranslatorEvents[E]): this {
    this.#emitter.once(event, listener)
    return this
  }

  off<E extends keyof TranslatorEvents>(event: E, listener: TranslatorEvents[E]): this {
    this.#emitter.off(event, listener)
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.disconnect()
  }

  async #run<T>(work: (translator: LinkTranslator) => Promise<T>, o: CallOptions): Promise<T> {
    if (!this.#translator)
      throw new TwinlogError('TWINLOG_INVALID_STATE', 'the translator is not connected: call connect() first')
    try {
      return await abortable(work(this.#translator), o.signal)
    } catch (error) {
      throw toTwinlogError(error, 'TWINLOG_INTERNAL', 'translation failed')
    }
  }
}

function checked(position: Position): Position {
  if (typeof position.offset !== 'bigint') throw new InvalidOptionError('position.offset', 'must be a bigint')
  if (position.offset < 0n)
    throw new InvalidOptionError('position.offset', `must not be negative, got ${position.offset}`)
  return position
}

export type { GroupTranslation, Position, Translation } from './translation.js'
