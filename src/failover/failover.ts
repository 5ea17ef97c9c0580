import { MEMBER_LEASE_MS, type MoveCoordinator } from './move-coordinator.js'

/** The move without the source, from its record to its decision. What can't be known is said, nothing is waited for in vain. */
export async function driveFailover(move: MoveCoordinator): Promise<void> {
  const { recorder, context } = move
  await recorder.step(
    'announce',
    () => move.open(),
    () => `move ${move.epoch}, ${move.members.length} instances: ${move.members.join(', ')}`
  )
  const opened = performance.now()
  const own = move.view
  // Closing the lanes needs nobody's answer, and what a mirror still brings afterwards would only be missed by the ledger.
  await Promise.all([
    recorder.step(
      'close lanes',
      () => move.close(move.topics),
      lanes => `${lanes.length} lanes`
    ),
    recorder.step(
      'leave',
      async () => {
        await Promise.all([
          own && context.participate(own),
          move.until(() => move.missing.length === 0 || performance.now() - opened > MEMBER_LEASE_MS)
        ])
      },
      () => `${move.answers.size} instances answered`
    )
  ])
  if (move.missing.length > 0) {
    recorder.decide(`went on without ${move.missing.join(', ')}: no answer within ${MEMBER_LEASE_MS / 1000} s`)
  }
  const late = move.lateTopics()
  move.topics.push(...late)
  if (late.length > 0)
    await recorder.step(
      'close late lanes',
      () => move.close(late),
      lanes => `${lanes.length} lanes of ${late.join(', ')}`
    )
  context.machine.transition('promoting', 'every lane is closed')
  const { missing } = await recorder.step(
    'move groups',
    () => move.moveGroups(),
    r => `${r.applied} of ${r.partitions} positions committed, ${r.repaired} repaired`
  )
  for (const position of missing) recorder.decide(`went on without the position of ${position}`)
  await recorder.step(
    'join',
    () => move.join(),
    () => `decided: ${move.to}`
  )
}
