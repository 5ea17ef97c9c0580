import { setTimeout as sleep } from 'node:timers/promises'
import { Kafka } from 'kafkajs'
import { ClusterClient } from '../../../src/kafka/cluster.js'
import { findCoordinatorRequest } from '../../../src/kafka/requests/find-coordinator.js'
import type { PartitionMetadata } from '../../../src/kafka/types.js'
import { consoleLogger } from '../../../src/logger.js'
import type { Broker, KafkaCluster } from '../../support/kafka.js'
import { type CampaignOptions, runCampaign, type Stage } from './campaign.js'
import { shuffled } from './random.js'
import type { Report } from './report.js'

export interface LeadersOptions extends CampaignOptions {
  /** Default: the target. */
  side?: 'source' | 'target' | undefined
  /** SIGKILL of a broker that leads lanes; it comes back a few seconds later. */
  kills?: number | undefined
  /** Orderly shutdown and start: leaders move away and, 2 s after the broker is back in the ISR, home again. */
  restarts?: number | undefined
  /** The same for every broker, one after the other, as an upgrade does it. */
  rolling?: number | undefined
  /** SIGSTOP of a leader: it answers nobody, refuses nobody, and wakes up as a leader of yesterday. */
  freezes?: number | undefined
  freezeMs?: number | undefined
  /** New preferred leaders for all lanes, all brokers alive. */
  flips?: number | undefined
  /** SIGKILL of the broker that coordinates the link's transactions, and then of the one that coordinates its workers' group. */
  coordinators?: number | undefined
  /** SIGKILL of the controller, with a leader restarted meanwhile. */
  controllers?: number | undefined
}

const LEADER_TIMEOUT_MS = 90_000
const POLL_MS = 50

/** Needs three brokers there. Leaders die, hang, leave and move while several batches of each lane are on their way. */
export function leaders(o: LeadersOptions): Promise<Report> {
  const cluster = o.side === 'source' ? o.bed.east : o.bed.west
  return runCampaign(o, async stage => {
    // It asks the next broker when one is silent; kafkajs would wait for the frozen one.
    const client = new ClusterClient(cluster.config(), { logger: consoleLogger('error') })
    await client.connect()
    try {
      for (const act of acts(o, stage.random)) {
        await everyReplicaInSync(client, stage.topic)
        await stage.recovered()
        const before = await leadersOf(client, stage.topic)
        const victim = brokerOf(cluster, mostLanes(before))
        await act(stage, { client, victim, before, cluster })
        await sleep(500 + stage.random() * 1_000)
      }
      await everyReplicaInSync(client, stage.topic)
    } finally {
      await client.close()
    }
  })
}

interface Scene {
  client: ClusterClient
  cluster: KafkaCluster
  victim: Broker
  before: Map<number, number>
}

type Act = (stage: Stage, scene: Scene) => Promise<void>

const DOWN_MS = 1_500
const CONTROLLER_DOWN_MS = 4_000

const kill: Act = async ({ timeline, topic }, { client, victim }) => {
  const elected = timeline.inject(`SIGKILL of leader ${victim.nodeId}`)
  await victim.kill()
  await leaderless(client, topic, victim.nodeId).then(elected)
  await sleep(DOWN_MS)
  await victim.start()
}

const restart: Act = async ({ timeline, topic }, { client, victim }) => {
  const elected = timeline.inject(`orderly stop of broker ${victim.nodeId}`)
  const moved = leaderless(client, topic, victim.nodeId).then(elected)
  await victim.stop()
  await moved
  await sleep(1_000)
  timeline.inject(`start of broker ${victim.nodeId}, leaders move home`)
  await victim.start()
  await everyReplicaInSync(client, topic)
  await sleep(2_500)
}

const rolling: Act = async (stage, scene) => {
  for (const victim of scene.cluster.brokers) await restart(stage, { ...scene, victim })
}

const flip: Act = async ({ timeline, topic }, { client, cluster, before }) => {
  const elected = timeline.inject('all leaders flip')
  await rotateReplicas(cluster, client, topic)
  await until(async () => {
    const now = await leadersOf(client, topic)
    return [...before].every(([partition, leader]) => now.get(partition) !== leader)
  }, 'leaders to flip')
  elected()
}

const coordinators: Act = async ({ timeline, topic, recovered }, { client, cluster }) => {
  for (const [type, what] of [
    ['transaction', 'the transactions'],
    ['group', 'the group']
  ] as const) {
    const key = `twinlog.${topic}`
    const { nodeId } = await client.send('any', findCoordinatorRequest({ type, key }))
    const victim = brokerOf(cluster, nodeId)
    timeline.inject(`SIGKILL of ${nodeId}, which coordinates ${what}`)
    await victim.kill()
    await leaderless(client, topic, nodeId)
    await sleep(DOWN_MS)
    await victim.start()
    await everyReplicaInSync(client, topic)
    await recovered()
  }
}

