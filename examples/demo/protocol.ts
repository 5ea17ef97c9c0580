import type { ClusterConfig, Evidence } from '../../src/index.js'

/** What the demo's processes are started with: plain data, handed over as JSON. */
export interface DemoCluster {
  alias: string
  brokers: string[]
}

export interface ServiceOptions {
  role: 'producer' | 'consumer'
  service: string
  instanceId: string
  topic: string
  groupId: string
  clusters: DemoCluster[]
  /** Every acknowledged (producer) or handled (consumer) record id is appended here, one a line. */
  witness: string
  recordsPerSecond: number
}

export interface MirrorProcessOptions {
  source: DemoCluster
  target: DemoCluster
  topics: string[]
  latencyMs: number
}

/** Orchestrator → process. */
export type Command =
  | { type: 'stop' }
  | { type: 'quiet' }
  | { type: 'move'; kind: 'switchover' | 'failover'; to: string }

/** Process → orchestrator. */
export type Report =
  | { type: 'ready' }
  | { type: 'progress'; count: number; state: string; active: string; note: string }
  | { type: 'moved'; evidence: ReturnType<Evidence['toJSON']> }
  | { type: 'failed'; message: string }

export function clusterConfig(cluster: DemoCluster): ClusterConfig {
  return {
    alias: cluster.alias,
    brokers: cluster.brokers,
    clientId: 'twinlog-demo',
    connectionTimeout: 1_000,
    requestTimeout: 10_000,
    logLevel: 0
  }
}

export function report(message: Report): void {
  // The orchestrator may be gone already; then nobody needs the report.
  if (process.connected) process.send?.(message, () => undefined)
}

export function onCommand(handler: (command: Command) => void): void {
  process.on('message', message => handler(message as Command))
  // An orphan ends itself: the orchestrator was killed.
  process.on('disconnect', () => process.exit(0))
  process.on('SIGINT', () => undefined)
}

export function startOptions<T>(): T {
  return JSON.parse(process.argv[2] ?? '{}') as T
}
