import { describe, expect, it, vi } from 'vitest'
import { TwinlogError } from '../../../src/errors.js'
import type { ClusterClient } from '../../../src/kafka/cluster.js'
import type { Logger } from '../../../src/logger.js'
import type { Lane } from '../../../src/mirror/lane.js'
import { TargetAppender } from '../../../src/mirror/target-appender.js'

const logger: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }

/** A lane with one batch to send and nothing on its way. */
function waitingLane(): Lane & { unreachable: ReturnType<typeof vi.fn> } {
  const target = { topic: 'orders', topicId: 'id', partition: 0 }
  return { target, settled: true, peek: () => ({}), unreachable: vi.fn() } as unknown as ReturnType<typeof waitingLane>
}

describe('a target broker that cannot be reached', () => {
  it('gives its lanes back: with nothing in flight nothing else would tell them that another broker leads', async () => {
    // Symptom: after kill −9 of a leader, lanes with an empty pipeline stood still until that very broker was back (17 s).
    let attempts = 0
    const cluster = {
      alias: 'west',
      openConnection: () => {
        attempts += 1
        return Promise.reject(new TwinlogError('TWINLOG_UNREACHABLE', 'refused', { retriable: true }))
      }
    } as unknown as ClusterClient
    const appender = new TargetAppender({ nodeId: 1, cluster, logger })
    const lane = waitingLane()
    appender.lanes.add(lane)
    for (let kick = 0; kick < 20; kick++) {
      appender.kick()
      await new Promise(resolve => setTimeout(resolve, 2))
    }
    await vi.waitFor(() => expect(lane.unreachable).toHaveBeenCalledOnce())
    expect(attempts).toBe(1)
    appender.stop()
  })

  it('that hangs while connecting gives them back as soon as another one leads', async () => {
    const cluster = {
      alias: 'west',
      openConnection: () => new Promise(() => undefined),
      metadata: () => Promise.resolve(),
      leaderOf: () => ({ nodeId: 2, leaderEpoch: 1 })
    } as unknown as ClusterClient
    const appender = new TargetAppender({ nodeId: 1, cluster, logger })
    const lane = waitingLane()
    appender.lanes.add(lane)
    appender.kick()
    await vi.waitFor(() => expect(lane.unreachable).toHaveBeenCalledOnce(), { timeout: 3_000 })
    appender.stop()
  })
})
