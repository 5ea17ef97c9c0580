import { setTimeout as sleep } from 'node:timers/promises'
import { TwinlogError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { ClusterLink } from './cluster-link.js'
import type { AnswerRecord, MoveRecord } from '../control/control-records.js'
import type { Answer } from '../control/moves.js'
import { type Heartbeat, PRESENCE_WINDOW_MS } from './presence.js'

/** Keeps a record far below the broker's 1 MB. */
const ENTRIES_PER_RECORD = 2_000
const RETRY_MS = 250
const INITIATOR_LEASE_MS = 15_000
const LOOK_MS = 2_000

interface ParticipationContext {
  link: ClusterLink
  record: MoveRecord
  isOpen(): boolean
  signal: AbortSignal
  logger: Logger
}

/** Writes what this instance has to say, again and again until it is written or the move is over. */
export async function writeAnswer(o: ParticipationContext & { instance: string; answer: Answer }): Promise<void> {
  const records = answerRecords(o.record, o.instance, o.answer)
  while (o.isOpen()) {
    try {
      await o.link.append(...records)
      return await o.link.refresh()
    } catch (error) {
      o.logger.warn(
        { cluster: o.link.alias, epoch: o.record.epoch, error: String(error) },
        'could not write the answer to a move yet'
      )
      await sleep(RETRY_MS, undefined, { signal: o.signal, ref: false }).catch(() => undefined)
    }
  }
}

/**
 * Looks after the instance that drives a move. When it has died, a planned move is ended, so that everybody goes back to work; a
 * failover has no way back that is known to work, so people are told (`abandoned`) what to do. Its heartbeats say that it is still
 * driving; the longer of monotonic and wall-clock time counts, because the monotonic clock stops in a suspended machine.
 */
export async function watchInitiator(
  o: ParticipationContext & { own: () => Heartbeat; abandoned: (error: TwinlogError) => void }
): Promise<void> {
  const { epoch, instance: initiator, kind } = o.record
  let seen = clocks()
  while (o.isOpen()) {
    await sleep(LOOK_MS, undefined, { signal: o.signal, ref: false }).catch(() => undefined)
    if (!o.isOpen()) return
    try {
      const own = o.own()
      if (await isDriven(o, own)) seen = clocks()
      // A heartbeat counts as present for a while, so part of the lease is over before it vanishes.
      if (since(seen) < INITIATOR_LEASE_MS - PRESENCE_WINDOW_MS) continue
      const reason = `${initiator}, which drove the move, gave no sign for ${INITIATOR_LEASE_MS / 1000} s`
      if (kind === 'failover') return o.abandoned(leftAlone(o.record, reason))
      const { service } = o.record
      await o.link.append({
        type: 'abort',
        service,
        epoch,
        instance: own.instance,
        at: new Date().toISOString(),
        reason
      })
      await o.link.refresh()
    } catch (error) {
      o.logger.debug(
        { cluster: o.link.alias, epoch, error: String(error) },
        'could not look after the driver of a move'
      )
    }
  }
}

/** An instance that was started again under its old name does not drive what it began before. */
async function isDriven({ record, link }: ParticipationContext, own: Heartbeat): Promise<boolean> {
  const { instance, epoch } = record
  if (own.instance === instance) return own.driving === epoch
  const present = await link.present(own)
  return present.get(instance)?.driving === epoch
}

function leftAlone({ epoch, from, to }: MoveRecord, reason: string): TwinlogError {
  const message =
    `failover ${epoch} from ${from} to ${to} is not decided, and nobody goes on with it: ${reason}. ` +
    `Consumers and producers stand still until an instance of the service calls failover('${to}'), which continues it`
  return new TwinlogError('TWINLOG_MOVE_ABORTED', message, { cluster: to, retriable: true })
}

export function answerRecords(move: MoveRecord, instance: string, answer: Answer): AnswerRecord[] {
  const { positions, ledger, topics, groups } = answer
  const longest = Math.max(positions.length, ledger.acknowledged.length, ledger.inDoubt.length)
  const parts = Math.max(1, Math.ceil(longest / ENTRIES_PER_RECORD))
  const slice = <T>(values: T[], part: number) =>
    values.slice(part * ENTRIES_PER_RECORD, (part + 1) * ENTRIES_PER_RECORD)
  return Array.from({ length: parts }, (_, part) => ({
    type: move.kind === 'failover' ? ('drained' as const) : ('stopped' as const),
    service: move.service,
    epoch: move.epoch,
    instance,
    at: new Date().toISOString(),
    part,
    parts,
    topics: part === 0 ? topics : [],
    groups: part === 0 ? groups : [],
    positions: slice(positions, part),
    ledger: { acknowledged: slice(ledger.acknowledged, part), inDoubt: slice(ledger.inDoubt, part) }
  }))
}

const clocks = () => ({ monotonic: performance.now(), wall: Date.now() })
const since = (then: { monotonic: number; wall: number }) =>
  Math.max(performance.now() - then.monotonic, Date.now() - then.wall)
