import { setTimeout as sleep } from 'node:timers/promises'
import { Kafka } from 'kafkajs'
import { ClusterClient } from '../../../src/kafka/cluster.js'
import type { PartitionMetadata } from '../../../src/kafka/types.js'
import { consoleLogger } from '../../../src/logger.js'
import type { Broker } from '../../support/kafka.js'
import type { Bed } from './bed.js'
import { type CampaignOptions, runCampaign, type Stage } from './campaign.js'
import type { Report } from './report.js'

export interface LeadersOptions extends CampaignOptions {
  /** SIGKILL of a broker that leads lanes; it comes back a few seconds later. */
  kills: number
  /** Orderly shutdown and start: leaders move away and, 2 s after the broker is back in the ISR, home again. */
  restarts: number
  /** SIGSTOP of a leader: it answers nobody, refuses nobody, and wakes up as a leader of yesterday. */
  freezes: number
  freezeMs: number
  /** New preferred leaders for all lanes, all brokers alive. */
  flips: number
}

const LEADER_TIMEOUT_MS = 30_000
const POLL_MS = 50

/** Needs a target of three brokers. Leaders die, hang, leave and move while several batches of each lane are on their way. */
export function leaders(o: LeadersOptions): Promise<Report> {
  return runCampaign(o, async stage => {
    // It asks the next broker when one is silent; kafkajs would wait for the frozen one.
    const west = new ClusterClient(o.bed.west.config(), { logger: consoleLogger('error') })
    await west.connect()
    try {
      for (const act of acts(o, stage.random)) {
        await everyReplicaInSync(west, stage.topic)
        await stage.recovered()
        const before = await leadersOf(west, stage.topic)
        const victim = o.bed.west.brokers.find(broker => broker.nodeId === mostLanes(before))
        if (!victim) throw new Error(`no broker leads a lane: ${JSON.stringify(before)}`)
        await act(stage, { west, victim, before, bed: o.bed })
        await sleep(500 + stage.random() * 1_000)
      }
      await everyReplicaInSync(west, stage.topic)
    } finally {
      await west.close()
    }
  })
}

interface Scene {
  west: ClusterClient
  bed: Bed
  victim: Broker
  before: Map<number, number>
}

type Act = (stage: Stage, scene: Scene) => Promise<void>

function acts(o: LeadersOptions, random: () => number): Act[] {
  const kill: Act = async ({ timeline, topic }, { west, victim }) => {
    const elected = timeline.inject(`SIGKILL of leader ${victim.nodeId}`)
    await victim.kill()
    await leaderless(west, topic, victim.nodeId).then(elected)
    await sleep(1_500)
    await victim.start()
  }
  const restart: Act = async ({ timeline, topic }, { west, victim }) => {
    const elected = timeline.inject(`orderly stop of leader ${victim.nodeId}`)
    const moved = leaderless(west, topic, victim.nodeId).then(elected)
    await victim.stop()
    await moved
    await sleep(1_000)
    timeline.inject(`start of broker ${victim.nodeId}, leaders move home`)
    await victim.start()
    await everyReplicaInSync(west, topic)
    await sleep(2_500)
  }
  const freeze: Act = async ({ timeline, topic }, { west, victim }) => {
    const elected = timeline.inject(`leader ${victim.nodeId} frozen for ${o.freezeMs} ms`)
    victim.freeze()
    const moved = leaderless(west, topic, victim.nodeId).then(elected)
    await sleep(o.freezeMs)
    await moved
    timeline.inject(`thaw of ${victim.nodeId}, a leader of yesterday`)
    victim.thaw()
    await sleep(1_000)
  }
  const flip: Act = async ({ timeline, topic }, { west, bed, before }) => {
    const elected = timeline.inject('all leaders flip')
    await rotateReplicas(bed, west, topic)
    await until(async () => {
      const now = await leadersOf(west, topic)
      return [...before].every(([partition, leader]) => now.get(partition) !== leader)
    }, 'leaders to flip')
    elected()
  }
  const all = [
    ...Array<Act>(o.kills).fill(kill),
    ...Array<Act>(o.restarts).fill(restart),
    ...Array<Act>(o.freezes).fill(freeze),
    ...Array<Act>(o.flips).fill(flip)
  ]
  return all
    .map(act => ({ act, place: random() }))
    .sort((x, y) => x.place - y.place)
    .map(({ act }) => act)
}

function mostLanes(leaders: Map<number, number>): number {
  const counts = new Map<number, number>()
  for (const leader of leaders.values()) counts.set(leader, (counts.get(leader) ?? 0) + 1)
  return [...counts].sort((x, y) => y[1] - x[1])[0]?.[0] ?? -1
}

async function partitionsOf(west: ClusterClient, topic: string): Promise<PartitionMetadata[]> {
  return (await west.metadata({ topics: [topic] })).topics.get(topic)?.partitions ?? []
}

async function leadersOf(west: ClusterClient, topic: string): Promise<Map<number, number>> {
  return new Map((await partitionsOf(west, topic)).map(({ partition, leader }) => [partition, leader]))
}

/** Until each lane is led by another broker than this one. */
function leaderless(west: ClusterClient, topic: string, nodeId: number): Promise<void> {
  return until(async () => {
    const now = [...(await leadersOf(west, topic)).values()]
    return now.length > 0 && now.every(leader => leader >= 0 && leader !== nodeId)
  }, `lanes to leave broker ${nodeId}`)
}

function everyReplicaInSync(west: ClusterClient, topic: string): Promise<void> {
  return until(
    async () => (await partitionsOf(west, topic)).every(({ isr, replicas }) => isr.length === replicas.length),
    'all replicas to be in sync'
  )
}

/** The next replica of each partition becomes the preferred one; the controller elects it within 2 s. */
async function rotateReplicas(bed: Bed, west: ClusterClient, topic: string): Promise<void> {
  const partitions = await partitionsOf(west, topic)
  const partitionAssignment = partitions.map(({ partition, replicas, leader }) => {
    const next = replicas[(replicas.indexOf(leader) + 1) % replicas.length] as number
    return { partition, replicas: [next, ...replicas.filter(replica => replica !== next)] }
  })
  const admin = new Kafka(bed.west.config()).admin()
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
