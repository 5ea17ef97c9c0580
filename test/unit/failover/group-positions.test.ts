import { describe, expect, it } from 'vitest'
import type { GroupPosition, MoveRecord } from '../../../src/control/control-records.js'
import { mergePositions, missingPositions, planGroups, targetPosition } from '../../../src/failover/group-positions.js'
import { answerRecords } from '../../../src/failover/move-participant.js'
import { type Answer, reduceMoves } from '../../../src/control/moves.js'

const position = (partition: number, offset: bigint, groupId = 'g'): GroupPosition => ({
  groupId,
  topic: 't',
  partition,
  offset
})
const answer = (instance: string, ...positions: GroupPosition[]): Answer => ({
  instance,
  topics: ['t'],
  groups: ['g'],
  positions,
  ledger: { acknowledged: [], inDoubt: [] }
})

describe('group positions', () => {
  it('take the larger position when a partition changed hands shortly before the move', () => {
    expect(mergePositions([answer('a', position(0, 5n)), answer('b', position(0, 9n), position(1, 2n))])).toEqual([
      position(0, 9n),
      position(1, 2n)
    ])
  })

  it('believe an instance before what is committed, and fill up from there what nobody reported', () => {
    expect(mergePositions([answer('a', position(0, 5n))], [position(0, 9n), position(1, 3n)])).toEqual([
      position(0, 5n),
      position(1, 3n)
    ])
  })

  it('keep groups apart', () => {
    expect(mergePositions([answer('a', position(0, 5n), position(0, 6n, 'h'))])).toHaveLength(2)
  })

  it('commit the end of the lane for records that were handled and are not there', () => {
    const beyond = {
      kind: 'beyond-mirrored',
      topic: 't',
      partition: 0,
      offset: 8n,
      missing: { from: 10n, to: 12n }
    } as const
    expect(targetPosition(beyond)).toEqual({ topic: 't', partition: 0, offset: 8n })
    expect(targetPosition({ kind: 'unknown', reason: 'topic' })).toBeUndefined()
  })

  it('say of each position what was found and that nothing is applied yet', () => {
    const [group] = planGroups(
      [position(0, 5n), position(1, 6n)],
      [
        { kind: 'exact', topic: 't', partition: 0, offset: 4n },
        { kind: 'unknown', reason: 'partition' }
      ],
      new Date(0)
    )
    expect(group?.partitions.map(p => [p.target.kind, p.applied, p.refused])).toEqual([
      ['exact', false, undefined],
      ['unknown', false, 'unknown']
    ])
  })
})

describe('missing positions', () => {
  const exact = { kind: 'exact', topic: 't', partition: 0, offset: 4n } as const
  const plan = () => planGroups([position(0, 5n), position(1, 6n)], [exact, { ...exact, partition: 1 }], new Date(0))
  const partitionsOf = (groups: ReturnType<typeof plan>) => groups[0]?.partitions ?? []

  it('are none when everything was committed', () => {
    const groups = plan()
    for (const partition of partitionsOf(groups)) partition.applied = true
    expect(missingPositions(groups, ['t'], new Map())).toEqual([])
  })

  it('say which and why: no translation, a group in use, overwritten, refused by the broker', () => {
    const unknown = planGroups([position(0, 5n)], [{ kind: 'unknown', reason: 'partition' }], new Date(0))
    expect(missingPositions(unknown, ['t'], new Map())).toEqual([
      'group g at offset 5 of t-0: the offset has no translation (partition)'
    ])
    const groups = plan()
    const [first, second] = partitionsOf(groups)
    if (!first || !second) throw new Error('the plan has two partitions')
    first.refused = 'active'
    second.refused = 'diverged'
    expect(missingPositions(groups, ['t'], new Map())).toEqual([
      'group g at offset 5 of t-0: the group has members on the target',
      'group g at offset 6 of t-1: somebody else overwrites it on the target'
    ])
    const refused = plan()
    const [denied, done] = partitionsOf(refused)
    if (!denied || !done) throw new Error('the plan has two partitions')
    done.applied = true
    expect(missingPositions(refused, ['t'], new Map([[denied, 30]]))).toEqual([
      'group g at offset 5 of t-0: the target refused the commit: GROUP_AUTHORIZATION_FAILED (30)'
    ])
  })

  it('do not count on topics that stay', () => {
    expect(missingPositions(plan(), ['other'], new Map())).toEqual([])
  })
})

describe('a long answer', () => {
  it('is written in several records that the reader puts together again', () => {
    const move: MoveRecord = {
      type: 'move',
      service: 's',
      epoch: 1,
      instance: 'a',
      at: '',
      kind: 'failover',
      from: 'east',
      to: 'west',
      instances: ['a'],
      topics: [],
      groups: []
    }
    const positions = Array.from({ length: 4_500 }, (_, partition) => position(partition, 1n))
    const records = answerRecords(move, 'a', answer('a', ...positions))
    expect(records.map(record => record.parts)).toEqual([3, 3, 3])
    const read = reduceMoves([move, ...records])
      .moves.get(1)
      ?.answers.get('a')
    expect(read?.positions).toEqual(positions)
    expect(read?.topics).toEqual(['t'])
  })
})
