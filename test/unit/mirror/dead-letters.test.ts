import { describe, expect, it } from 'vitest'
import { TwinlogError } from '../../../src/errors.js'
import { Reader } from '../../../src/kafka/protocol/reader.js'
import { Writer } from '../../../src/kafka/protocol/writer.js'
import type { ApiRequest } from '../../../src/kafka/types.js'
import type { Logger } from '../../../src/logger.js'
import { type DeadLetter, DeadLetters } from '../../../src/mirror/dead-letters.js'
import { viewOf } from '../../../src/records/batch.js'
import { decodeRecords } from '../../../src/records/decode.js'
import { FakeCluster } from '../lineage/fake-cluster.js'

const TOPIC = 'failed-orders'
const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }

interface Created {
  name: string
  partitions: number
  replicationFactor: number
  configs: Record<string, string>
}

/** A target that also creates topics, and can refuse configs and long records. */
class Target extends FakeCluster {
  readonly created: Created[] = []
  refuses: string | undefined
  maxMessageBytes = Number.POSITIVE_INFINITY

  override async handle<T>(request: ApiRequest<T>): Promise<T> {
    const reader = encoded(request)
    if (request.apiName === 'CreateTopics') {
      const [topic] = reader.compactArray(() => readTopic(reader)) as [Created]
      this.created.push(topic)
      const errorCode = this.refuses !== undefined && this.refuses in topic.configs ? 40 : 0
      if (errorCode === 0) this.createTopic(topic.name, topic.partitions)
      return { topics: [{ name: topic.name, topicId: '', errorCode, errorMessage: null }] } as T
    }
    if (request.apiName === 'Produce') {
      reader.compactNullableString()
      reader.int16()
      reader.int32()
      const results = reader.compactArray(() => {
        const topic = reader.compactString()
        const partitions = reader.compactArray(() => {
          const partition = reader.int32()
          const tooLarge = reader.compactBytes().length > this.maxMessageBytes
          reader.tags()
          return { topic, topicId: '', partition, errorCode: tooLarge ? 10 : this.topics.has(topic) ? 0 : 3 }
        })
        reader.tags()
        return partitions
      })
      const failed = results.flat().filter(result => result.errorCode !== 0)
      if (failed.length > 0) return { throttleMs: 0, partitions: failed } as T
    }
    return super.handle(request)
  }
}

function encoded(request: ApiRequest<unknown>): Reader {
  const writer = new Writer()
  request.encode(writer, request.apiName === 'Produce' ? 12 : request.maxVersion)
  return new Reader(writer.toBuffer())
}

function readTopic(reader: Reader): Created {
  const topic = { name: reader.compactString(), partitions: reader.int32(), replicationFactor: reader.int16() }
  reader.compactArray(() => undefined)
  const configs = Object.fromEntries(
    reader.compactArray(() => {
      const entry = [reader.compactString(), reader.compactString()] as const
      reader.tags()
      return entry
    })
  )
  reader.tags()
  return { ...topic, configs }
}

function lettersTo(target: FakeCluster, logger: Logger = silent): DeadLetters {
  return new DeadLetters({ target: target.client, link: 'east-west', sourceAlias: 'east', topic: TOPIC, logger })
}

const error = new TwinlogError('TWINLOG_TRANSFORM_FAILED', 'the transform failed with Error at offset 7', {
  cause: new Error('secret')
})

const letter = (more: Partial<DeadLetter> = {}): DeadLetter => ({
  topic: 'orders',
  partition: 3,
  offset: 7n,
  record: {
    key: Buffer.from([0, 255]),
    value: Buffer.alloc(0),
    headers: [
      [Buffer.from([0xff]), null],
      ['twinlog.link', Buffer.from('an older one')],
      [Buffer.from('a'), Buffer.from([1])]
    ],
    timestamp: -1n
  },
  error,
  ...more
})

function written(target: FakeCluster, partition = 0) {
  return target.partition(TOPIC, partition).batches.flatMap(bytes =>
    decodeRecords(viewOf(bytes)).map(({ key, value, headers, timestamp }) => ({
      key: key?.toString('latin1') ?? null,
      value: value?.toString('latin1') ?? null,
      headers: headers.map(([name, content]) => [name.toString('latin1'), content?.toString('latin1') ?? null]),
      timestamp
    }))
  )
}

const CONTEXT = [
  ['twinlog.link', 'east-west'],
  ['twinlog.source.cluster', 'east'],
  ['twinlog.source.topic', 'orders'],
  ['twinlog.source.partition', '3'],
  ['twinlog.source.offset', '7'],
  ['twinlog.source.timestamp', '-1'],
  ['twinlog.error.code', 'TWINLOG_TRANSFORM_FAILED'],
  ['twinlog.error.message', 'the transform failed with Error at offset 7']
]
const ORIGINAL = [
  ['\u00ff', null],
  ['twinlog.link', 'an older one'],
  ['a', '\u0001']
]

