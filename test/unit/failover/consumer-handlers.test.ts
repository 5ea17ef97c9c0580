import type { Batch, EachBatchPayload, EachMessagePayload, KafkaMessage } from 'kafkajs'
import { describe, expect, it } from 'vitest'
import { guardEachBatch, guardEachMessage, HandlerGate } from '../../../src/failover/consumer-handlers.js'
import { type FetchTag, HandledPositions } from '../../../src/failover/handled-positions.js'
import type { ClusterHandle } from '../../../src/failover/participants.js'

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

function setUp() {
  const positions = new HandledPositions('handled')
  positions.assign({ t: [0] }, false)
  const tag: FetchTag = positions.fetching([{ topic: 't', partitions: [{ partition: 0, fetchOffset: 0n }] }])
  const gate = new HandlerGate()
  const cluster = {
    alias: 'west',
    config: { alias: 'west', brokers: [] },
    epoch: 2,
    originOf: (id: string) => ({ '77': 'east' })[id]
  } satisfies ClusterHandle
  const next = () => positions.list()[0]?.offset
  return { positions, gate, next, context: { positions, gate, cluster, tagOf: () => tag } }
}

function message(offset: number, producerId = '-1'): KafkaMessage {
  return {
    offset: String(offset),
    key: null,
    value: Buffer.from('v'),
    batchContext: { producerId }
  } as unknown as KafkaMessage
}

function single(offset: number, producerId?: string): EachMessagePayload {
  return {
    topic: 't',
    partition: 0,
    message: message(offset, producerId),
    heartbeat: async () => undefined,
    pause: () => () => undefined
  }
}

function batch(offsets: number[], lastOffset: number): EachBatchPayload & { resolved: string[] } {
  const resolved: string[] = []
  return {
    batch: {
      topic: 't',
      partition: 0,
      messages: offsets.map(o => message(o)),
      lastOffset: () => String(lastOffset)
    } as unknown as Batch,
    resolved,
    resolveOffset: offset => void resolved.push(offset),
    heartbeat: async () => undefined,
    pause: () => () => undefined,
    commitOffsetsIfNecessary: async () => undefined,
    uncommittedOffsets: () => ({ topics: [] }),
    isRunning: () => true,
    isStale: () => false
  }
}

describe('guardEachMessage', () => {
  it('tells the handler where a message was read and where it was first written', async () => {
    const { context, next } = setUp()
    const seen: string[] = []
    const guarded = guardEachMessage(
      async ({ message }) => void seen.push(`${message.cluster}/${message.origin}`),
      context
    )
    await guarded(single(0))
    await guarded(single(1, '77'))
    await guarded(single(2, '78'))
    expect(seen).toEqual(['west/west', 'west/east', 'west/west'])
    expect(next()).toBe(3n)
  })

  it('passes a handler error on and does not count its record', async () => {
    const { context, gate, next } = setUp()
    const guarded = guardEachMessage(() => Promise.reject(new Error('mine')), context)
    await expect(guarded(single(0))).rejects.toThrow('mine')
    expect(next()).toBe(0n)
    expect(gate.running).toBe(0)
  })

  it('starts nothing while the gate is not open, and nothing that was fetched before a rejoin', async () => {
    const { context, gate, positions } = setUp()
    let calls = 0
    const guarded = guardEachMessage(async () => void calls++, context)
    gate.set('rejoining')
    await expect(guarded(single(0))).rejects.toMatchObject({ code: 'TWINLOG_ABORTED', retriable: true })
    gate.set('open')
    positions.beginRejoin()
    await expect(guarded(single(0))).rejects.toMatchObject({ code: 'TWINLOG_ABORTED' })
    gate.close()
    gate.set('open')
    await expect(guarded(single(0))).rejects.toMatchObject({ code: 'TWINLOG_ABORTED' })
    expect(calls).toBe(0)
  })

  it('waits for a running handler, counts it, and ignores it when it comes after the freeze', async () => {
    const { context, gate, positions, next } = setUp()
    const guarded = guardEachMessage(() => sleep(50) as Promise<void>, context)
    const first = guarded(single(0))
    gate.close()
    expect(await gate.drained(5)).toBe(false)
    expect(await gate.drained(1000)).toBe(true)
    await first
    expect(next()).toBe(1n)
    const other = setUp()
    const late = guardEachMessage(() => sleep(20) as Promise<void>, other.context)(single(0))
    other.positions.freeze()
    await expect(late).rejects.toMatchObject({ code: 'TWINLOG_ABORTED' })
    expect(other.next()).toBe(0n)
    positions.freeze()
  })

  it('lets a heartbeat to a cluster that hangs go when the cluster is left', async () => {
    const { context, gate, next } = setUp()
    const payload = { ...single(0), heartbeat: () => new Promise<void>(() => undefined) }
    const handling = guardEachMessage(async ({ heartbeat }) => heartbeat(), context)(payload)
    await sleep(5)
    gate.close()
    await handling
    expect(next()).toBe(1n)
  })
})

describe('guardEachBatch', () => {
  it('counts the whole batch with its control records when the handler returns', async () => {
    const { context, next } = setUp()
    await guardEachBatch(async () => undefined, true, context)(batch([0, 1, 2], 3))
    expect(next()).toBe(4n)
  })

  it('counts only what the handler resolved when autoresolve is off', async () => {
    const { context, next } = setUp()
    const payload = batch([0, 1, 2], 3)
    await guardEachBatch(async ({ resolveOffset }) => resolveOffset('1'), false, context)(payload)
    expect(next()).toBe(2n)
    expect(payload.resolved).toEqual(['1'])
    await guardEachBatch(async ({ resolveOffset }) => resolveOffset('2'), false, context)(batch([2], 3))
    expect(next()).toBe(4n)
  })

  it('does not count the rest of a batch that the handler left because isRunning() said so', async () => {
    const { context, gate, next } = setUp()
    const handler = guardEachBatch(
      async ({ batch, isRunning, resolveOffset }) => {
        for (const { offset } of batch.messages) {
          if (!isRunning()) break
          resolveOffset(offset)
          if (offset === '1') gate.close()
        }
      },
      true,
      context
    )
    await expect(handler(batch([0, 1, 2], 2))).rejects.toMatchObject({ code: 'TWINLOG_ABORTED', retriable: true })
    expect(next()).toBe(2n)
  })

  it('hands out only what was not handled before', async () => {
    const { context, positions } = setUp()
    positions.handled('t', 0, 2n, context.tagOf())
    const seen: string[] = []
    const guarded = guardEachBatch(
      async ({ batch }) => void seen.push(...batch.messages.map(m => m.offset)),
      true,
      context
    )
    await guarded(batch([0, 1, 2, 3], 3))
    await guarded(batch([0, 1], 1))
    expect(seen).toEqual(['2', '3'])
  })
})
