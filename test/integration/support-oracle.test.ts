import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Kafka } from 'kafkajs'
import { type KafkaCluster, startKafka } from '../support/kafka.js'
import { type Oracle, startOracle } from '../support/oracle.js'

let cluster: KafkaCluster
let oracle: Oracle

beforeAll(async () => {
  ;[cluster, oracle] = await Promise.all([startKafka({ name: 'east' }), startOracle()])
})

afterAll(async () => {
  await oracle.close()
  await cluster.stop()
})

interface Plain {
  key?: string | null
  value: string | null
  timestamp?: string
  headers?: Record<string, string>
}

let topics = 0

async function topicOf(records: Plain[]): Promise<string> {
  const topic = `t${++topics}`
  await oracle.createTopic({ cluster: cluster.bootstrap, topic })
  const producer = new Kafka(cluster.config()).producer()
  await producer.connect()
  await producer.send({ topic, messages: records.map(record => ({ timestamp: '1000', ...record })) })
  await producer.disconnect()
  return topic
}

async function compared(source: Plain[], target: Plain[]) {
  const [sourceTopic, targetTopic] = [await topicOf(source), await topicOf(target)]
  return oracle.compare({ source: cluster.bootstrap, target: cluster.bootstrap, sourceTopic, targetTopic })
}

const ten: Plain[] = Array.from({ length: 10 }, (_, i) => ({ key: `k${i}`, value: `v${i}` }))
const changed = (index: number, record: Plain): Plain[] => ten.map((each, i) => (i === index ? record : each))

describe('the oracle compares', () => {
  it('equal topics as equal', async () => {
    expect(await compared(ten, ten)).toMatchObject({ equal: true, sourceCount: 10, targetCount: 10 })
  })

  it('and finds a dropped record', async () => {
    const result = await compared(ten, ten.toSpliced(4, 1))
    expect(result).toMatchObject({ equal: false, missing: 1, extra: 0, repeated: 0, outOfOrder: 0, altered: 0 })
    expect(result.partitions[0]?.differences).toMatchObject([{ kind: 'missing', sourceOffset: 4n }])
    expect(await compared(ten, ten.slice(0, 9))).toMatchObject({ equal: false, missing: 1 })
  })

  it('and finds a doubled record', async () => {
    const result = await compared(ten, ten.toSpliced(6, 0, ten[3] as Plain))
    expect(result).toMatchObject({ equal: false, missing: 0, extra: 0, repeated: 1, outOfOrder: 0, altered: 0 })
    expect(result.partitions[0]?.differences).toMatchObject([{ kind: 'repeated', targetOffset: 6n }])
  })

  it('and finds two swapped records', async () => {
    const swapped = ten.toSpliced(4, 2, ten[5] as Plain, ten[4] as Plain)
    expect(await compared(ten, swapped)).toMatchObject({
      equal: false,
      missing: 0,
      repeated: 0,
      outOfOrder: 1,
      altered: 0
    })
  })

  it('and finds an extra record', async () => {
    const result = await compared(ten, [...ten, { key: 'x', value: 'foreign' }])
    expect(result).toMatchObject({ equal: false, missing: 0, extra: 1, repeated: 0, outOfOrder: 0, altered: 0 })
  })

  it.each<[string, Plain]>([
    ['value', { key: 'k4', value: 'V4' }],
    ['key', { key: 'K4', value: 'v4' }],
    ['timestamp', { key: 'k4', value: 'v4', timestamp: '1001' }],
    ['headers', { key: 'k4', value: 'v4', headers: { a: '' } }]
  ])('and finds a record with another %s', async (what, record) => {
    const result = await compared(ten, changed(4, record))
    expect(result).toMatchObject({ equal: false, missing: 0, extra: 0, altered: 1, outOfOrder: 0 })
    expect(result.partitions[0]?.differences).toMatchObject([{ kind: 'altered', sourceOffset: 4n, targetOffset: 4n }])
    expect(result.partitions[0]?.differences[0]?.detail).toContain(what)
  })

  it('null and empty as different', async () => {
    expect(await compared([{ key: 'a', value: null }], [{ key: 'a', value: '' }])).toMatchObject({ altered: 1 })
    expect(await compared([{ key: null, value: 'a' }], [{ key: '', value: 'a' }])).toMatchObject({ altered: 1 })
  })

  it('a topic that does not exist as an error', async () => {
    const here = cluster.bootstrap
    await expect(oracle.compare({ source: here, target: here, sourceTopic: 'nowhere' })).rejects.toThrow(/nowhere/)
  }, 40_000)
})

