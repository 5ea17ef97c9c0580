import { InvalidOptionError } from '../errors.js'
import { consoleLogger, type Logger } from '../logger.js'
import { assertKnownKeys, assertLogger, assertObject, assertOneOf, assertPositiveInteger } from '../util/options.js'
import type { RegistryConfig } from '../util/registry-config.js'
import { type Selector, selectorChoice } from '../util/selector.js'
import { assertRegistryConfig } from './client/config.js'
import { NameMap } from './names.js'

export interface SchemaSyncOptions {
  /** Registry to copy from. It is only read. `context`: only this context is copied. */
  source: RegistryConfig
  /** Registry to copy to. `context`: into this context; with none given on either side every context keeps its name. */
  target: RegistryConfig
  /**
   * Subjects by name, RegExp (full match) or both; a name or pattern may mean the plain name (`orders-value`) or the qualified one
   * (`:.dr:orders-value`). What they refer to is copied too. Config of the registry and of contexts is copied only without a selector.
   * Confluent's Schema Linking: `subjects`. @defaultValue all
   */
  subjects?: Selector | undefined
  /**
   * `preserve`: schemas get the source's ids and versions, through IMPORT mode, so records need not change. `translate`: the target's registry
   * chooses ids, and a Mirror with `schemas` rewrites them in records. For registries without IMPORT mode, or where ids are taken.
   * @defaultValue 'preserve'
   */
  ids?: 'preserve' | 'translate' | undefined
  /**
   * Copies compatibility level, normalize, alias, metadata and rule sets, of subjects, contexts and the registry. Configs cost a request for
   * each subject: with more than 500 subjects a run reads those of subjects that change and a twentieth of the others; `true` given by name
   * reads all of them in every run. @defaultValue true
   */
  syncConfig?: boolean | undefined
  /** Copies modes (READONLY, READWRITE), last of all. IMPORT is never copied. @defaultValue false */
  syncMode?: boolean | undefined
  /**
   * Deletes on the target what the source has deleted, softly or for good; what only the target has is deleted for good. Without it such
   * versions and subjects are reported as extra. @defaultValue false
   */
  syncDeletes?: boolean | undefined
  /** New name for a subject (without its context). References follow. See {@link subjectRename} for renamed topics. */
  rename?: ((subject: string) => string) | undefined
  /** How often `start()` looks for changes, in milliseconds. @defaultValue 5000 */
  intervalMs?: number | undefined
  /** Requests at a time, to either side. @defaultValue 8 */
  concurrency?: number | undefined
  /**
   * What is put into IMPORT mode while schemas are registered under their ids. `context`: the target's whole context, one request, but
   * applications cannot register anything in it meanwhile. `subject`: each subject by itself. `auto`: the context when it has no subject yet.
   * Only with `ids: 'preserve'`. @defaultValue 'auto'
   */
  importScope?: 'auto' | 'subject' | 'context' | undefined
  /** pino-shaped. @defaultValue console at `warn` */
  logger?: Logger | undefined
}

export interface ResolvedSchemaSyncOptions {
  source: RegistryConfig
  target: RegistryConfig
  names: NameMap
  ids: 'preserve' | 'translate'
  syncConfig: boolean
  /** Asked for by name. */
  everyConfig: boolean
  syncMode: boolean
  syncDeletes: boolean
  intervalMs: number
  concurrency: number
  importScope: 'auto' | 'subject' | 'context'
  logger: Logger
}

const DEFAULTS = { intervalMs: 5_000, concurrency: 8 } as const

const KNOWN = [
  'source',
  'target',
  'subjects',
  'ids',
  'syncConfig',
  'syncMode',
  'syncDeletes',
  'rename',
  'intervalMs',
  'concurrency',
  'importScope',
  'logger'
] as const

