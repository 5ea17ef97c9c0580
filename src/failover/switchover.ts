import { TwinlogError } from '../errors.js'
import type { GroupPosition } from '../control/control-records.js'
import type { ClusterClient } from '../kafka/cluster.js'
import { committedOffsets } from '../offsets/group-offsets.js'
import { linkOf, presentMembers } from './move-context.js'
import { MEMBER_LEASE_MS, type MoveCoordinator } from './move-coordinator.js'
import { isComplete, openTransactions, type PartitionEnd, readEnds, wasOvertaken } from './source-ends.js'

/** The planned move, from its record to its decision: nothing is lost or repeated, or it is aborted. */
export async function driveSwitchover(move: MoveCoordinator, o: { deadline: number }): Promise<void> {
  const { recorder, context } = move
  await recorder.step(
    'announce',
    () => move.open(),
    () => `move ${move.epoch}, ${move.members.length} instances: ${move.members.join(', ')}`
  )
  const opened = performance.now()
  const own = move.view
  await recorder.step(
    'stop',
    async () => {
      await Promise.all([own && context.participate(own), awaitStopped(move, opened, o.deadline)])
    },
    () => `all instances have left ${move.from}`
  )
  move.topics.push(...move.lateTopics())
  const fence = await recorder.step(
    'drain',
    () => drain(move, o.deadline),
    ends => `${ends.length} partitions are on ${move.to} to their ends`
  )
  context.machine.transition('verifying', 'every lane has reached the end')
  await recorder.step(
    'verify',
    () => verify(move, fence, o.deadline),
    detail => detail
  )
  const committed = await recorder.step(
    'read commits',
    () => sourceCommits(move),
    positions => `${positions.length} committed positions on ${move.from}`
  )
  context.machine.transition('promoting', `nobody writes to ${move.from} any more`)
  await recorder.step(
    'close lanes',
    () => move.close(move.topics),
    lanes => `${lanes.length} lanes`
  )
  assertComplete(move, fence)
  const { missing } = await recorder.step(
    'move groups',
    () => move.moveGroups(committed),
    r => `${r.applied} of ${r.partitions} positions committed, ${r.repaired} repaired`
  )
  // Without its position a group would begin at the log's start or end there: records repeated, or skipped for ever.
  if (missing.length > 0) throw aborted(move, `positions could not be moved: ${missing.join('; ')}`)
  await recorder.step(
    'join',
    () => move.join(),
    () => `decided: ${move.to}`
  )
}

/** An instance that is alive may take its time (a handler runs to its end); one that is gone ends the move. */
async function awaitStopped(move: MoveCoordinator, opened: number, deadline: number): Promise<void> {
  let nextLook = opened + MEMBER_LEASE_MS
  await move.until(async () => {
    if (move.missing.length === 0) return true
    const now = performance.now()
    if (now > deadline) throw aborted(move, `${move.missing.join(', ')} did not stop in time`)
    if (now < nextLook) return false
    nextLook = now + 1_000
    const { members, heard } = await presentMembers(move.context)
    if (!heard) return false
    const gone = move.missing.filter(instance => !members.has(instance))
    if (gone.length > 0) throw aborted(move, `${gone.join(', ')} gave no sign for ${MEMBER_LEASE_MS / 1000} s`)
    return false
  })
}

/** Waits until the target has everything that was on the source when all had stopped. Returns where that end was. */
async function drain(move: MoveCoordinator, deadline: number): Promise<PartitionEnd[]> {
  const source = linkOf(move.context, move.from)
  const fence = await readEnds(source.client, move.topics)
  const reached = await Promise.all(fence.map(end => move.translator.reached(end.topic, end.partition)))
  const lost = fence.findIndex((end, index) => wasOvertaken(end, reached[index]))
  const end = fence[lost]
  if (end) {
    const problem = `retention of ${move.from} deleted records of ${end.topic}-${end.partition} from offset ${reached[lost]} up to ${end.start} before they were copied; see what the Mirror says about this gap, and try again`
    throw aborted(move, problem)
  }
  await waitForReached(move, fence, deadline)
  return fence
}

async function waitForReached(move: MoveCoordinator, ends: PartitionEnd[], deadline: number): Promise<void> {
  const source = linkOf(move.context, move.from)
  let behind = ends
  let stuck: PartitionEnd[] = []
  await move.until(async () => {
    const reached = await Promise.all(behind.map(end => move.translator.reached(end.topic, end.partition)))
    behind = behind.filter((end, index) => !isComplete(end, reached[index]))
    if (behind.length === 0) return true
    if (performance.now() < deadline) return false
    const now = await readEnds(source.client, [...new Set(behind.map(end => end.topic))])
    stuck = now.filter(
      end =>
        end.lastStable < end.highWatermark && behind.some(b => b.topic === end.topic && b.partition === end.partition)
    )
    throw await notCaughtUp(move, behind, stuck)
  })
}

