import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { InvalidOptionError } from '../errors.js'
import { assertCluster } from '../kafka/cluster-config.js'
import type { ClusterConfig } from '../kafka/types.js'
import { consoleLogger, type Logger } from '../logger.js'
import { assertRegistryConfig } from '../schemas/client/config.js'
import { assertKnownKeys, assertLogger, assertName, assertObject, assertSelector } from '../util/options.js'
import type { Selector } from '../util/selector.js'

export interface FailoverOptions {
  /** The clusters the service can work on, two or more. Every instance of the service uses the same aliases. */
  clusters: ClusterConfig[]
  /**
   * Where the service works as long as no move was ever recorded; afterwards the clusters themselves know.
   * @defaultValue the first cluster
   */
  active?: string | undefined
  /** Name of the service: its instances move together, other services on the same clusters stay. */
  service: string
  /**
   * Name of this process within the service. A name that stays over restarts is fine; two processes at once must not share it.
   * @defaultValue host name, process id, and a random suffix for each client
   */
  instanceId?: string | undefined
  /**
   * What moves with this service.
   * @defaultValue the topics that its consumers and producers use
   */
  topics?: Selector | undefined
  /** Link names by direction, for example `{ 'east>west': 'my-link' }`. @defaultValue `${from}-${to}` */
  links?: Record<string, string> | undefined
  /** Only `manual` for now: a person or a program of yours decides when to move. */
  mode?: 'manual' | undefined
  /** `false`: this process is the whole service; no heartbeats, nobody is waited for. */
  fleet?: false | undefined
  /** Directory for evidence bundles (JSON and Markdown); created when missing. @defaultValue none is written */
  evidenceDir?: string | undefined
  /** pino-shaped. @defaultValue JSON lines on standard error, at `warn` */
  logger?: Logger | undefined
}

export interface ResolvedFailoverOptions {
  readonly clusters: readonly ClusterConfig[]
  readonly active: string
  readonly service: string
  readonly instanceId: string
  readonly topics: Selector | undefined
  readonly links: Readonly<Record<string, string>>
  readonly fleet: boolean
  readonly evidenceDir: string | undefined
  readonly logger: Logger
}

const KNOWN = [
  'clusters',
  'active',
  'service',
  'instanceId',
  'topics',
  'links',
  'mode',
  'fleet',
  'evidenceDir',
  'logger'
] as const
const LATER = ['health', 'naming'] as const
const NOT_YET = 'is not available yet in this version'

/** Checks everything before anything is touched. */
export function resolveFailoverOptions(options: FailoverOptions): ResolvedFailoverOptions {
  assertObject('failover', options)
  const { naming, ...rest } = options as FailoverOptions & { naming?: unknown }
  // The default may be written out.
  assertKnownKeys('failover', naming === 'identity' ? rest : options, KNOWN, LATER)
  const {
    active,
    service,
    instanceId = `${hostname()}-${process.pid}-${randomBytes(3).toString('hex')}`,
    topics,
    links = {},
    mode,
    fleet,
    evidenceDir,
    logger
  } = rest
  const clusters = checkClusters(options.clusters)
  const aliases = clusters.map(cluster => cluster.alias)
  if (active !== undefined && !aliases.includes(active)) {
    throw new InvalidOptionError('failover.active', `must be one of the clusters' aliases: ${aliases.join(', ')}`)
  }
  assertName('failover.service', service)
  assertText('failover.instanceId', instanceId)
  if (topics !== undefined) assertSelector('failover.topics', topics)
  if (mode !== undefined && mode !== 'manual')
    throw new InvalidOptionError('failover.mode', `'${String(mode)}' ${NOT_YET}; use 'manual'`)
  if (fleet !== undefined && fleet !== false)
    throw new InvalidOptionError('failover.fleet', `an object ${NOT_YET}; leave it out or use false`)
  if (evidenceDir !== undefined) assertText('failover.evidenceDir', evidenceDir)
  if (logger !== undefined) assertLogger('failover.logger', logger)
  return Object.freeze({
    clusters,
    active: active ?? (aliases[0] as string),
    service,
    instanceId,
    topics,
    links: checkLinks(links, aliases),
    fleet: fleet !== false,
    evidenceDir,
    logger: logger ?? consoleLogger()
  })
}

/** Name of the link that leads from one cluster to another. */
export function linkName(options: Pick<ResolvedFailoverOptions, 'links'>, from: string, to: string): string {
  return options.links[`${from}>${to}`] ?? `${from}-${to}`
}

function checkClusters(clusters: unknown): readonly ClusterConfig[] {
  if (!Array.isArray(clusters) || clusters.length < 2) {
    throw new InvalidOptionError(
      'failover.clusters',
      'must list at least two clusters: the one in use and the one to move to'
    )
  }
  const seen = new Set<string>()
  clusters.forEach((cluster: unknown, index) => {
    const path = `failover.clusters[${index}]`
    assertCluster(path, cluster)
    if (cluster.schemaRegistry !== undefined) assertRegistryConfig(`${path}.schemaRegistry`, cluster.schemaRegistry)
    if (seen.has(cluster.alias))
      throw new InvalidOptionError(
        `${path}.alias`,
        `${cluster.alias} is used twice; every cluster needs an alias of its own`
      )
    seen.add(cluster.alias)
  })
  return Object.freeze([...(clusters as ClusterConfig[])])
}

function checkLinks(links: unknown, aliases: string[]): Readonly<Record<string, string>> {
  assertObject('failover.links', links)
  for (const [route, link] of Object.entries(links)) {
    const path = `failover.links['${route}']`
    const [from, to, ...rest] = route.split('>')
    if (!from || !to || rest.length > 0 || from === to || !aliases.includes(from) || !aliases.includes(to)) {
      throw new InvalidOptionError(path, `must be named source>target with two of the aliases ${aliases.join(', ')}`)
    }
    assertName(path, link)
  }
  return Object.freeze({ ...(links as Record<string, string>) })
}

function assertText(path: string, value: unknown): asserts value is string {
  if (typeof value !== 'string' || value === '') throw new InvalidOptionError(path, 'must be a non-empty string')
}
