import { describeGroupsRequest } from '../kafka/requests/describe-groups.js'
import type { MoveKind } from '../control/control-records.js'
import type { PreflightReport } from '../util/preflight-report.js'
import { linkOf, type MoveContext } from './move-context.js'
import { mergeViews } from '../control/moves.js'
import { linkName } from './options.js'
import { readEnds } from './source-ends.js'

type Check = PreflightReport['checks'][number]

/** Looks at everything a move relies on and changes nothing. What a failover can do without is only a warning there. */
export async function runPreflight(
  context: MoveContext,
  o: { kind: MoveKind; to: string; topics: string[]; groups: string[] }
): Promise<PreflightReport & { lagRecords: bigint }> {
  const from = context.active
  const checks: Check[] = [checkTarget(context, o.to)]
  let lagRecords = 0n
  if (checks[0]?.result === 'pass') {
    checks.push(checkOpenMove(context, o.kind))
    if (o.kind === 'failover') {
      checks.push(await checkTranslator(context, o))
    } else {
      const lanes = await checkLanes(context, o)
      checks.push(...lanes.checks)
      lagRecords = lanes.lagRecords
    }
    checks.push(...(await checkGroups(context, o)))
  }
  if (o.topics.length === 0) {
    checks.push({
      name: 'topics',
      result: 'warn',
      detail: 'no instance reports a consumer or producer, so no lane is closed',
      remedy: 'name the topics in the option topics, or start the consumers and producers first'
    })
  }
  if (o.to === from) checks.push({ name: 'direction', result: 'fail', detail: `${o.to} is the active cluster already` })
  return { ok: checks.every(check => check.result !== 'fail'), checks, lagRecords }
}

function checkTarget(context: MoveContext, to: string): Check {
  const link = linkOf(context, to)
  if (link.healthy) return { name: 'target', result: 'pass', detail: `${to} answers` }
  return {
    name: 'target',
    result: 'fail',
    detail: link.lastError?.message ?? `${to} does not answer`,
    remedy: 'a move needs the cluster that it leads to; check its brokers, the network and the credentials'
  }
}

function checkOpenMove(context: MoveContext, kind: MoveKind): Check {
  const { open } = mergeViews(context.views())
  if (!open) return { name: 'other moves', result: 'pass', detail: 'none under way' }
  const { epoch, instance } = open.record
  const detail = `move ${epoch} to ${open.record.to}, opened by ${instance}, is not decided`
  if (kind === 'failover')
    return { name: 'other moves', result: 'warn', detail: `${detail}; this failover supersedes it` }
  return {
    name: 'other moves',
    result: 'fail',
    detail,
    remedy: 'wait until it is over; if its instance died it is aborted within 15 s'
  }
}

/** A failover can't look at the source: it asks whether the link's state can be read at all. */
async function checkTranslator(context: MoveContext, o: { to: string; topics: string[] }): Promise<Check> {
  const from = context.active
  try {
    const reached = await Promise.all(o.topics.map(topic => context.translator(from, o.to).reached(topic, 0)))
    const without = o.topics.filter((_topic, index) => reached[index] === undefined)
    if (without.length === 0) return { name: 'lanes', result: 'pass', detail: `every topic has a lane to ${o.to}` }
    return {
      name: 'lanes',
      result: 'warn',
      detail: `partition 0 of ${without.join(', ')} has no lane: nothing of it is on ${o.to}`
    }
  } catch (error) {
    return {
      name: 'lanes',
      result: 'fail',
      detail: message(error),
      remedy: `link ${linkName(context.options, from, o.to)} must have run at least once`
    }
  }
}

async function checkLanes(
  context: MoveContext,
  o: { to: string; topics: string[] }
): Promise<{ checks: Check[]; lagRecords: bigint }> {
  const from = context.active
  const link = linkName(context.options, from, o.to)
  const source = linkOf(context, from)
  if (!source.healthy) {
    const detail = source.lastError?.message ?? `${from} does not answer`
    return {
      checks: [{ name: 'source', result: 'fail', detail, remedy: 'use failover() when the active cluster is gone' }],
      lagRecords: 0n
    }
  }
  try {
    const ends = await readEnds(source.client, o.topics)
    const translator = context.translator(from, o.to)
    const reached = await Promise.all(ends.map(end => translator.reached(end.topic, end.partition)))
    let lagRecords = 0n
    const missing: string[] = []
    ends.forEach((end, index) => {
      const position = reached[index] ?? end.start
      if (reached[index] === undefined && end.highWatermark > end.start) missing.push(`${end.topic}-${end.partition}`)
      if (end.lastStable > position) lagRecords += end.lastStable - position
    })
    const lanes: Check =
      missing.length === 0
        ? { name: 'lanes', result: 'pass', detail: `${ends.length} partitions, all with a lane of link ${link}` }
        : {
            name: 'lanes',
            result: 'fail',
            detail: `no lane of link ${link} for ${missing.join(', ')}`,
            remedy: `start a Mirror from ${from} to ${o.to} that includes these topics, or name the right link in the option links`
          }
    const lag: Check = {
      name: 'lag',
      result: lagRecords === 0n ? 'pass' : 'warn',
      detail: `${lagRecords} offsets to go; the move waits for them`
    }
    return { checks: [{ name: 'source', result: 'pass', detail: `${from} answers` }, lanes, lag], lagRecords }
  } catch (error) {
    const remedy = `check that a Mirror runs the link ${link} from ${from} to ${o.to}`
    return { checks: [{ name: 'lanes', result: 'fail', detail: message(error), remedy }], lagRecords: 0n }
  }
}

/** A group with members on the target can't be given its positions. */
async function checkGroups(
  context: MoveContext,
  o: { kind: MoveKind; to: string; groups: string[] }
): Promise<Check[]> {
  const { client } = linkOf(context, o.to)
  return Promise.all(
    o.groups.map(async (groupId): Promise<Check> => {
      const name = `group ${groupId}`
      try {
        const answer = await client.send({ group: groupId }, describeGroupsRequest({ groups: [groupId] }))
        const group = answer.groups[0]
        if (!group || group.members === 0) return { name, result: 'pass', detail: `has no members on ${o.to}` }
        return {
          name,
          result: o.kind === 'failover' ? 'warn' : 'fail',
          detail: `has ${group.members} members on ${o.to}: its positions can't be set there`,
          remedy: `stop the consumers of ${groupId} on ${o.to}`
        }
      } catch (error) {
        return { name, result: 'warn', detail: message(error) }
      }
    })
  )
}

const message = (error: unknown) => (error instanceof Error ? error.message : String(error))
