import type { LaneStatus } from '../../../src/mirror/lane-status.js'
import type { WriteStep, WrittenRecord } from '../../support/oracle.js'
import { insist, type Phase, type Shape, type Stage } from '../shape.js'

function texts(prefix: string, count = 5): WrittenRecord[] {
  return Array.from({ length: count }, (_, index) => ({ key: `k${index}`, value: `${prefix}-${index}` }))
}

/** Commits, aborts, two producers at once, plain records between and inside, empty tails, every partition in its own way. */
function interleaved(stage: Stage, phase: Phase): WriteStep[] {
  const a = stage.id('a')
  const b = stage.id('b')
  const send = (producer: string | undefined, prefix: string, partition = 0): WriteStep => ({
    send: texts(`${phase}-${prefix}`),
    partition,
    ...(producer !== undefined && { producer })
  })
  return [
    send(undefined, 'plain-first'),
    { begin: a },
    send(a, 'a-committed'),
    send(undefined, 'plain-inside'),
    send(a, 'a-committed-too', 1),
    { commit: a },
    { begin: a },
    send(a, 'a-aborted'),
    { begin: b },
    send(b, 'b-committed'),
    send(a, 'a-aborted-more'),
    send(undefined, 'plain-inside-both'),
    { commit: b },
    send(a, 'a-aborted-last', 1),
    { abort: a },
    { begin: b },
    send(b, 'b-aborted'),
    { begin: a },
    send(a, 'a-inside-aborted'),
    send(b, 'b-aborted-elsewhere', 2),
    { abort: b },
    send(a, 'a-after-the-other'),
    { commit: a },
    send(undefined, 'plain-last'),
    { begin: b },
    send(b, 'b-trailing-abort', 1),
    { abort: b }
  ]
}

/** The lane waits, and says for whom. */
async function expectWaiting(stage: Stage, lanes: readonly LaneStatus[]): Promise<void> {
  const open = (await stage.oracle.producers({ ...stage.where, partition: 0 }))
    .filter(({ openSince }) => openSince !== undefined)
    .sort((x, y) => Number((x.openSince ?? 0n) - (y.openSince ?? 0n)))
  const [oldest] = open
  insist(oldest !== undefined, 'no transaction is open')
  const lane = lanes.find(({ partition }) => partition === 0)
  if (lane?.state !== 'waiting') throw new Error(`the lane is ${lane?.state}, not waiting, behind an open transaction`)
  if (lane.why?.includes(String(oldest?.producerId)) !== true)
    throw new Error(`the lane waits for producer ${oldest?.producerId}, but says: ${lane.why}`)
}

export const TRANSACTION_SHAPES: Shape[] = [
  {
    name: 'transactions',
    partitions: 3,
    write: async (stage, phase) => {
      await stage.write(interleaved(stage, phase))
    },
    verifySetup: stage => {
      const ours = stage.batches().filter(({ transactional, control }) => transactional && !control)
      const epochs = new Map<bigint, Set<number>>()
      for (const { producerId, producerEpoch } of ours)
        epochs.set(producerId, (epochs.get(producerId) ?? new Set()).add(producerEpoch))
      // KIP-890: each transaction has an epoch of its own.
      insist(
        [...epochs.values()].some(({ size }) => size >= 3),
        'these are not transactions of the second version'
      )
    }
  },
  {
    name: 'transactions-load',
    partitions: 2,
    write: async (stage, phase) => {
      const load = { count: 1_200, seed: phase, mixed: true, recordsPerTransaction: 30, abortEvery: 3 }
      await stage.produce({ ...load, transactionalId: stage.id('load') })
      await stage.produce({ count: 100, seed: phase + 10, mixed: true })
    }
  },
  {
    name: 'transactions-v1',
    compressions: ['none', 'gzip'],
    write: async (stage, phase) => {
      await stage.kafkajs(stage.id('old'), async producer => {
        for (const [index, end] of (['commit', 'abort', 'commit', 'abort'] as const).entries()) {
          const transaction = await producer.transaction()
          await transaction.send({
            topic: stage.topic,
            compression: stage.compression === 'gzip' ? 1 : 0,
            messages: Array.from({ length: 7 }, (_, i) => ({ key: `k${i}`, value: `${phase}-${index}-${i}` }))
          })
          await transaction[end]()
        }
      })
      await stage.write([{ send: texts(`${phase}-plain`) }])
    },
    verifySetup: stage => {
      const ours = stage.batches().filter(({ transactional, control }) => transactional && !control)
      const phases = new Set(ours.map(({ producerId, producerEpoch }) => `${producerId}:${producerEpoch}`))
      insist(ours.length > phases.size, 'each transaction has an epoch of its own')
    }
  },
  {
    name: 'transactions-open',
    partitions: 2,
    write: async (stage, phase) => {
      const committed = stage.id('later-committed')
      const aborted = stage.id('later-aborted')
      await stage.write([
        { send: texts(`${phase}-before`) },
        // Opened in phase 1, ended while no Mirror of `resumed` runs.
        ...(phase === 2 ? [{ commit: committed }, { abort: aborted }] : []),
        { begin: committed },
        { send: texts(`${phase}-open`), producer: committed },
        { begin: aborted },
        { send: texts(`${phase}-open-too`), producer: aborted },
        { send: texts(`${phase}-behind`) },
        { send: texts(`${phase}-other-partition`), partition: 1 }
      ])
    },
    resting: expectWaiting,
    finish: async stage => {
      await stage.write([{ commit: stage.id('later-committed') }, { abort: stage.id('later-aborted') }])
    }
  },
  {
    name: 'transactions-hanging',
    write: async (stage, phase) => {
      const hanging = stage.id('hanging')
      if (phase === 1)
        await stage.write([
          { send: texts('before') },
          { begin: hanging },
          { send: texts('hanging'), producer: hanging }
        ])
      await stage.write([{ send: texts(`${phase}-behind`) }])
    },
    resting: expectWaiting,
    finish: async stage => {
      const { aborted } = await stage.oracle.abortTransaction({ ...stage.where, partition: 0 })
      insist(aborted === 1, `${aborted} transactions were hanging`)
    }
  },
  {
    name: 'uncommitted',
    isolation: 'read_uncommitted',
    partitions: 3,
    write: async (stage, phase) => {
      const open = stage.id('open')
      if (phase === 2) await stage.write([{ abort: open }])
      await stage.write([
        ...interleaved(stage, phase),
        { begin: open },
        { send: texts(`${phase}-open`), producer: open },
        { send: texts(`${phase}-behind`) }
      ])
    },
    resting: (_stage, lanes) => {
      for (const lane of lanes)
        if (lane.state === 'waiting') throw new Error(`a lane of read_uncommitted waits: ${lane.why}`)
    },
    finish: async stage => {
      await stage.write([{ abort: stage.id('open') }])
    }
  },
  {
    name: 'gap-at-the-start',
    partitions: 3,
    write: async (stage, phase) => {
      const a = stage.id('a')
      const aborts = (partition: number): WriteStep[] => [
        { begin: a },
        { send: texts(`${phase}-aborted`), producer: a, partition },
        { abort: a }
      ]
      // Partition 0: the first records are aborted ones. 1: nothing else. 2: markers only at the end.
      await stage.write([
        ...aborts(0),
        { send: texts(`${phase}-plain`) },
        ...aborts(1),
        { begin: a },
        { send: texts(`${phase}-committed`), producer: a, partition: 2 },
        { commit: a }
      ])
    }
  }
]
