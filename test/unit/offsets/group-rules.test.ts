import { describe, expect, it } from 'vitest'
import { judgeCommit } from '../../../src/offsets/group-rules.js'

const NOW = 1_000_000_000
const noted = (written: bigint | null, previous: bigint | null = null, ageMs = 0) => ({
  topic: 't',
  partition: 0,
  source: 1n,
  targetTopic: 't',
  targetPartition: 0,
  written,
  previous,
  writtenAtMs: NOW - ageMs
})

describe('a translated commit', () => {
  it.each([
    ['over nothing', 'write', 5n, undefined, undefined],
    ['over nothing, though something was written once (it expired)', 'write', 5n, undefined, noted(5n)],
    ['over what we wrote', 'write', 5n, 4n, noted(4n)],
    ['backwards over what we wrote: the source was rewound', 'write', 3n, 4n, noted(4n)],
    ['over what stood there when our last write did not arrive', 'write', 5n, 3n, noted(4n, 3n)],
    ['over the commit of somebody else', 'diverged', 5n, 9n, noted(4n, 3n)],
    ['over a commit that we know nothing of', 'diverged', 5n, 4n, undefined],
    ['over a commit noted for a group in use', 'diverged', 5n, 4n, noted(null)],
    ['that stands there already, by somebody else', 'nothing', 5n, 5n, undefined],
    ['that stands there already, written a moment ago', 'nothing', 5n, 5n, noted(5n)],
    ['that stands there already, written over a day ago', 'write', 5n, 5n, noted(5n, null, 86_400_001)]
  ] as const)('%s: %s', (_case, verdict, wanted, present, note) => {
    expect(judgeCommit({ wanted, present, noted: note, now: NOW })).toBe(verdict)
  })
})
