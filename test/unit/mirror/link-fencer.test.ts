import { describe, expect, it } from 'vitest'
import { TwinlogError } from '../../../src/errors.js'
import { linkTransactionalId } from '../../../src/lineage/fence.js'
import type { Logger } from '../../../src/logger.js'
import { LinkFencer } from '../../../src/mirror/link-fencer.js'
import { FakeCluster } from '../lineage/fake-cluster.js'

const SILENT: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
const LINK_ID = 70n

class Bench {
  readonly cluster = new FakeCluster('west')
  readonly fencer = new LinkFencer({ target: this.cluster.client, link: 'l', logger: SILENT })
  readonly asked: string[] = []

  constructor(partitions: number) {
    this.cluster.createTopic('orders', partitions)
    this.cluster.transactions.assign(linkTransactionalId('l'), LINK_ID, 0)
    this.cluster.before = name => void this.asked.push(name)
  }

  fence(partition: number) {
    return this.fencer.fence({ topic: 'orders', partition })
  }

  shown(partition: number) {
    return this.cluster.partition('orders', partition).producers.get(LINK_ID)?.epoch
  }

  count = (name: string) => this.asked.filter(asked => asked === name).length
}

describe('fences of a link', () => {
  it('that are wanted at the same moment are one', async () => {
    const bench = new Bench(50)
    const identities = await Promise.all(Array.from({ length: 50 }, (_unused, partition) => bench.fence(partition)))
    expect(new Set(identities.map(({ epoch }) => epoch))).toEqual(new Set([1]))
    expect([bench.shown(0), bench.shown(49)]).toEqual([1, 1])
    expect([bench.count('InitProducerId'), bench.count('AddPartitionsToTxn')]).toEqual([1, 1])
  })

  it('that are wanted while one is under way follow it, with another epoch', async () => {
    const bench = new Bench(2)
    const first = bench.fence(0)
    await new Promise(resolve => setTimeout(resolve, 0))
    let second: ReturnType<Bench['fence']> | undefined
    bench.cluster.before = name => {
      if (name === 'EndTxn') second ??= bench.fence(1)
    }
    expect(await first).toEqual({ producerId: LINK_ID, epoch: 1 })
    expect(await second).toEqual({ producerId: LINK_ID, epoch: 2 })
    expect([bench.shown(0), bench.shown(1)]).toEqual([1, 2])
  })

  it('are served whenever they are wanted: also the moment after the last one', async () => {
    // Symptom: who came between the end of the last fence and the word about it was never served.
    const bench = new Bench(2)
    for (let turns = 0; turns < 8; turns++) {
      const later = bench.fence(0).then(async () => {
        for (let turn = 0; turn < turns; turn++) await Promise.resolve()
        return bench.fence(1)
      })
      expect((await later).producerId).toBe(LINK_ID)
    }
  })

  it('fail for the partition that is the reason, and for no other', async () => {
    const bench = new Bench(3)
    const handle = bench.cluster.handle.bind(bench.cluster)
    bench.cluster.handle = async request => {
      const answer = (await handle(request)) as { partitions?: { partition: number; errorCode: number }[] }
      if (request.apiName !== 'AddPartitionsToTxn' || !answer.partitions?.some(({ partition }) => partition === 1))
        return answer as never
      // As a broker does: one partition that is refused keeps all others from being tried.
      for (const result of answer.partitions) result.errorCode = result.partition === 1 ? 29 : 55
      return answer as never
    }
    const results = await Promise.allSettled([bench.fence(0), bench.fence(1), bench.fence(2)])
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(results[1]).toMatchObject({
      reason: expect.objectContaining({ code: 'TWINLOG_UNAUTHORIZED', partition: 1 })
    })
    expect(bench.shown(0)).toBeDefined()
    expect((await bench.fence(2)).producerId).toBe(LINK_ID)
  })

  it('that fail are no reason for the next one to fail', async () => {
    const bench = new Bench(1)
    bench.cluster.before = name => {
      if (name === 'InitProducerId') throw new TwinlogError('TWINLOG_UNAUTHORIZED', 'no')
    }
    await expect(bench.fence(0)).rejects.toThrow('no')
    bench.cluster.before = () => undefined
    await expect(bench.fence(0)).resolves.toMatchObject({ producerId: LINK_ID })
  })
})