/** @throws InvalidOptionError */
export function resolveSchemaSyncOptions(options: SchemaSyncOptions): ResolvedSchemaSyncOptions {
  assertObject('schemas', options)
  assertKnownKeys('schemas', options, KNOWN)
  assertRegistryConfig('schemas.source', options.source)
  assertRegistryConfig('schemas.target', options.target)
  assertDifferent(options.source, options.target)
  if (options.subjects !== undefined) assertSubjects('schemas.subjects', options.subjects)
  if (options.ids !== undefined) assertOneOf('schemas.ids', options.ids, ['preserve', 'translate'])
  if (options.importScope !== undefined)
    assertOneOf('schemas.importScope', options.importScope, ['auto', 'subject', 'context'])
  for (const key of ['syncConfig', 'syncMode', 'syncDeletes'] as const) {
    if (options[key] !== undefined && typeof options[key] !== 'boolean')
      throw new InvalidOptionError(`schemas.${key}`, 'must be true or false')
  }
  for (const key of ['intervalMs', 'concurrency'] as const)
    if (options[key] !== undefined) assertPositiveInteger(`schemas.${key}`, options[key])
  if (options.rename !== undefined && typeof options.rename !== 'function')
    throw new InvalidOptionError(
      'schemas.rename',
      'must be a function from a subject to its new name, see subjectRename()'
    )
  if (options.logger !== undefined) assertLogger('schemas.logger', options.logger)
  const { source, target, subjects, rename } = options
  return Object.freeze({
    source,
    target,
    names: new NameMap({ sourceContext: source.context, targetContext: target.context, subjects, rename }),
    ids: options.ids ?? 'preserve',
    syncConfig: options.syncConfig ?? true,
    everyConfig: options.syncConfig === true,
    syncMode: options.syncMode ?? false,
    syncDeletes: options.syncDeletes ?? false,
    intervalMs: options.intervalMs ?? DEFAULTS.intervalMs,
    concurrency: options.concurrency ?? DEFAULTS.concurrency,
    importScope: options.importScope ?? 'auto',
    logger: options.logger ?? consoleLogger()
  })
}

/** Subjects are no topics: nearly every character is legal in them. */
function assertSubjects(path: string, value: unknown): asserts value is Selector {
  if (value === null)
    throw new InvalidOptionError(path, 'must be names, RegExps or both; leave it out for all subjects')
  const choice = typeof value === 'object' && !(value instanceof RegExp) && !Array.isArray(value) ? value : undefined
  if (choice) assertKnownKeys(path, choice, ['include', 'exclude'])
  if (choice && (choice as { include?: unknown }).include === undefined)
    throw new InvalidOptionError(`${path}.include`, 'is missing: name subjects, or give a RegExp')
  const { include, exclude } = selectorChoice(value as Selector)
  if (include.length === 0) throw new InvalidOptionError(path, 'must not be empty; leave it out for all subjects')
  const check = (where: string) => (pattern: unknown, index: number) => {
    if (pattern instanceof RegExp || (typeof pattern === 'string' && pattern.length > 0)) return
    throw new InvalidOptionError(`${where}[${index}]`, 'must be a subject or a RegExp, and not empty')
  }
  include.forEach(check(path))
  exclude.forEach(check(`${path}.exclude`))
}

/** A registry that is copied onto itself would at best do nothing. */
function assertDifferent(source: RegistryConfig, target: RegistryConfig): void {
  const context = (config: RegistryConfig, other: RegistryConfig) =>
    config.context ?? (other.context === undefined ? undefined : '.')
  if (context(source, target) !== context(target, source)) return
  const here = new Set(addresses(source))
  const shared = addresses(target).find(address => here.has(address))
  if (shared === undefined) return
  throw new InvalidOptionError(
    'schemas.target',
    'is the same registry as the source; give another URL, or another context of it (context)'
  )
}

/** Without credentials, slashes at the end and written-out default ports. */
function addresses({ url }: RegistryConfig): string[] {
  return [url].flat().map(text => {
    const { protocol, host, pathname } = new URL(text)
    return `${protocol}//${host}${pathname.replace(/\/+$/, '')}`
  })
}