async function notCaughtUp(
  move: MoveCoordinator,
  behind: PartitionEnd[],
  stuck: PartitionEnd[]
): Promise<TwinlogError> {
  const places = behind.map(end => `${end.topic}-${end.partition} (end ${end.highWatermark})`).join(', ')
  const transactions = await openTransactions(linkOf(move.context, move.from).client, stuck).catch(() => [])
  const named = transactions
    .map(t => `producer id ${t.producerId} in ${t.topic}-${t.partition} since offset ${t.startOffset}`)
    .join(', ')
  const hint = named
    ? `; open transactions hold it up: ${named}. Finish or abort them (kafka-transactions.sh) and try again`
    : `; check that the Mirror from ${move.from} to ${move.to} runs`
  return new TwinlogError(
    'TWINLOG_NOT_CAUGHT_UP',
    `${move.to} does not have everything of ${move.from} yet: ${places}${hint}`,
    {
      cluster: move.to,
      retriable: true
    }
  )
}

/**
 * Looks at the ends once more. Markers may follow (a coordinator finishing a transaction); data means that somebody outside the
 * SDK writes to the source, and moving away from under it would split the topic.
 */
async function verify(move: MoveCoordinator, fence: PartitionEnd[], deadline: number): Promise<string> {
  const source = linkOf(move.context, move.from)
  const ends = await readEnds(source.client, move.topics)
  const fenceOf = (end: PartitionEnd) =>
    fence.find(f => f.topic === end.topic && f.partition === end.partition)?.highWatermark ?? end.start
  const grown = ends.filter(end => end.highWatermark > fenceOf(end))
  if (grown.length === 0) return 'nothing was added'
  const open = grown.find(end => end.lastStable < end.highWatermark)
  if (open) throw foreignWriter(move, open)
  await waitForReached(move, grown, deadline)
  for (const end of grown) {
    const { topic, partition } = end
    const [before, after] = await move.translator.translateMany([
      { topic, partition, offset: fenceOf(end) },
      { topic, partition, offset: end.highWatermark }
    ])
    const markersOnly = before?.kind === 'exact' && after?.kind === 'exact' && before.offset === after.offset
    if (!markersOnly) throw foreignWriter(move, end)
  }
  return `only transaction markers were added to ${grown.length} partitions`
}

/** What instances have committed and did not report, for example because they were started again without reading anything. */
async function sourceCommits(move: MoveCoordinator): Promise<GroupPosition[]> {
  const groups = new Set([...move.groups, ...[...move.answers.values()].flatMap(answer => answer.groups)])
  const source = linkOf(move.context, move.from)
  const commits = await Promise.all([...groups].map(group => positionsOf(source.client, group, move.signal)))
  return commits.flat()
}

async function positionsOf(cluster: ClusterClient, groupId: string, signal: AbortSignal): Promise<GroupPosition[]> {
  const committed = await committedOffsets(cluster, groupId, { all: true, signal })
  return committed.map(({ topic, partition, offset }) => ({ groupId, topic, partition, offset }))
}

function assertComplete(move: MoveCoordinator, fence: PartitionEnd[]): void {
  for (const end of fence) {
    const lanes = move.lanes.filter(l => l.topic === end.topic && l.partition === end.partition)
    const behind = lanes.find(lane => !isComplete(end, lane.reached))
    if (lanes.length > 0 ? !behind : isComplete(end, undefined)) continue
    throw aborted(
      move,
      `${end.topic}-${end.partition} was closed at ${behind?.reached ?? 'no lane'}, before its end ${end.highWatermark}`
    )
  }
}

function foreignWriter(move: MoveCoordinator, end: PartitionEnd): TwinlogError {
  return aborted(
    move,
    `records are still being added to ${end.topic}-${end.partition} on ${move.from} after every instance has stopped: ` +
      'a writer outside the SDK is active; stop it (or take its write permission) and try again'
  )
}

function aborted(move: MoveCoordinator, problem: string): TwinlogError {
  return new TwinlogError('TWINLOG_MOVE_ABORTED', `switchover from ${move.from} to ${move.to}: ${problem}`, {
    cluster: move.from,
    retriable: true
  })
}
