import { describe, expect, it } from 'vitest'
import type { ClusterClient } from '../../../src/kafka/cluster.js'
import { Reader } from '../../../src/kafka/protocol/reader.js'
import { Writer } from '../../../src/kafka/protocol/writer.js'
import type { ApiRequest } from '../../../src/kafka/types.js'
import { assertStart, firstOffset, type StartOption } from '../../../src/mirror/start-position.js'

/** A log with one record a millisecond: offset 10 at time 1010, up to the end. */
class Log {
  start = 10n
  lastStable = 25n
  end = 30n
  topicId = 'id'
  errorCode = 0
  readonly questions: bigint[] = []
  beforeAnswer: () => void = () => undefined

  get client(): ClusterClient {
    const client = {
      alias: 'east',
      leaderOf: () => ({ nodeId: 0, leaderEpoch: 0 }),
      metadata: async () => ({ topics: new Map([['orders', { topicId: this.topicId, errorCode: this.errorCode }]]) }),
      send: async (_route: unknown, request: ApiRequest<unknown>) => this.#answer(request)
    }
    return client as unknown as ClusterClient
  }

  #answer(request: ApiRequest<unknown>) {
    const writer = new Writer()
    request.encode(writer, 7)
    const reader = new Reader(writer.toBuffer())
    reader.int32()
    const committed = reader.int8() === 1
    const timestamp = reader.compactArray(() => {
      reader.compactString()
      const [first] = reader.compactArray(() => {
        reader.int32()
        reader.int32()
        const asked = reader.int64()
        reader.tags()
        return asked
      })
      reader.tags()
      return first as bigint
    })[0] as bigint
    this.questions.push(timestamp)
    this.beforeAnswer()
    const end = committed ? this.lastStable : this.end
    const found = timestamp - 1000n < this.start ? this.start : timestamp - 1000n
    const offset = timestamp === -2n ? this.start : timestamp === -1n ? end : found < end ? found : -1n
    return { partitions: [{ topic: 'orders', partition: 0, errorCode: 0, timestamp, offset, leaderEpoch: 0 }] }
  }
}

const lane = { topic: 'orders', topicId: 'id', partition: 0 }
const first = (log: Log, start: StartOption, o: { existed?: boolean; uncommitted?: boolean } = {}) =>
  firstOffset({
    source: log.client,
    lane,
    start,
    existedAtCreation: o.existed ?? true,
    isolation: o.uncommitted === true ? 'read_uncommitted' : 'read_committed'
  })

describe('firstOffset', () => {
  it('earliest is the log start', async () => {
    expect(await first(new Log(), 'earliest')).toBe(10n)
  })

  it('latest comes before the records of open transactions, unless those are read too', async () => {
    expect(await first(new Log(), 'latest')).toBe(25n)
    expect(await first(new Log(), 'latest', { uncommitted: true })).toBe(30n)
  })

  it('a time is the first record as young, or the end where there is none', async () => {
    expect(await first(new Log(), { timestamp: 1017 })).toBe(17n)
    expect(await first(new Log(), { timestamp: 0 })).toBe(10n)
    expect(await first(new Log(), { timestamp: 9999 })).toBe(25n)
  })

  it('a record that arrives while a time is being looked up is not left out', async () => {
    const log = new Log()
    log.beforeAnswer = () => {
      if (log.questions.length === 2) log.lastStable = log.end = 31n
    }
    expect(await first(log, { timestamp: 9999 })).toBe(25n)
  })

  it('offsets are taken as they are inside the log, bounds included', async () => {
    for (const offset of [10n, 17n, 25n, 28n, 30n])
      expect(await first(new Log(), { offsets: { orders: { 0: offset } } })).toBe(offset)
  })

  it('offsets outside of the log are refused with topic, partition and bounds', async () => {
    for (const offset of [9n, 31n]) {
      await expect(first(new Log(), { offsets: { orders: { 0: offset } } })).rejects.toMatchObject({
        code: 'TWINLOG_INVALID_OPTION',
        retriable: false,
        topic: 'orders',
        partition: 0,
        message: expect.stringContaining(
          `orders-0 cannot begin at offset ${offset}: the log on east reaches from 10 to 30`
        )
      })
    }
  })

  it('partitions and topics that offsets do not name begin at their earliest record, whatever they are called', async () => {
    expect(await first(new Log(), { offsets: { orders: { 1: 20n } } })).toBe(10n)
    expect(await first(new Log(), { offsets: { constructor: { 0: 20n } } })).toBe(10n)
    expect(await first(new Log(), { offsets: {} })).toBe(10n)
  })

  it('what did not exist when the link was created is copied from its beginning', async () => {
    for (const start of ['latest', { timestamp: 1020 }, { offsets: { orders: { 0: 99n } } }] as StartOption[])
      expect(await first(new Log(), start, { existed: false })).toBe(10n)
  })

  it('an answer about a topic that took the name is not used', async () => {
    const log = new Log()
    log.topicId = 'another'
    await expect(first(log, 'latest')).rejects.toMatchObject({ code: 'TWINLOG_TOPIC_RECREATED', retriable: false })
    log.errorCode = 3
    await expect(first(log, 'latest')).rejects.toMatchObject({ code: 'TWINLOG_UNKNOWN_TOPIC' })
  })
})

describe('assertStart', () => {
  it('takes every form', () => {
    const forms = ['earliest', 'latest', { timestamp: 0 }, { timestamp: 1_700_000_000_000 }, { offsets: {} }]
    for (const form of [...forms, { offsets: { 'a.b': { 0: 0n, 12: 5n } } }, { timestamp: 1, offsets: undefined }])
      expect(() => assertStart('mirror.start', form)).not.toThrow()
  })

  it.each([
    ['newest', 'mirror.start'],
    [null, 'mirror.start'],
    [5, 'mirror.start'],
    [{}, 'mirror.start'],
    [{ timestamp: 1, offsets: {} }, 'mirror.start'],
    [{ time: 1 }, 'mirror.start.time'],
    [{ timestamp: -1 }, 'mirror.start.timestamp'],
    [{ timestamp: 1.5 }, 'mirror.start.timestamp'],
    [{ timestamp: '1' }, 'mirror.start.timestamp'],
    [{ timestamp: 2 ** 60 }, 'mirror.start.timestamp'],
    [{ offsets: [] }, 'mirror.start.offsets'],
    [{ offsets: { 'a b': {} } }, 'mirror.start.offsets'],
    [{ offsets: { a: 5n } }, 'mirror.start.offsets.a'],
    [{ offsets: { a: { 0: 5 } } }, 'mirror.start.offsets.a.0'],
    [{ offsets: { a: { 0: -1n } } }, 'mirror.start.offsets.a.0'],
    [{ offsets: { a: { '01': 1n } } }, 'mirror.start.offsets.a.01'],
    [{ offsets: { a: { x: 1n } } }, 'mirror.start.offsets.a.x']
  ])('refuses %o', (value, path) => {
    expect(() => assertStart('mirror.start', value)).toThrowError(
      expect.objectContaining({ code: 'TWINLOG_INVALID_OPTION', path })
    )
  })
})
