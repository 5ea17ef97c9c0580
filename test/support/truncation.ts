import { setTimeout as sleep } from 'node:timers/promises'
import type { Broker, KafkaCluster } from './kafka.js'
import type { Oracle, TopicDescription, WrittenRecord } from './oracle.js'

export interface TruncationOptions {
  cluster: KafkaCluster
  oracle: Oracle
  topic: string
  partition?: number | undefined
  /** Written, acknowledged by the leader alone, seen by readers, and then lost. */
  lost: readonly WrittenRecord[]
  /** Written by the next leader in their place. */
  replacement: readonly WrittenRecord[]
  /** Runs while the lost records can be read: a mirror may copy them. */
  beforeTheLoss?: (() => Promise<void>) | undefined
  /** Runs when the new leader leads, before it has written anything: the log is shorter and nothing else. */
  afterTheLoss?: (() => Promise<void>) | undefined
}

export interface Truncation {
  /** Where the histories part: the first lost offset. */
  divergesAt: bigint
  before: { leader: number; end: bigint; leaderEpoch: number }
  after: { leader: number; end: bigint; leaderEpoch: number }
}

/**
 * A real truncation by an unclean election. Needs three brokers and a topic with `unclean.leader.election.enable=true` and `min.insync.replicas=1`
 * that is replicated to all of them. The followers are stopped, the leader alone takes the lost records, dies (kill −9), a follower without them is
 * elected uncleanly and takes others; then everybody comes back and the old leader cuts its log. About 15 s; every other topic of the
 * cluster is without a quorum of brokers meanwhile.
 */
export async function provokeTruncation(o: TruncationOptions): Promise<Truncation> {
  const { cluster, oracle, topic, partition = 0 } = o
  const here = { cluster: cluster.bootstrap, topic }
  const looks = async (): Promise<TopicDescription['partitions'][number]> => {
    const found = (await oracle.describeTopic(here)).partitions[partition]
    if (found === undefined) throw new Error(`${topic} has no partition ${partition}`)
    return found
  }
  const until = (what: string, holds: (p: Awaited<ReturnType<typeof looks>>) => boolean) => settle(looks, holds, what)
  const start = await until('all replicas in sync', p => p.inSync.length === cluster.brokers.length)
  const leader = brokerOf(cluster, start.leader)
  const [successor, third] = cluster.brokers.filter(broker => broker !== leader) as [Broker, Broker]
  await third.stop()
  await successor.stop()
  await until('the leader is alone', p => p.inSync.length === 1 && p.leader === leader.nodeId)
  await oracle.write({ ...here, acks: '1', steps: [{ send: o.lost, partition }] })
  const before = await until(
    'the lost records can be read',
    p => (p.end ?? 0n) >= (start.end ?? 0n) + BigInt(o.lost.length)
  )
  await o.beforeTheLoss?.()
  await leader.kill()
  await successor.start()
  // With the topic's permission the controller elects by itself; asking makes it sooner. It refuses while it believes that the dead one lives.
  await settle(
    async () => {
      await oracle.electLeaders({ ...here, partitions: [partition], unclean: true }).catch(() => undefined)
      return looks().catch(() => undefined)
    },
    p => p?.leader === successor.nodeId,
    'the successor leads'
  )
  await o.afterTheLoss?.()
  await oracle.write({ ...here, steps: [{ send: o.replacement, partition }] })
  await Promise.all([leader.start(), third.start()])
  const after = await until('all replicas in sync again', p => p.inSync.length === cluster.brokers.length)
  return { divergesAt: start.end ?? 0n, before: told(before), after: told(after) }
}

function told(p: TopicDescription['partitions'][number]): Truncation['before'] {
  return { leader: p.leader, end: p.end ?? -1n, leaderEpoch: p.leaderEpoch ?? -1 }
}

function brokerOf(cluster: KafkaCluster, nodeId: number): Broker {
  const broker = cluster.brokers.find(each => each.nodeId === nodeId)
  if (broker === undefined) throw new Error(`cluster ${cluster.name} has no broker ${nodeId}`)
  return broker
}

async function settle<T>(look: () => Promise<T>, holds: (it: T) => boolean, what: string): Promise<T> {
  const deadline = Date.now() + 60_000
  for (;;) {
    const it = await look()
    if (holds(it)) return it
    if (Date.now() > deadline) throw new Error(`not within 60 s: ${what}`)
    await sleep(50)
  }
}
