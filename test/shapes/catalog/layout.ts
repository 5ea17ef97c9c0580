import { COMPRESSIONS, insist, type Shape } from '../shape.js'

function texts(prefix: string, count = 10): { key: string; value: string }[] {
  return Array.from({ length: count }, (_, index) => ({ key: `k${index}`, value: `${prefix}-${index}` }))
}

const WIDE = 1_000

export const LAYOUT_SHAPES: Shape[] = [
  {
    name: 'log-start',
    partitions: 3,
    write: async (stage, phase) => {
      const everywhere = [0, 1, 2].flatMap(partition =>
        ['a', 'b', 'c'].map(name => ({ send: texts(`${phase}-${name}`), partition }))
      )
      await stage.write(everywhere)
      // 0: in the middle of a batch. 1: nothing is left. 2: at the beginning of a batch.
      if (phase === 1) await stage.oracle.deleteRecords({ ...stage.where, before: { 0: 15n, 1: -1n, 2: 20n } })
    },
    verifySetup: async (stage, phase) => {
      const bounds = (await stage.oracle.endOffsets(stage.where)).map(({ start, end }) => `${start}-${end}`)
      const end = phase * 30
      insist(bounds.join(' ') === `15-${end} 30-${end} 20-${end}`, `the logs reach ${bounds.join(' ')}`)
      insist(stage.batches()[1]?.baseOffset === 10n, 'the log does not start in the middle of a batch')
    }
  },
  {
    name: 'other-codec-on-target',
    partitions: 2,
    target: compression => ({ 'compression.type': compression === 'gzip' ? 'zstd' : 'gzip' }),
    write: async (stage, phase) => {
      await stage.produce({ count: 1_000, seed: phase, mixed: true, batchBytes: 4_096 })
    }
  },
  {
    name: 'mixed-codecs',
    compressions: 'mixed',
    write: async (stage, phase) => {
      for (const compression of [...COMPRESSIONS, ...COMPRESSIONS]) {
        await stage.write(
          [{ send: texts(`${phase}-${compression}`) }, { send: texts('single', 2), onePerBatch: true }],
          {
            compression
          }
        )
      }
    },
    verifySetup: stage => {
      const seen = new Set(stage.batches().map(({ compression }) => compression))
      insist(seen.size === COMPRESSIONS.length, `only ${[...seen].join()} are in the log`)
    }
  },
  {
    name: 'thousand-partitions',
    partitions: WIDE,
    compressions: 'mixed',
    write: async (stage, phase) => {
      for (const [index, compression] of COMPRESSIONS.entries()) {
        // Every codec has its partitions; every seventh partition stays empty, every eleventh begins in phase 2.
        const partitions = Array.from({ length: WIDE }, (_, partition) => partition).filter(
          partition => partition % 5 === index && partition % 7 !== 0 && (phase === 2 || partition % 11 !== 0)
        )
        await stage.produce({ partitions, count: partitions.length * 4, seed: phase, mixed: true, compression })
      }
    }
  }
]
