import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { forgetDirectory, watchDirectory } from '../../support/children.js'
import { type KafkaCluster, type KafkaOptions, startKafka } from '../../support/kafka.js'
import { type Proxy, startProxy } from '../../support/proxy.js'
import { type Oracle, startOracle } from '../../support/oracle.js'

/** What all campaigns of a file share: two clusters, the oracle, a place for the logs of the mirror processes. */
export interface Bed {
  east: KafkaCluster
  west: KafkaCluster
  oracle: Oracle
  /** Before each target broker, for those who come by the listener PROXIED. */
  proxies: Proxy[]
  /** Before each source broker, likewise. */
  sourceProxies: Proxy[]
  logDirectory: string
  stop(): Promise<void>
}

/** Listener of both clusters whose connections run through the bed's proxies. */
export const PROXIED = 'PROXIED'

/** A target like this forgets a producer whose last record is older than five seconds. */
export const FORGETFUL = { 'producer.id.expiration.ms': 5_000, 'producer.id.expiration.check.interval.ms': 500 }

export interface BedOptions {
  /** Default 1. With three: replication 3, min ISR 2, and the preferred replica becomes leader again within 2 s. */
  sourceBrokers?: 1 | 3 | undefined
  targetBrokers?: 1 | 3 | undefined
  source?: Partial<KafkaOptions> | undefined
  target?: Partial<KafkaOptions> | undefined
}

export async function startBed(o: BedOptions): Promise<Bed> {
  const kept = process.env.TWINLOG_FAULT_LOGS
  const logDirectory = kept ?? mkdtempSync(join(tmpdir(), 'twinlog-faults-'))
  if (kept === undefined) watchDirectory(logDirectory)
  else mkdirSync(kept, { recursive: true })
  const started: { stop(): Promise<void> }[] = []
  const keep = async <T>(starting: Promise<T>, stop: (it: T) => Promise<void>): Promise<T> => {
    const it = await starting
    started.push({ stop: () => stop(it) })
    return it
  }
  const stop = async (): Promise<void> => {
    await Promise.all(started.map(each => each.stop()))
    if (kept !== undefined) return
    rmSync(logDirectory, { recursive: true, force: true })
    forgetDirectory(logDirectory)
  }
  const properties = { 'leader.imbalance.check.interval.seconds': 2, 'leader.imbalance.per.broker.percentage': 0 }
  const cluster = (
    name: string,
    brokers: number,
    proxies: Proxy[],
    options: Partial<KafkaOptions> = {}
  ): KafkaOptions => ({
    name,
    brokers,
    ...(brokers > 1 && { heapMb: 256 }),
    ...options,
    properties: { ...properties, ...options.properties },
    listeners: [{ name: PROXIED, protocol: 'PLAINTEXT' as const }, ...(options.listeners ?? [])],
    advertised: async (_broker: number, port: number, listener: string) => {
      if (listener !== PROXIED) return { host: '127.0.0.1', port }
      const proxy = await startProxy({ target: { host: '127.0.0.1', port } })
      proxies.push(proxy)
      started.push({ stop: () => proxy.close() })
      return proxy
    }
  })
  const proxies: Proxy[] = []
  const sourceProxies: Proxy[] = []
  const results = await Promise.allSettled([
    keep(startKafka(cluster('east', o.sourceBrokers ?? 1, sourceProxies, o.source)), each => each.stop()),
    keep(startKafka(cluster('west', o.targetBrokers ?? 1, proxies, o.target)), each => each.stop()),
    keep(startOracle(), oracle => oracle.close())
  ])
  const failed = results.find(result => result.status === 'rejected')
  if (failed) {
    await stop()
    throw failed.reason
  }
  const [east, west, oracle] = results.map(result => (result as PromiseFulfilledResult<unknown>).value) as [
    KafkaCluster,
    KafkaCluster,
    Oracle
  ]
  return { east, west, oracle, proxies, sourceProxies, logDirectory, stop }
}
