import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { ClusterClient } from '../../../src/kafka/cluster.js'
import type { ApiRequest } from '../../../src/kafka/types.js'
import { askLeader } from '../../../src/lineage/ask-leader.js'
import { watchLeaders } from '../../../src/lineage/leader-watch.js'

/** Broker 1 is frozen; metadata says who leads. */
class FrozenLeader {
  readonly alias = 'west'
  leader = 1
  questions = 0
  metadataFails = false
  readonly client = this as unknown as ClusterClient

  async metadata(): Promise<void> {
    this.questions += 1
    if (this.metadataFails) throw new Error('no broker answered')
  }

  leaderOf(): { nodeId: number; leaderEpoch: number } {
    return { nodeId: this.leader, leaderEpoch: 0 }
  }

  send(): Promise<never> {
    return new Promise(() => undefined)
  }
}

const partitions = [{ topic: 'orders', partition: 0 }]

describe('watching a silent leader', () => {
  it('tells once that another broker leads', async () => {
    const cluster = new FrozenLeader()
    let moved = 0
    watchLeaders({ cluster: cluster.client, nodeId: 1, partitions, moved: () => moved++, silenceMs: 10 })
    cluster.leader = 2
    await sleep(60)
    expect(moved).toBe(1)
    expect(cluster.questions).toBe(1)
  })

  it('says nothing while the leader stays, nobody leads, or nobody answers', async () => {
    for (const spoil of [(c: FrozenLeader) => (c.leader = 1), (c: FrozenLeader) => (c.leader = -1)]) {
      const cluster = new FrozenLeader()
      cluster.metadataFails = true
      spoil(cluster)
      let moved = 0
      const stop = watchLeaders({ cluster: cluster.client, nodeId: 1, partitions, moved: () => moved++, silenceMs: 10 })
      await sleep(40)
      stop()
      expect(moved).toBe(0)
      expect(cluster.questions).toBe(1)
    }
  })

  it('asks nobody when the answer comes in time', async () => {
    const cluster = new FrozenLeader()
    cluster.leader = 2
    let moved = 0
    watchLeaders({ cluster: cluster.client, nodeId: 1, partitions, moved: () => moved++, silenceMs: 30 })()
    await sleep(60)
    expect({ moved, questions: cluster.questions }).toEqual({ moved: 0, questions: 0 })
  })

  it('a question to a leader of yesterday rejects long before its time-out', async () => {
    const cluster = new FrozenLeader()
    const request = { apiName: 'ListOffsets' } as ApiRequest<never>
    const asked = askLeader(cluster.client, { topic: 'orders', partition: 0, node: 1 }, request)
    cluster.leader = 2
    await expect(asked).rejects.toMatchObject({ code: 'TWINLOG_UNREACHABLE', retriable: true })
  })
})
