import { createHash } from 'node:crypto'
import type { ClusterConfig } from '../kafka/types.js'
import type { Scrub } from './evidence.js'

/** A cluster's configuration as evidence may show it: built from named harmless fields, never by leaving out bad ones. */
export interface RedactedCluster {
  alias: string
  brokers: string[] | 'function'
  clientId?: string
  tls: boolean
  saslMechanism?: string
  schemaRegistry?: string[]
}

export function redactCluster(config: ClusterConfig): RedactedCluster {
  const registry = config.schemaRegistry?.url
  const [ssl, sasl] = [readable(config, 'ssl'), readable(config, 'sasl')]
  return {
    alias: config.alias,
    brokers: Array.isArray(config.brokers) ? [...config.brokers] : 'function',
    ...(config.clientId === undefined ? {} : { clientId: config.clientId }),
    tls: Boolean(ssl),
    ...(sasl ? { saslMechanism: sasl.mechanism } : {}),
    ...(registry === undefined ? {} : { schemaRegistry: [registry].flat().map(withoutCredentials) })
  }
}

/** Tells whether two instances ran with the same configuration, without telling what it is. */
export function configurationDigest(redacted: unknown): string {
  return createHash('sha256').update(JSON.stringify(redacted)).digest('hex')
}

/** Anything shorter would blank out ordinary words. */
const SHORTEST_SECRET = 4
/** Fields of KafkaConfig and RegistryConfig whose strings are not secret. */
const HARMLESS = new Set(['alias', 'brokers', 'clientId', 'mechanism', 'username', 'context', 'logLevel', 'servername'])

/**
 * The second line of defence: error messages of brokers, sockets and registries go into evidence as details, and one of them may
 * quote what it was given. Every string of the configuration that is not known to be harmless is blanked out.
 */
export function createScrubber(configs: readonly ClusterConfig[]): Scrub {
  const secrets = new Set<string>()
  const seen = new WeakSet()
  for (const config of configs) {
    // ssl and sasl by name: as getters of a class nothing would list them.
    for (const name of new Set([...Object.keys(config), 'ssl', 'sasl']) as Set<keyof ClusterConfig>)
      collect(readable(config, name), name, secrets, seen)
  }
  const patterns = [...secrets].filter(secret => secret.length >= SHORTEST_SECRET).sort((a, b) => b.length - a.length)
  return text => patterns.reduce((clean, secret) => clean.replaceAll(secret, '***'), text)
}

/** A getter that fails, because the file behind it is just being replaced, must not keep evidence from being written. */
function readable<N extends keyof ClusterConfig>(config: ClusterConfig, name: N): ClusterConfig[N] | undefined {
  try {
    return config[name]
  } catch {
    return undefined
  }
}

/** `seen`: objects of others in it (a dispatcher, a socket factory) may hold each other. */
function collect(value: unknown, field: string, secrets: Set<string>, seen: WeakSet<object>): void {
  if (typeof value === 'string') {
    if (field === 'url') addCredentials(value, secrets)
    else if (!HARMLESS.has(field)) addSecret(value, secrets)
  } else if (Buffer.isBuffer(value)) {
    addSecret(value.toString(), secrets)
  } else if (Array.isArray(value)) {
    for (const item of value) collect(item, field, secrets, seen)
  } else if (typeof value === 'object' && value !== null && !seen.has(value)) {
    seen.add(value)
    for (const [name, item] of Object.entries(value)) collect(item, name, secrets, seen)
  }
}

/** A PEM block may be quoted with its line breaks escaped, or line by line. */
function addSecret(secret: string, secrets: Set<string>): void {
  secrets.add(secret)
  if (!secret.includes('\n')) return
  for (const line of secret.split('\n')) if (line.length > 16 && !line.startsWith('-----')) secrets.add(line)
}

function addCredentials(url: string, secrets: Set<string>): void {
  if (!URL.canParse(url)) return
  const { username, password, searchParams } = new URL(url)
  for (const secret of [username, password, decodeURIComponent(username), decodeURIComponent(password)])
    secrets.add(secret)
  for (const secret of searchParams.values()) secrets.add(secret)
}

function withoutCredentials(url: string): string {
  if (!URL.canParse(url)) return 'not a URL'
  const parsed = new URL(url)
  parsed.username = ''
  parsed.password = ''
  parsed.search = ''
  return parsed.href
}
