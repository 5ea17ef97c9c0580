import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { KafkaConfig } from 'kafkajs'
import type { ClusterConfig } from '../../src/kafka/types.js'
import { forgetDirectory, watchDirectory } from './children.js'
import { type Address, type ListenerOptions, layOut } from './kafka-properties.js'
import { type JvmProfile, KafkaNode } from './kafka-node.js'
import { aliveBrokers } from './probe.js'

export type { Address, ListenerOptions } from './kafka-properties.js'

export interface KafkaOptions {
  /** Alias in `config()`, and part of messages. */
  name: string
  /** Default 1: one JVM is broker and controller. With more there is one controller JVM apart, so that killing brokers keeps the quorum. */
  brokers?: number | undefined
  /** Listeners besides PLAINTEXT, for example SASL or TLS. */
  listeners?: ListenerOptions[] | undefined
  /** The address that clients are told instead of the real one, for example a proxy's. Brokers among themselves always talk directly. */
  advertised?: ((brokerIndex: number, port: number, listener: string) => Address | Promise<Address>) | undefined
  /**
   * With the StandardAuthorizer: nobody may do what no ACL allows, but whoever comes by PLAINTEXT (the oracle, for example) is a super user. Give
   * others a listener with SASL, and ACLs by `oracle.acl`.
   */
  authorizer?: boolean | undefined
  /** `broker.rack` of each broker. */
  racks?: readonly string[] | undefined
  /** Broker properties, over the defaults. */
  properties?: Record<string, string | number | boolean> | undefined
  /** Heap of each broker. Default 384, 512 with `jvm: 'throughput'`. */
  heapMb?: number | undefined
  /** Default `fast-start` (no C2 compiler). Benchmarks take `throughput`. */
  jvm?: JvmProfile | undefined
  /** Default 60,000. */
  startTimeoutMs?: number | undefined
}

export interface Broker {
  readonly nodeId: number
  readonly host: string
  /** Port of the PLAINTEXT listener. */
  readonly port: number
  /** Port of each listener, by its name. */
  readonly ports: Readonly<Record<string, number>>
  /** 0 while the broker is down. */
  readonly pid: number
  readonly running: boolean
  /** Where its logs lie, one directory a partition. */
  readonly dataDirectory: string
  /** Orderly shutdown. */
  stop(): Promise<void>
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>
  /** SIGSTOP: connections hang, nothing refuses. */
  freeze(): void
  thaw(): void
  /** Same ports, node id and data; resolves when it answers and counts itself among the living. */
  start(): Promise<void>
  restart(): Promise<void>
  logTail(lines?: number): string
}

export interface KafkaCluster extends AsyncDisposable {
  readonly name: string
  readonly clusterId: string
  readonly bootstrap: string[]
  readonly brokers: Broker[]
  /** The controller's JVM, where it is one of its own (more than one broker): to be killed, spawned, frozen and thawed. */
  readonly controller: KafkaNode | undefined
  /** Bootstrap addresses of another listener. */
  bootstrapOf(listener: string): string[]
  /** kafkajs config with alias (default: the cluster's name), silent, with short time-outs. */
  config(alias?: string, overrides?: Partial<KafkaConfig>): ClusterConfig
  /** Ends everything at once and removes the data. */
  stop(): Promise<void>
}

/** Starts a real Apache Kafka cluster (KRaft) on free loopback ports. Ready means: every broker answers and counts all as alive. */
export async function startKafka(options: KafkaOptions): Promise<KafkaCluster> {
  const directory = mkdtempSync(join(tmpdir(), `twinlog-${options.name.replaceAll(/[^a-zA-Z0-9]/g, '-')}-`))
  watchDirectory(directory)
  const clusterId = randomBytes(16).toString('base64url').replace(/^-/, 'A')
  const startTimeoutMs = options.startTimeoutMs ?? 60_000
  const jvm = options.jvm ?? 'fast-start'
  const nodes: KafkaNode[] = []
  const stop = async (): Promise<void> => {
    await Promise.all(nodes.map(node => node.kill()))
    rmSync(directory, { recursive: true, force: true, maxRetries: 3 })
    forgetDirectory(directory)
  }
  try {
    const layout = await layOut(options)
    const nodeOf = (role: string, nodeId: number, properties: Record<string, string>, heapMb: number): KafkaNode => {
      const node = new KafkaNode({
        label: `${role} ${nodeId} of cluster ${options.name}`,
        clusterId,
        nodeId,
        directory: join(directory, `${role}-${nodeId}`),
        properties,
        scram: layout.scram,
        heapMb,
        jvm
      })
      nodes.push(node)
      return node
    }
    const controller =
      layout.controller === undefined ? undefined : nodeOf('controller', layout.controllerId, layout.controller, 192)
    const heapMb = options.heapMb ?? (jvm === 'throughput' ? 512 : 384)
    const brokers = layout.brokers.map(b =>
      brokerOf(nodeOf('broker', b.nodeId, b.properties, heapMb), b, startTimeoutMs)
    )
    await Promise.all(nodes.map(node => node.spawn()))
    await Promise.all(
      layout.brokers.map(async ({ ports }, index) => {
        const ready = async (): Promise<boolean> =>
          (await aliveBrokers('127.0.0.1', ports.PLAINTEXT ?? 0))?.length === layout.brokers.length
        await nodes[index + (layout.controller === undefined ? 0 : 1)]?.waitUntil(ready, startTimeoutMs)
      })
    )
    const bootstrapOf = (listener: string): string[] =>
      layout.brokers.map(({ advertised }) => {
        const address = advertised[listener]
        if (address === undefined) throw new Error(`cluster ${options.name} has no listener ${listener}`)
        return `${address.host}:${address.port}`
      })
    const bootstrap = bootstrapOf('PLAINTEXT')
    return {
      name: options.name,
      clusterId,
      bootstrap,
      brokers,
      controller,
      bootstrapOf,
      stop,
      [Symbol.asyncDispose]: stop,
      config: (alias = options.name, overrides = {}) => ({
        alias,
        clientId: 'twinlog-test',
        brokers: bootstrap,
        logLevel: 0,
        connectionTimeout: 2000,
        requestTimeout: 10_000,
        retry: { initialRetryTime: 50, maxRetryTime: 1000, retries: 10 },
        ...overrides
      })
    }
  } catch (error) {
    await stop()
    throw error
  }
}

function brokerOf(
  node: KafkaNode,
  { nodeId, ports }: { nodeId: number; ports: Record<string, number> },
  startTimeoutMs: number
): Broker {
  const port = ports.PLAINTEXT ?? 0
  const start = async (): Promise<void> => {
    await node.spawn()
    await node.waitUntil(async () => (await aliveBrokers('127.0.0.1', port))?.includes(nodeId) === true, startTimeoutMs)
  }
  return {
    nodeId,
    host: '127.0.0.1',
    port,
    ports,
    get pid() {
      return node.pid
    },
    get running() {
      return node.running
    },
    dataDirectory: node.dataDirectory,
    stop: () => node.terminate(),
    kill: () => node.kill(),
    freeze: () => node.freeze(),
    thaw: () => node.thaw(),
    start,
    restart: async () => {
      await node.terminate()
      await start()
    },
    logTail: lines => node.logTail(lines)
  }
}
