import { describe, expect, it } from 'vitest'
import { LaneState } from '../../../src/lineage/lane-state.js'
import { recoverPosition } from '../../../src/mirror/recovery.js'
import { stampBatch } from '../../../src/records/stamp.js'
import { birth } from '../lineage/births.js'
import { FakeCluster } from '../lineage/fake-cluster.js'
import { dataBatch, type FakePartition } from '../lineage/fake-partition.js'

const LINK_ID = 70n

class Bench {
  readonly cluster = new FakeCluster('west')
  readonly target: FakePartition = this.cluster.createTopic('orders')
  readonly state = new LaneState('lane')

  constructor() {
    this.state.addBirth(birth({ producerId: LINK_ID }))
  }

  /** As an owner of this lane appends. */
  own(count: number, sequence: number): void {
    const bytes = stampBatch(dataBatch(count), { producerId: LINK_ID, producerEpoch: 0, baseSequence: sequence })
    expect(this.target.produce(bytes).errorCode).toBe(0)
  }

  recover() {
    return recoverPosition({ target: this.cluster.client, state: this.state, topic: 'orders', partition: 0 })
  }
}

describe('recovery', () => {
  it('takes ordinal and target end from one look at the log', async () => {
    const bench = new Bench()
    bench.own(3, 0)
    bench.target.append(dataBatch(2))
    expect(await bench.recover()).toMatchObject({ next: 3n, targetEnd: 3n, brokerKnows: true })
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
    expect(await bench.recover()).toMatchObject({ next: 7n, targetEnd: 9n, brokerKnows: true })
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
    expect(await bench.recover()).toMatchObject({ next: 5n, targetEnd: 5n, brokerKnows: false })
  })
})