describe('the oracle produces', () => {
  it('the same records for the same seed, whatever the codec and the batches', async () => {
    const shared = { cluster: cluster.bootstrap, count: 500, seed: 7, mixed: true, timestampFrom: 1_000_000 }
    const variants = [
      {},
      { compression: 'gzip' },
      { compression: 'snappy' },
      { compression: 'lz4' },
      { compression: 'zstd' }
    ] as const
    for (const [i, variant] of [...variants, { onePerBatch: true }].entries()) {
      await oracle.createTopic({ cluster: cluster.bootstrap, topic: `seed${i}`, partitions: 2 })
      expect(await oracle.produce({ ...shared, ...variant, topic: `seed${i}` }).done).toMatchObject({
        acknowledged: 500,
        failed: 0
      })
      if (i === 0) continue
      const here = cluster.bootstrap
      const result = await oracle.compare({ source: here, target: here, sourceTopic: 'seed0', targetTopic: `seed${i}` })
      expect(result).toMatchObject({ equal: true, sourceCount: 500 })
    }
    const records = await oracle.read({ cluster: cluster.bootstrap, topic: 'seed0', partition: 0 })
    expect(records).toHaveLength(250)
    expect(records.some(({ value }) => value === null)).toBe(true)
    expect(records.some(({ headers }) => headers.length === 3 && headers[1]?.value === null)).toBe(true)
  })

  it('at a bounded rate, in the background, until stopped', async () => {
    await oracle.createTopic({ cluster: cluster.bootstrap, topic: 'rate' })
    const job = oracle.produce({ cluster: cluster.bootstrap, topic: 'rate', ratePerSecond: 500 })
    await new Promise(resolve => setTimeout(resolve, 1000))
    expect(await job.acknowledged()).toBeGreaterThan(0)
    const { acknowledged, seconds } = await job.stop()
    expect(acknowledged / seconds).toBeLessThan(550)
    expect(await oracle.count({ cluster: cluster.bootstrap, topic: 'rate' })).toMatchObject({ total: acknowledged })
  })
})

describe('the oracle knows where to resume', () => {
  it('for every source offset: on records, inside gaps, behind trailing markers and at the end', async () => {
    const here = cluster.bootstrap
    await oracle.createTopic({ cluster: here, topic: 'gaps' })
    // 10 transactions of 10 records and a marker, every 5th aborted: the copy has 80 records without a gap.
    const transactional = { count: 100, recordsPerTransaction: 10, abortEvery: 5, timestampFrom: 5000 }
    expect(await oracle.produce({ cluster: here, topic: 'gaps', ...transactional }).done).toMatchObject({
      committed: 8,
      aborted: 2
    })
    const committed = await oracle.read({ cluster: here, topic: 'gaps', partition: 0 })
    expect(committed).toHaveLength(80)
    const copy = await topicOf(
      committed.map(({ key, value, timestamp }) => ({
        key: String(key),
        value: String(value),
        timestamp: String(timestamp)
      }))
    )
    const resume = await oracle.resumeOffsets({
      source: here,
      target: here,
      sourceTopic: 'gaps',
      targetTopic: copy,
      partition: 0
    })
    expect(resume).toMatchObject({ start: 0n, end: 110n, records: 80 })
    expect(resume.targets).toHaveLength(111)
    expect([0n, 9n, 10n, 11n].map(resume.at)).toEqual([0n, 9n, 10n, 10n])
    // 44..53 aborted, 54 its marker, 55 the first of the next.
    expect([43n, 44n, 50n, 54n, 55n].map(resume.at)).toEqual([40n, 40n, 40n, 40n, 40n])
    // The last transaction was aborted, so everything from the marker before it on is the end.
    expect([97n, 98n, 99n, 109n, 110n].map(resume.at)).toEqual([79n, 80n, 80n, 80n, 80n])
    expect(() => resume.at(111n)).toThrow(RangeError)

    const uncommitted = await oracle.count({ cluster: here, topic: 'gaps', isolation: 'read_uncommitted' })
    expect(uncommitted.total).toBe(100)
    const shorter = await topicOf([{ value: 'x' }])
    await expect(
      oracle.resumeOffsets({ source: here, target: here, sourceTopic: 'gaps', targetTopic: shorter, partition: 0 })
    ).rejects.toThrow('not the same')
  })

  it('and a Java group commits behind a trailing marker', async () => {
    const here = cluster.bootstrap
    await oracle.createTopic({ cluster: here, topic: 'marker' })
    await oracle.produce({ cluster: here, topic: 'marker', count: 3, recordsPerTransaction: 3 }).done
    for (const protocol of ['classic', 'consumer'] as const) {
      const group = `java-${protocol}`
      expect(await oracle.consumeGroup({ cluster: here, group, topic: 'marker', protocol })).toMatchObject({
        records: 3
      })
      expect(await oracle.committed({ cluster: here, group })).toMatchObject([
        { topic: 'marker', partition: 0, offset: 4n }
      ])
    }
    await oracle.consumeGroup({ cluster: here, group: 'two', topic: 'marker', count: 2 })
    expect(await oracle.committed({ cluster: here, group: 'two' })).toMatchObject([{ offset: 2n }])
  })
})
