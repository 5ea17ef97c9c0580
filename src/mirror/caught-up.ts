import { setTimeout as sleep } from 'node:timers/promises'
import { TwinlogError } from '../errors.js'
import { retry } from '../util/retry.js'
import type { Lane } from './lane.js'
import { keyOf } from './lane-factory.js'
import { type LaneSpec, shareIdOf } from './lane-types.js'
import type { MirrorSession } from './mirror-session.js'
import type { Isolation } from './options.js'
import { isElsewhere, routesElsewhere } from './routes-elsewhere.js'
import { sourceEnds } from './source-ends.js'
import { Watermarks } from './watermarks.js'

const POLL_MS = 10
/** Lanes of other processes tell how far they are in the state topic, twice a second. */
const ELSEWHERE_POLL_MS = 200
const DISCOVERY_RETRIES = 5

interface Goal {
  spec: Pick<LaneSpec, 'source' | 'target'>
  end: bigint
}

/** Waits until everything that was in the source at the call is on the target, whichever process copies it. */
export async function caughtUp(
  session: MirrorSession,
  o: { isolation: Isolation; timeoutMs: number | undefined; signal: AbortSignal | undefined }
): Promise<Watermarks> {
  const deadline = o.timeoutMs === undefined ? Number.POSITIVE_INFINITY : performance.now() + o.timeoutMs
  // A control connection that was cut says nothing about the copy.
  await retry(() => session.discover(), { retries: DISCOVERY_RETRIES, signal: o.signal })
  const at = new Date()
  const specs = lanesOf(session)
  const ends = await sourceEnds(
    session.source,
    specs.map(({ source }) => source),
    o.isolation
  )
  const endOf = new Map(specs.map(({ source }, index) => [shareIdOf(source), ends[index] ?? 0n]))
  const told = new Set<string>()
  const done: Watermarks['lanes'][number][] = []
  let open: Goal[] = []
  const hold = (specs: Goal['spec'][]) => {
    for (const spec of specs) {
      const end = endOf.get(shareIdOf(spec.source))
      if (end === undefined || told.has(keyOf(spec))) continue
      told.add(keyOf(spec))
      session.lanes.lanes.get(keyOf(spec))?.sourceEndIs(end)
      open.push({ spec, end })
    }
  }
  for (;;) {
    // A transform opens lanes on the way: they are held to the same end of their source partition.
    hold(lanesOf(session))
    // Those of other processes are written down before the lane that met the route passes it.
    if (open.length === 0) hold(await routesElsewhere(session))
    if (open.length === 0) break
    if (o.signal?.aborted === true) throw new TwinlogError('TWINLOG_ABORTED', 'caughtUp() was aborted by the caller')
    const still: Goal[] = []
    for (const goal of open) {
      const targetEnd = await reachedBy(session, goal)
      if (targetEnd !== undefined) done.push(watermark(goal, targetEnd))
      // Its topic was deleted meanwhile: nothing is left to wait for.
      else if (session.lanes.set.knows(goal.spec) || isElsewhere(session, goal.spec)) still.push(goal)
    }
    open = still
    if (open[0] && performance.now() > deadline) throw notCaughtUp(session, open[0])
    const onlyElsewhere = open.every(({ spec }) => !session.lanes.lanes.has(keyOf(spec)))
    if (open.length > 0) await sleep(onlyElsewhere ? ELSEWHERE_POLL_MS : POLL_MS)
  }
  await session.lanes.writeCheckpoints()
  // A lane that went on meanwhile is further now; what is told is true at the end.
  return new Watermarks(
    at,
    done.map(lane => ({ ...lane, targetEnd: laneOf(session, lane)?.targetEnd ?? lane.targetEnd }))
  )
}

/** Every lane that this process knows of, whoever copies it. */
const lanesOf = (session: MirrorSession): Pick<LaneSpec, 'source' | 'target'>[] => [
  ...session.lanes.lanes.values(),
  ...session.lanes.set.elsewhere()
]

/** Target offset behind the lane once it has reached the goal. @throws TwinlogError when it never will by itself */
async function reachedBy(session: MirrorSession, goal: Goal): Promise<bigint | undefined> {
  const lane = session.lanes.lanes.get(keyOf(goal.spec))
  if (lane && !lane.standsBy) {
    if (lane.state === 'failed' || lane.state === 'stopped') throw notCaughtUp(session, goal)
    return lane.reached >= goal.end && !lane.needsRecovery ? lane.targetEnd : undefined
  }
  const state = await session.binding.opened?.state.refreshLane(keyOf(goal.spec))
  const checkpoint = state?.checkpoint
  return checkpoint && checkpoint.reached >= goal.end ? checkpoint.targetEnd : undefined
}

function watermark({ spec, end }: Goal, targetEnd: bigint): Watermarks['lanes'][number] {
  return {
    topic: spec.source.topic,
    partition: spec.source.partition,
    sourceEnd: end,
    targetTopic: spec.target.topic,
    targetPartition: spec.target.partition,
    targetEnd
  }
}

function laneOf(session: MirrorSession, watermark: Watermarks['lanes'][number]): Lane | undefined {
  for (const lane of session.lanes.lanes.values()) {
    const same =
      lane.source.topic === watermark.topic &&
      lane.source.partition === watermark.partition &&
      lane.target.topic === watermark.targetTopic &&
      lane.target.partition === watermark.targetPartition
    if (same) return lane.needsRecovery ? undefined : lane
  }
  return undefined
}

function notCaughtUp(session: MirrorSession, { spec, end }: Goal): TwinlogError {
  const { topic, partition } = spec.source
  const lane = session.lanes.lanes.get(keyOf(spec))
  if (!lane)
    return new TwinlogError(
      'TWINLOG_NOT_CAUGHT_UP',
      `lane ${topic}-${partition} is copied by another process of the group and has not reached source offset ${end} yet`,
      { topic, partition }
    )
  const { state, why } = lane.status()
  return new TwinlogError(
    'TWINLOG_NOT_CAUGHT_UP',
    `lane ${topic}-${partition} is ${state}${why === undefined ? '' : ` (${why})`} at source offset ${lane.reached}, the source ended at ${end}`,
    { topic, partition, offset: lane.reached, cause: lane.error }
  )
}
