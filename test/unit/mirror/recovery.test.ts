import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { LaneState } from '../../../src/lineage/lane-state.js'
import type { BirthEntry } from '../../../src/lineage/state-values.js'
import { laneEndOf, recoverPosition } from '../../../src/mirror/recovery.js'
import { stampBatch } from '../../../src/records/stamp.js'
import { birth } from '../lineage/births.js'
import { FakeCluster } from '../lineage/fake-cluster.js'
import { dataBatch, type FakePartition } from '../lineage/fake-partition.js'

const LINK_ID = 70n

class Bench {
  readonly cluster = new FakeCluster('west')
  readonly target: FakePartition = this.cluster.createTopic('orders')
  readonly state = new LaneState('lane')

  constructor(o: Partial<BirthEntry> = {}) {
    // An end that lies too low is believed when it stays for some seconds.
    if (vi.isFakeTimers()) this.cluster.before = () => void vi.setSystemTime(Date.now() + 1_000)
    this.state.addBirth(birth({ producerId: LINK_ID, ...o }))
  }

  /** As an owner of this lane appends. */
  own(count: number, sequence: number): void {
    const bytes = stampBatch(dataBatch(count), { producerId: LINK_ID, producerEpoch: 0, baseSequence: sequence })
    expect(this.target.produce(bytes).errorCode).toBe(0)
  }

  /** With a loss accepted. */
  end() {
    const { cluster, state } = this
    return laneEndOf({ target: cluster.client, state, topic: 'orders', partition: 0, rescan: true })
  }

  recover() {
    return recoverPosition({ target: this.cluster.client, state: this.state, topic: 'orders', partition: 0 })
  }
}

describe('the end of a lane', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['Date'], now: Date.now() }))
  afterEach(() => void vi.useRealTimers())

  it('that lies before what was acknowledged is told, not guessed', async () => {
    const bench = new Bench()
    bench.own(3, 0)
    bench.own(2, 3)
    bench.state.addCheckpoint({ next: 5n, targetEnd: 5n, reached: 5n, sourceLeaderEpoch: 0 })
    bench.target.truncate(3n)
    await expect(bench.recover()).rejects.toMatchObject({ code: 'TWINLOG_TRUNCATED', offset: 3n })
  })

  it('is what the target still has once the loss is accepted', async () => {
    const bench = new Bench()
    bench.own(3, 0)
    bench.own(2, 3)
    bench.state.addCheckpoint({ next: 5n, targetEnd: 5n, reached: 5n, sourceLeaderEpoch: 0 })
    bench.target.truncate(3n)
    expect(await bench.end()).toMatchObject({ next: 3n, targetEnd: 3n })
  })

  it('is where it was born when nothing is left, and no further than the target goes', async () => {
    const bench = new Bench({ first: 40n, targetEnd: 5n })
    bench.target.append(dataBatch(5))
    bench.own(3, 40)
    bench.state.addCheckpoint({ next: 43n, targetEnd: 8n, reached: 43n, sourceLeaderEpoch: 0 })
    bench.target.truncate(5n)
    expect(await bench.end()).toMatchObject({ next: 40n, targetEnd: 5n })
    bench.target.truncate(0n)
    expect(await bench.end()).toMatchObject({ next: 40n, targetEnd: 0n })
  })

  it('does not count what was written in a transaction that was given up', async () => {
    const bench = new Bench()
    bench.own(3, 0)
    bench.target.marker(LINK_ID, 1)
    bench.state.addEpoch({ producerId: LINK_ID, epoch: 1, base: 3n, firstSequence: 0 })
    const batch = { producerId: LINK_ID, producerEpoch: 1, baseSequence: 0, transactional: true }
    expect(bench.target.produce(stampBatch(dataBatch(4), batch)).errorCode).toBe(0)
    bench.target.marker(LINK_ID, 2, 'abort')
    bench.state.addEpoch({ producerId: LINK_ID, epoch: 2, base: 3n, firstSequence: 0 })
    expect(await bench.recover()).toMatchObject({ next: 3n, epoch: { epoch: 2 } })
  })
})

describe('recovery', () => {
  it('says that somebody took the lane over when a later epoch shows', async () => {
    const bench = new Bench()
    bench.own(3, 0)
    bench.target.marker(LINK_ID, 1)
    await expect(bench.recover()).rejects.toMatchObject({ code: 'TWINLOG_FENCED', retriable: true })
  })

  it('takes ordinal and target end from one look at the log', async () => {
    const bench = new Bench()
    bench.own(3, 0)
    bench.target.append(dataBatch(2))
    expect(await bench.recover()).toMatchObject({ next: 3n, targetEnd: 3n })
  })

  it('does so also when another owner appended after the broker told about its producers', async () => {
    // Symptom: the ordinal of then with the end of now; the map was wrong by what had come in between.
    const bench = new Bench()
    bench.own(3, 0)
    bench.cluster.after = apiName => {
      if (apiName !== 'DescribeProducers') return
      bench.target.append(dataBatch(2))
      bench.own(4, 3)
    }
    expect(await bench.recover()).toMatchObject({ next: 7n, targetEnd: 9n })
  })

  it('asks again when the log shows less than the broker knew of', async () => {
    const bench = new Bench()
    bench.own(3, 0)
    bench.target.producers.get(LINK_ID)?.batches.push({ first: 3, last: 5, offset: 3n })
    await expect(bench.recover()).rejects.toMatchObject({ code: 'TWINLOG_POSITION_UNKNOWN', retriable: true })
  })

  it('reads the headers behind the checkpoint when the broker has forgotten the lane', async () => {
    const bench = new Bench()
    bench.own(3, 0)
    bench.own(2, 3)
    bench.state.addCheckpoint({ next: 3n, targetEnd: 3n, reached: 3n, sourceLeaderEpoch: 0 })
    bench.target.producers.clear()
    expect(await bench.recover()).toMatchObject({ next: 5n, targetEnd: 5n })
  })
})
