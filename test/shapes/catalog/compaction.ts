import { COMPACTED, compact } from '../../support/compaction.js'
import type { WrittenRecord } from '../../support/oracle.js'
import { insist, type Phase, type Shape, type Stage } from '../shape.js'

/** Each send is a batch of its own and, by its time stamps, a segment of its own: all but the last can be cleaned. */
class Clock {
  #now = Date.now() - 600_000

  batch(prefix: string, keys: readonly string[], value: string | null = prefix): { send: WrittenRecord[] } {
    this.#now += 1_000
    return {
      send: keys.map((key, index) => ({
        key,
        value: value === null ? null : `${value}-${key}`,
        timestamp: this.#now + index,
        ...(index % 3 === 0 && { headers: [['h', prefix]] as const })
      }))
    }
  }
}

function range(prefix: string, from: number, to: number, step = 1): string[] {
  return Array.from({ length: Math.ceil((to - from) / step) }, (_, index) => `${prefix}${from + index * step}`)
}

/** Batches that lose some records, all records, and batches that go altogether. A producer's last batch stays, empty. */
async function writeHoles(stage: Stage, prefix: string): Promise<void> {
  const clock = new Clock()
  const keys = (from: number, to: number, step?: number) => range(prefix, from, to, step)
  // Each call is a producer of its own.
  await stage.write([clock.batch('a1', keys(0, 10)), clock.batch('a2', keys(10, 20)), clock.batch('a3', keys(20, 30))])
  await stage.write([
    clock.batch('b1', keys(0, 10, 2)),
    clock.batch('b2', keys(10, 20)),
    clock.batch('b3', keys(28, 40))
  ])
  await stage.write([clock.batch('c1', keys(20, 30)), clock.batch('c2', keys(39, 50)), clock.batch('c3', keys(15, 18))])
  await stage.write([
    clock.batch('d1', keys(60, 61)),
    clock.batch('d2', keys(70, 80)),
    clock.batch('d3', keys(60, 70)),
    // The active segment: nothing in it may take away what is before, or the next compaction changes what was compared.
    clock.batch('d4', keys(90, 93))
  ])
}

function verifyHoles(stage: Stage): void {
  const batches = stage.batches()
  const spans = batches.map(batch => ({ ...batch, span: Number(batch.lastOffset - batch.baseOffset) + 1 }))
  insist(
    spans.some(({ count, span }) => count > 0 && count < span),
    'no batch has holes'
  )
  insist(
    spans.some(({ count }) => count === 0),
    'no batch is empty'
  )
  insist(
    batches.some((batch, index) => index > 0 && batch.baseOffset > (batches[index - 1]?.lastOffset ?? -1n) + 1n),
    'no range is without a batch'
  )
}

export const COMPACTION_SHAPES: Shape[] = [
  {
    name: 'compacted',
    configs: COMPACTED,
    write: async (stage, phase) => {
      await writeHoles(stage, `p${phase}-`)
      await compact({ ...stage.where, broker: stage.broker, oracle: stage.oracle })
    },
    verifySetup: verifyHoles
  },
  {
    name: 'compacted-again',
    configs: COMPACTED,
    compares: 'seen',
    // The same keys in both phases: what was copied in phase 1 is gone from the source when phase 2 is copied.
    write: async stage => {
      await writeHoles(stage, 'same-')
      await compact({ ...stage.where, broker: stage.broker, oracle: stage.oracle })
    },
    verifySetup: verifyHoles
  },
  {
    name: 'compacted-tombstones',
    // Tombstones stay for a day after the first cleaning, marked with their horizon.
    configs: { ...COMPACTED, 'delete.retention.ms': '86400000' },
    write: async (stage, phase) => {
      const clock = new Clock()
      const keys = range(`p${phase}-`, 0, 20)
      await stage.write([
        clock.batch('first', keys),
        clock.batch('gone', keys.slice(0, 10), null),
        { send: [...clock.batch('alive', keys.slice(10, 15)).send, ...clock.batch('gone', keys.slice(15), null).send] },
        clock.batch('other', range(`q${phase}-`, 0, 5)),
        clock.batch('end', range(`r${phase}-`, 0, 5))
      ])
      await compact({ ...stage.where, broker: stage.broker, oracle: stage.oracle })
    },
    verifySetup: stage => {
      const marked = stage.batches().filter(({ deleteHorizon, control }) => deleteHorizon && !control)
      insist(
        marked.some(({ count }) => count > 0),
        'no batch with records has a delete horizon'
      )
      insist(
        marked.some(({ firstTimestamp }) => firstTimestamp > BigInt(Date.now())),
        'the horizon is not in the future'
      )
    }
  },
  {
    name: 'compacted-transactions',
    configs: { ...COMPACTED, 'delete.retention.ms': '86400000' },
    write: async (stage, phase) => {
      const clock = new Clock()
      const keys = (from: number, to: number) => range(`p${phase}-`, from, to)
      const [a, b] = [stage.id('a'), stage.id('b')]
      await stage.write([
        { begin: a },
        { ...clock.batch('a1', keys(0, 10)), producer: a },
        { commit: a },
        { begin: a },
        { ...clock.batch('a2', keys(0, 20)), producer: a },
        { begin: b },
        { ...clock.batch('b1', keys(5, 8)), producer: b },
        { ...clock.batch('b2', keys(30, 35)), producer: b },
        { abort: a },
        { commit: b },
        clock.batch('plain', keys(8, 12)),
        { begin: b },
        { ...clock.batch('b3', keys(0, 3)), producer: b },
        { abort: b },
        clock.batch('end', keys(40, 45))
      ])
      await compact({ ...stage.where, broker: stage.broker, oracle: stage.oracle })
    },
    verifySetup: (stage, phase: Phase) => {
      const batches = stage.batches()
      insist(
        batches.some(({ control }) => control),
        'no marker is left'
      )
      // 18 records of each phase are committed and the last of their keys; aborted ones are gone.
      const left = batches.filter(({ control }) => !control).reduce((sum, { count }) => sum + count, 0)
      insist(left < phase * 45, `${left} records are left: nothing was cleaned`)
    }
  }
]
