import { setTimeout as sleep } from 'node:timers/promises'
import { TwinlogError } from '../errors.js'
import type { LinkTranslator } from '../offsets/link-translator.js'
import type { ClusterLink } from './cluster-link.js'
import type { LocalParticipants } from './fleet-participants.js'
import type { ControlView, MoveView } from '../control/moves.js'
import type { ResolvedFailoverOptions } from './options.js'
import type { Heartbeat, TimedHeartbeat } from './presence.js'
import type { StateMachine } from './state-machine.js'

/** What a move needs of the client that makes it. */
export interface MoveContext {
  readonly options: ResolvedFailoverOptions
  readonly links: ReadonlyMap<string, ClusterLink>
  readonly machine: StateMachine
  readonly local: LocalParticipants
  readonly active: string
  /** What this instance says of itself right now. */
  heartbeat(): Heartbeat
  /** From now on heartbeats say that this instance drives that move; `undefined`: none. */
  drive(epoch: number | undefined): void
  translator(from: string, to: string): LinkTranslator
  views(): ReadonlyMap<string, ControlView>
  /** This instance's own part of the move; resolves when its answer is written. */
  participate(move: MoveView): Promise<void>
  /** Does what the control topics say; resolves when consumers and producers work where they should. */
  react(): Promise<void>
}

export function linkOf(context: Pick<MoveContext, 'links'>, alias: string): ClusterLink {
  const link = context.links.get(alias)
  if (link) return link
  const known = [...context.links.keys()].join(', ')
  throw new TwinlogError('TWINLOG_INVALID_STATE', `${alias} is not a cluster of this client; known are ${known}`)
}

/** A failover must not wait for the cluster it flees from; who can still reach the target says so there. */
const PATIENCE_MS = 300

/**
 * Instances seen lately on any cluster that answers, this one included. `fleeing`: a cluster that is asked, but not waited for.
 * `heard` is false when no cluster could be asked: then nobody knows whether this instance is alone.
 */
export async function presentMembers(
  context: MoveContext,
  fleeing?: string
): Promise<{ members: Map<string, TimedHeartbeat>; heard: boolean }> {
  const own = context.heartbeat()
  const members = new Map<string, TimedHeartbeat>([[own.instance, { ...own, timestamp: 0n }]])
  if (!context.options.fleet) return { members, heard: true }
  const healthy = [...context.links.values()].filter(link => link.healthy)
  const seen = await Promise.all(
    healthy.map(link => {
      const answer = link.present(own).catch(() => undefined)
      return link.alias === fleeing ? Promise.race([answer, sleep(PATIENCE_MS, undefined, { ref: false })]) : answer
    })
  )
  for (const [instance, heartbeat] of seen.flatMap(answer => [...(answer ?? [])])) {
    const known = members.get(instance)
    members.set(instance, {
      ...heartbeat,
      topics: [...new Set([...(known?.topics ?? []), ...heartbeat.topics])],
      groups: [...new Set([...(known?.groups ?? []), ...heartbeat.groups])]
    })
  }
  return { members, heard: seen.some(answer => answer !== undefined) }
}
