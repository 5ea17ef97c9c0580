import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Mirror, OffsetTranslator } from '../../src/index.js'
import { type KafkaCluster, startKafka } from '../support/kafka.js'
import { type Oracle, type ResumeOffsets, startOracle } from '../support/oracle.js'

describe('translation, checked by an independent oracle for every source offset', () => {
  let east: KafkaCluster
  let west: KafkaCluster
  let oracle: Oracle
  let mirror: Mirror
  const topic = 'payments'
  const expected: ResumeOffsets[] = []

  beforeAll(async () => {
    ;[east, west, oracle] = await Promise.all([
      startKafka({ name: 'east' }),
      startKafka({ name: 'west' }),
      startOracle()
    ])
    await oracle.createTopic({ cluster: east.bootstrap, topic, partitions: 2 })
    mirror = new Mirror({ source: east.config('east'), target: west.config('west'), topics: topic, syncGroups: false })
    await mirror.start()
    // Transactions of 7 records, every third aborted, and in between plain records written one a batch.
    const transactions = oracle.produce({
      cluster: east.bootstrap,
      topic,
      count: 14_000,
      recordsPerTransaction: 7,
      abortEvery: 3,
      mixed: true,
      seed: 1
    })
    const plain = oracle.produce({
      cluster: east.bootstrap,
      topic,
      count: 6_000,
      onePerBatch: true,
      seed: 2,
      compression: 'lz4'
    })
    await Promise.all([transactions.done, plain.done])
    await mirror.caughtUp({ timeoutMs: 60_000 })
    for (const partition of [0, 1]) {
      expected.push(
        await oracle.resumeOffsets({ source: east.bootstrap, target: west.bootstrap, sourceTopic: topic, partition })
      )
    }
  })

  afterAll(async () => {
    await mirror?.stop()
    await Promise.all([oracle?.close(), east?.stop(), west?.stop()])
  })

  it('the copy equals the source', async () => {
    const comparison = await oracle.compare({ source: east.bootstrap, target: west.bootstrap, sourceTopic: topic })
    expect(comparison).toMatchObject({ equal: true, missing: 0, repeated: 0, outOfOrder: 0, altered: 0, extra: 0 })
    expect(comparison.sourceCount).toBeGreaterThan(10_000)
  })

  it('every offset of the lanes is exact: records, inside gaps, behind trailing markers, at the end', async () => {
    await assertEveryOffset()
  })

  it('single look-ups answer the same', async () => {
    const translator = new OffsetTranslator({ source: 'east', target: west.config('west') })
    await translator.connect()
    const answers = expected[0] as ResumeOffsets
    for (let offset = answers.start; offset <= answers.end; offset += 997n) {
      expect(await translator.translate({ topic, partition: 0, offset })).toEqual({
        kind: 'exact',
        topic,
        partition: 0,
        offset: answers.at(offset)
      })
    }
    const beyond = await translator.translate({ topic, partition: 0, offset: answers.end + 5n })
    expect(beyond).toEqual({
      kind: 'beyond-mirrored',
      topic,
      partition: 0,
      offset: answers.at(answers.end),
      missing: { from: answers.end, to: answers.end + 5n }
    })
    expect(await translator.translate({ topic, partition: 9, offset: 0n })).toEqual({
      kind: 'unknown',
      reason: 'partition'
    })
    expect(await translator.translate({ topic: 'nowhere', partition: 0, offset: 0n })).toEqual({
      kind: 'unknown',
      reason: 'topic'
    })
    await translator.disconnect()
  })

  it('every offset again with the source switched off', async () => {
    await mirror.stop()
    await east.brokers[0]?.kill()
    await assertEveryOffset()
  })

  async function assertEveryOffset(): Promise<void> {
    const translator = new OffsetTranslator({ source: 'east', target: west.config('west') })
    await translator.connect()
    try {
      const snapshot = await translator.snapshot()
      for (const partition of [0, 1]) {
        const answers = expected[partition] as ResumeOffsets
        const wrong: string[] = []
        for (let offset = answers.start; offset <= answers.end; offset++) {
          const answer = snapshot.translate({ topic, partition, offset })
          const got = answer.kind === 'exact' ? answer.offset : answer.kind
          if (got !== answers.at(offset)) wrong.push(`${offset}: ${got} instead of ${answers.at(offset)}`)
        }
        expect(wrong.slice(0, 10)).toEqual([])
        expect(Number(answers.end - answers.start)).toBeGreaterThan(9_000)
      }
    } finally {
      await translator.disconnect()
    }
  }
})