describe('DeadLetters', () => {
  it('writes the record as it was, and where it comes from and why behind its headers', async () => {
    const target = new Target('west')
    const before = BigInt(Date.now())
    await lettersTo(target).write(letter())
    const [found, ...more] = written(target)
    expect(more).toEqual([])
    expect(found).toMatchObject({ key: '\u0000\u00ff', value: '', headers: [...ORIGINAL, ...CONTEXT] })
    expect((found?.timestamp as bigint) >= before).toBe(true)
  })

  it('creates the topic once, so that it takes large records of any age', async () => {
    const target = new Target('west')
    const letters = lettersTo(target)
    await Promise.all([letters.write(letter()), letters.write(letter({ offset: 8n }))])
    await letters.write(letter({ offset: 9n }))
    expect(written(target).length).toBe(3)
    expect(target.created).toEqual([
      {
        name: TOPIC,
        partitions: 1,
        replicationFactor: 1,
        configs: {
          'min.insync.replicas': '1',
          'cleanup.policy': 'delete',
          'max.message.bytes': '10485760',
          'message.timestamp.type': 'CreateTime',
          'message.timestamp.before.max.ms': '9223372036854775807',
          'message.timestamp.after.max.ms': '9223372036854775807'
        }
      }
    ])
  })

  it('does without configs that the broker does not know', async () => {
    const target = new Target('west')
    target.refuses = 'message.timestamp.after.max.ms'
    await lettersTo(target).write(letter())
    expect(written(target).length).toBe(1)
    expect(Object.keys(target.created[1]?.configs ?? {})).toEqual([
      'min.insync.replicas',
      'cleanup.policy',
      'max.message.bytes',
      'message.timestamp.type'
    ])
  })

  it('spreads over the partitions of a topic that is there already', async () => {
    const target = new Target('west')
    target.createTopic(TOPIC, 2)
    await lettersTo(target).write(letter())
    await lettersTo(target).write(letter({ partition: 4 }))
    expect(target.created).toEqual([])
    expect([written(target, 0).length, written(target, 1).length]).toEqual([1, 1])
  })

  it('creates the topic again when it was deleted', async () => {
    const target = new Target('west')
    const letters = lettersTo(target)
    await letters.write(letter())
    target.topics.delete(TOPIC)
    await letters.write(letter({ offset: 8n }))
    expect(written(target).length).toBe(1)
  })

  it('tries again until it is acknowledged: at least once', async () => {
    const target = new Target('west')
    target.createTopic(TOPIC)
    let lost = 2
    target.after = name => {
      if (name === 'Produce' && lost-- > 0)
        throw new TwinlogError('TWINLOG_UNREACHABLE', 'cut off', { retriable: true })
    }
    await lettersTo(target).write(letter())
    expect(written(target).length).toBe(3)
  })

  it('says so when it is refused, or aborted while it tries', async () => {
    const target = new Target('west')
    target.createTopic(TOPIC)
    const refused = new TwinlogError('TWINLOG_UNAUTHORIZED', 'may not write')
    target.before = name => {
      if (name === 'Produce') throw refused
    }
    await expect(lettersTo(target).write(letter())).rejects.toBe(refused)

    const abort = new AbortController()
    target.before = name => {
      if (name !== 'Produce') return
      setImmediate(() => abort.abort())
      throw new TwinlogError('TWINLOG_UNREACHABLE', 'cut off', { retriable: true })
    }
    const aborted = lettersTo(target).write(letter(), { signal: abort.signal })
    await expect(aborted).rejects.toMatchObject({ code: 'TWINLOG_ABORTED' })
  })

  it('keeps the bytes of a damaged batch', async () => {
    const target = new Target('west')
    await lettersTo(target).write(letter({ record: undefined, raw: Buffer.from('damaged') }))
    expect(written(target)).toMatchObject([
      {
        key: null,
        value: 'damaged',
        headers: [
          ...CONTEXT.filter(([name]) => name !== 'twinlog.source.timestamp'),
          ['twinlog.value.format', 'record-batch']
        ]
      }
    ])
  })

  it('notes a record that is too large here as well without its value, then without all of its content', async () => {
    const warnings: object[] = []
    const logger = { ...silent, warn: (fields: object) => void warnings.push(fields) }
    const target = new Target('west')
    target.maxMessageBytes = 1500
    const large = letter({ record: { key: Buffer.from('k'), value: Buffer.alloc(2000), headers: [], timestamp: -1n } })
    await lettersTo(target, logger).write(large)
    const key = Buffer.alloc(2000)
    await lettersTo(target, logger).write(letter({ record: { key, value: null, headers: [], timestamp: -1n } }))
    expect(written(target)).toMatchObject([
      { key: 'k', value: null, headers: [...CONTEXT, ['twinlog.value.bytes', '2000']] },
      { key: null, value: null, headers: [...CONTEXT, ['twinlog.key.bytes', '2000']] }
    ])
    expect(warnings[0]).toMatchObject({ sourceTopic: 'orders', sourcePartition: 3, sourceOffset: '7' })
    target.maxMessageBytes = 10
    await expect(lettersTo(target).write(letter())).rejects.toMatchObject({ code: 'TWINLOG_RECORD_TOO_LARGE' })
  })
})
