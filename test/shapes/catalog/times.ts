import { insist, type Shape, type Stage } from '../shape.js'

const MINUTE_MS = 60_000
const DAY_MS = 86_400_000

function at(stage: Stage, timestamps: readonly (number | bigint)[], prefix: string): Promise<unknown> {
  const records = timestamps.map((timestamp, index) => ({ key: `k${index}`, value: `${prefix}-${index}`, timestamp }))
  // All in one batch, each in its own, and once more in the other direction.
  return stage.write([{ send: records }, { send: records, onePerBatch: true }, { send: records.toReversed() }])
}

function texts(prefix: string): { key: string; value: string }[] {
  return Array.from({ length: 10 }, (_, index) => ({ key: `k${index}`, value: `${prefix}-${index}` }))
}

function verifyAppendTime(stage: Stage): void {
  insist(
    stage.batches().every(({ logAppendTime }) => logAppendTime),
    'a batch has no log append time'
  )
}

export const TIME_SHAPES: Shape[] = [
  {
    name: 'time-disorder',
    write: async (stage, phase) => {
      const now = Date.now()
      await at(
        stage,
        [0, -30, 20, -1, 45, 45, -29, 0].map(minutes => now + minutes * MINUTE_MS),
        `${phase}`
      )
    }
  },
  {
    name: 'time-old',
    write: async (stage, phase) => {
      const now = Date.now()
      await at(stage, [0, -1, 1, now - 3_650 * DAY_MS, now - 2 * DAY_MS, -1, now - DAY_MS, 0], `${phase}-old`)
      // Young again, then old: a lane has to change its ways more than once.
      await stage.write([{ send: texts(`${phase}-young`) }])
      await at(stage, [-1, -1], `${phase}-none`)
      if (phase === 2) await stage.write([{ send: texts('young-at-the-end') }])
    }
  },
  {
    name: 'time-future',
    // The default refuses what is more than an hour ahead.
    configs: { 'message.timestamp.after.max.ms': '9223372036854775807' },
    write: async (stage, phase) => {
      const now = Date.now()
      const far = [9_007_199_254_740_993n, 253_402_300_799_999n]
      await at(stage, [now + 2 * 3_600_000, now + 365 * DAY_MS, ...far, now, 4_102_444_800_000], `${phase}-future`)
      await stage.write([{ send: texts(`${phase}-now`) }])
    }
  },
  {
    name: 'log-append-time-source',
    configs: { 'message.timestamp.type': 'LogAppendTime' },
    write: async (stage, phase) => {
      await stage.write([{ send: texts(`${phase}-a`) }, { send: texts(`${phase}-b`), onePerBatch: true }])
      await stage.produce({ count: 500, seed: phase, mixed: true, batchBytes: 4_096 })
    },
    verifySetup: verifyAppendTime
  },
  {
    name: 'log-append-time-target',
    target: () => ({ 'message.timestamp.type': 'LogAppendTime' }),
    timestamps: false,
    write: async (stage, phase) => {
      await stage.produce({ count: 500, seed: phase, mixed: true, batchBytes: 4_096 })
      await stage.produce({
        count: 60,
        seed: phase,
        recordsPerTransaction: 10,
        abortEvery: 3,
        transactionalId: stage.id('t')
      })
    }
  },
  {
    name: 'log-append-time-both',
    configs: { 'message.timestamp.type': 'LogAppendTime' },
    target: () => ({ 'message.timestamp.type': 'LogAppendTime' }),
    timestamps: false,
    write: async (stage, phase) => {
      await stage.produce({ count: 500, seed: phase, mixed: true, batchBytes: 4_096 })
    },
    verifySetup: verifyAppendTime
  }
]