const controllers: Act = async ({ timeline, topic }, { client, cluster, victim }) => {
  timeline.inject(`SIGKILL of the controller, back after ${CONTROLLER_DOWN_MS} ms`)
  await cluster.controller?.kill()
  await sleep(CONTROLLER_DOWN_MS)
  await cluster.controller?.spawn()
  timeline.inject('the controller is back')
  await everyReplicaInSync(client, topic)
  await sleep(2_000)
  timeline.inject(`SIGKILL of controller and leader ${victim.nodeId}`)
  await Promise.all([cluster.controller?.kill(), victim.kill()])
  await sleep(DOWN_MS)
  await cluster.controller?.spawn()
  await victim.start()
  await everyReplicaInSync(client, topic)
}

function acts(o: LeadersOptions, random: () => number): Act[] {
  const { freezeMs = 4_000 } = o
  const freeze: Act = async ({ timeline, topic }, { client, victim }) => {
    const elected = timeline.inject(`leader ${victim.nodeId} frozen for ${freezeMs} ms`)
    victim.freeze()
    const moved = leaderless(client, topic, victim.nodeId).then(elected)
    await sleep(freezeMs)
    await moved
    timeline.inject(`thaw of ${victim.nodeId}, a leader of yesterday`)
    victim.thaw()
    await sleep(1_000)
  }
  const wanted: [Act, number | undefined][] = [
    [kill, o.kills],
    [restart, o.restarts],
    [rolling, o.rolling],
    [freeze, o.freezes],
    [flip, o.flips],
    [coordinators, o.coordinators],
    [controllers, o.controllers]
  ]
  return shuffled(
    wanted.flatMap(([act, times = 0]) => Array<Act>(times).fill(act)),
    random
  )
}

function brokerOf(cluster: KafkaCluster, nodeId: number): Broker {
  const broker = cluster.brokers.find(each => each.nodeId === nodeId)
  if (!broker) throw new Error(`cluster ${cluster.name} has no broker ${nodeId}`)
  return broker
}

function mostLanes(leaders: Map<number, number>): number {
  const counts = new Map<number, number>()
  for (const leader of leaders.values()) counts.set(leader, (counts.get(leader) ?? 0) + 1)
  return [...counts].sort((x, y) => y[1] - x[1])[0]?.[0] ?? -1
}

async function partitionsOf(client: ClusterClient, topic: string): Promise<PartitionMetadata[]> {
  return (await client.metadata({ topics: [topic] })).topics.get(topic)?.partitions ?? []
}

async function leadersOf(client: ClusterClient, topic: string): Promise<Map<number, number>> {
  return new Map((await partitionsOf(client, topic)).map(({ partition, leader }) => [partition, leader]))
}

/** Until each lane is led by another broker than this one. */
function leaderless(client: ClusterClient, topic: string, nodeId: number): Promise<void> {
  return until(async () => {
    const now = [...(await leadersOf(client, topic)).values()]
    return now.length > 0 && now.every(leader => leader >= 0 && leader !== nodeId)
  }, `lanes to leave broker ${nodeId}`)
}

function everyReplicaInSync(client: ClusterClient, topic: string): Promise<void> {
  return until(
    async () => (await partitionsOf(client, topic)).every(({ isr, replicas }) => isr.length === replicas.length),
    'all replicas to be in sync'
  )
}

/** The next replica of each partition becomes the preferred one; the controller elects it within 2 s. */
async function rotateReplicas(cluster: KafkaCluster, client: ClusterClient, topic: string): Promise<void> {
  const partitions = await partitionsOf(client, topic)
  const partitionAssignment = partitions.map(({ partition, replicas, leader }) => {
    const next = replicas[(replicas.indexOf(leader) + 1) % replicas.length] as number
    return { partition, replicas: [next, ...replicas.filter(replica => replica !== next)] }
  })
  const admin = new Kafka(cluster.config()).admin()
  await admin.connect()
  try {
    await admin.alterPartitionReassignments({ topics: [{ topic, partitionAssignment }] })
  } finally {
    await admin.disconnect()
  }
}

/** A question that fails is asked again: brokers are dying around us. */
async function until(condition: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + LEADER_TIMEOUT_MS
  while (!(await condition().catch(() => false))) {
    if (Date.now() > deadline) throw new Error(`waited ${LEADER_TIMEOUT_MS} ms in vain for ${what}`)
    await sleep(POLL_MS)
  }
}
