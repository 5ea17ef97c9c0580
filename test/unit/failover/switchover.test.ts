import { describe, expect, it } from 'vitest'
import type { LaneEnd } from '../../../src/control/control-records.js'
import type { MoveCoordinator } from '../../../src/failover/move-coordinator.js'
import { MoveRecorder } from '../../../src/failover/move-recorder.js'
import { driveSwitchover } from '../../../src/failover/switchover.js'
import { isComplete, wasOvertaken } from '../../../src/failover/source-ends.js'
import { FakeCluster } from '../lineage/fake-cluster.js'
import { dataBatch } from '../lineage/fake-partition.js'

/** A source partition with ten records, and a move that has nothing to wait for but its copy. */
function setUp(o: { reached?: bigint | undefined; closedAt?: bigint; missing?: string[]; start?: bigint } = {}) {
  const east = new FakeCluster('east')
  const log = east.createTopic('orders')
  log.append(dataBatch(10))
  if (o.start !== undefined) log.start = o.start
  const done: string[] = []
  const reached = 'reached' in o ? o.reached : 10n
  const lane = { topic: 'orders', partition: 0, targetTopic: 'orders', targetPartition: 0, targetEnd: 10n }
  const lanes: LaneEnd[] = reached === undefined ? [] : [{ ...lane, reached: o.closedAt ?? reached }]
  const move = {
    from: 'east',
    to: 'west',
    epoch: 1,
    topics: ['orders'],
    groups: [],
    members: ['a'],
    missing: [],
    answers: new Map(),
    lanes,
    recorder: new MoveRecorder(),
    translator: { reached: () => Promise.resolve(reached) },
    context: {
      links: new Map([['east', { client: east.client }]]),
      machine: { transition: () => undefined }
    },
    open: () => Promise.resolve(),
    lateTopics: () => [],
    until: async (check: () => Promise<boolean> | boolean) => {
      while (!(await check()));
    },
    close: () => Promise.resolve(lanes),
    moveGroups: () => Promise.resolve({ partitions: 1, applied: 0, repaired: 0, missing: o.missing ?? [] }),
    join: () => Promise.resolve(void done.push('join'))
  }
  const drive = () => driveSwitchover(move as unknown as MoveCoordinator, { deadline: performance.now() + 50 })
  return { drive, done }
}

describe('a switchover', () => {
  it('is joined when everything was copied and every position is on the target', async () => {
    const { drive, done } = setUp()
    await drive()
    expect(done).toEqual(['join'])
  })

  it('is aborted before it is joined when a position could not be committed', async () => {
    const { drive, done } = setUp({ missing: ['group g at offset 5 of orders-0: the group has members on the target'] })
    await expect(drive()).rejects.toMatchObject({
      code: 'TWINLOG_MOVE_ABORTED',
      message: expect.stringContaining('group g at offset 5 of orders-0') as string
    })
    expect(done).toEqual([])
  })

  it('does not take an emptied partition for complete when retention overtook its lane', async () => {
    for (const start of [10n, 6n]) {
      const { drive, done } = setUp({ reached: 4n, start })
      await expect(drive()).rejects.toMatchObject({
        code: 'TWINLOG_MOVE_ABORTED',
        message: expect.stringContaining(`from offset 4 up to ${start}`) as string
      })
      expect(done).toEqual([])
    }
  })

  it('is aborted when a lane was closed before the end, also of an emptied partition', async () => {
    const { drive, done } = setUp({ closedAt: 9n, start: 10n })
    await expect(drive()).rejects.toMatchObject({ code: 'TWINLOG_MOVE_ABORTED' })
    expect(done).toEqual([])
  })

  it('needs no lane where nothing is', async () => {
    await expect(setUp({ reached: undefined, start: 10n }).drive()).resolves.toBeUndefined()
    await expect(setUp({ reached: undefined }).drive()).rejects.toMatchObject({ code: 'TWINLOG_NOT_CAUGHT_UP' })
  })
})

describe('the end of a source partition', () => {
  it('is reached by a lane that came to it, or by nobody where nothing is', () => {
    expect(isComplete({ start: 0n, highWatermark: 5n }, 5n)).toBe(true)
    expect(isComplete({ start: 5n, highWatermark: 5n }, 4n)).toBe(false)
    expect(isComplete({ start: 5n, highWatermark: 5n }, undefined)).toBe(true)
    expect(isComplete({ start: 0n, highWatermark: 5n }, undefined)).toBe(false)
  })

  it('has overtaken a lane that stands before the log start', () => {
    expect(wasOvertaken({ start: 5n }, 4n)).toBe(true)
    expect(wasOvertaken({ start: 5n }, 5n)).toBe(false)
    expect(wasOvertaken({ start: 5n }, undefined)).toBe(false)
  })
})
