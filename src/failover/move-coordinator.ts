import { setTimeout as sleep } from 'node:timers/promises'
import { TwinlogError } from '../errors.js'
import { closeLanes } from '../lineage/promotion.js'
import type { GroupTranslation } from '../offsets/translation.js'
import type { LinkTranslator } from '../offsets/link-translator.js'
import { exactNames, matches } from '../util/selector.js'
import type { AbortRecord, ControlRecord, GroupPosition, LaneEnd, MoveKind } from '../control/control-records.js'
import { commitGroup, type Refusals } from './group-commits.js'
import { mergePositions, missingPositions, planGroups } from './group-positions.js'
import { computeLedger, type Ledger } from './ledger.js'
import { linkOf, type MoveContext, presentMembers } from './move-context.js'
import { MoveRecorder } from './move-recorder.js'
import { type Answer, mergeViews, type MoveView, outcomeOf } from '../control/moves.js'
import { linkName } from './options.js'
import { reopenLanes } from './reopen-lanes.js'

const POLL_MS = 100
/** How long an instance may stay silent before a move goes on (or ends) without it. */
export const MEMBER_LEASE_MS = 10_000
const DECIDE_ATTEMPTS = 5

/** One move as the instance that drives it sees it: the parts that switchover and failover share. */
export class MoveCoordinator {
  readonly kind: MoveKind
  readonly from: string
  readonly to: string
  readonly context: MoveContext
  readonly signal: AbortSignal
  readonly recorder = new MoveRecorder()
  epoch = 0
  topics: string[] = []
  groups: string[] = []
  members: string[] = []
  lanes: LaneEnd[] = []
  translations: GroupTranslation[] = []
  /** True from the moment in which `join` may have been written: nobody may give up alone any more. */
  joining = false
  #closing = false

  constructor(context: MoveContext, o: { kind: MoveKind; to: string; signal: AbortSignal }) {
    this.context = context
    this.kind = o.kind
    this.from = context.active
    this.to = o.to
    this.signal = o.signal
  }

  get target() {
    return linkOf(this.context, this.to)
  }

  get translator(): LinkTranslator {
    return this.context.translator(this.from, this.to)
  }

  get view(): MoveView | undefined {
    return this.context.views().get(this.to)?.moves.get(this.epoch)
  }

  get answers(): Map<string, Answer> {
    return this.view?.answers ?? new Map<string, Answer>()
  }

  get missing(): string[] {
    return this.members.filter(instance => !this.answers.has(instance))
  }

  /** Who and what moves: what the instances say they use, and what the option names. */
  async survey(): Promise<void> {
    const forced = this.kind === 'failover'
    const { members, heard } = await presentMembers(this.context, forced ? this.from : undefined)
    if (!heard && !forced) throw nobodyHeard(this)
    if (!heard) {
      this.recorder.decide(
        'no cluster could say which other instances are alive: went on as if there were none, so whatever others have done is not in this evidence'
      )
    }
    this.members = [...members.keys()]
    const { topics } = this.context.options
    const used = [...members.values()].flatMap(member => member.topics)
    const existing = topics === undefined || !this.target.healthy ? [] : await this.#topicsOnTarget()
    const named =
      topics === undefined ? [] : [...exactNames(topics), ...existing.filter(topic => matches(topics, topic))]
    this.topics = unique([...named, ...used])
    this.groups = unique([...members.values()].flatMap(member => member.groups))
  }

  /** Writes the move's record and reads who won the epoch. */
  async open(): Promise<void> {
    await this.target.refresh()
    const { highestEpoch, open } = mergeViews(this.context.views())
    if (this.context.active !== this.from || (open && this.kind !== 'failover')) {
      const message = `another move was begun during the preflight of this one, by ${open?.record.instance ?? 'another instance'}; nothing was changed`
      throw new TwinlogError('TWINLOG_MOVE_ABORTED', message, { cluster: this.to, retriable: true })
    }
    this.epoch = highestEpoch + 1
    this.context.drive(this.epoch)
    const { kind, from, to, members: instances, topics, groups } = this
    await this.target.append(this.#record({ type: 'move', kind, from, to, instances, topics, groups }))
    await this.target.refresh()
    const winner = this.view?.record
    if (winner?.instance === this.context.options.instanceId) return
    const message = `${winner?.instance ?? 'another instance'} has begun move ${this.epoch} to ${to} at the same moment; this one changed nothing`
    throw new TwinlogError('TWINLOG_MOVE_ABORTED', message, { cluster: to, retriable: true })
  }

  /** Waits until `done` says so, as long as the move is not decided by somebody else. */
  async until(done: () => Promise<boolean> | boolean): Promise<void> {
    while (!(await done())) {
      this.assertOpen()
      await sleep(POLL_MS, undefined, { signal: this.signal }).catch(() => undefined)
    }
  }

  /** What the control topics say about it. */
  get decision(): Pick<MoveView, 'outcome' | 'reason'> {
    return outcomeOf(this.context.views(), this.epoch, this.to)
  }

  assertOpen(): void {
    this.signal.throwIfAborted()
    const { outcome, reason } = this.decision
    if (outcome === 'open') return
    const why = outcome === 'superseded' ? 'a later move took its place' : (reason ?? outcome)
    throw new TwinlogError(
      'TWINLOG_MOVE_ABORTED',
      `move ${this.epoch} from ${this.from} to ${this.to} is over: ${why}`,
      { cluster: this.to }
    )
  }

  /** False when the log has decided already, or another instance had won the epoch. */
  async undecided(): Promise<boolean> {
    await this.target.refresh().catch(() => undefined)
    const winner = this.view?.record.instance
    if (winner !== undefined && winner !== this.context.options.instanceId) return false
    return this.decision.outcome === 'open'
  }

  /** Ends the lanes of these topics and tells everybody where. */
  async close(topics: string[]): Promise<LaneEnd[]> {
    if (topics.length === 0) return []
    const { service, logger } = this.context.options
    // Told before it is done: when this instance dies half way, the others know that lanes may wait for being opened again.
    if (!this.#closing) await this.target.append(this.#record({ type: 'fenced', lanes: [] }))
    this.#closing = true
    const { lanes } = await closeLanes({
      target: this.target.client,
      link: linkName(this.context.options, this.from, this.to),
      topics,
      move: { service, epoch: this.epoch },
      logger,
      signal: this.signal
    })
    this.lanes.push(...lanes)
    await this.target.append(this.#record({ type: 'fenced', lanes }))
    return lanes
  }

  /** Gives the lanes that this move closed back to their Mirror; for a move that did not come to be. */
  async reopen(): Promise<void> {
    if (this.#closing) await reopenLanes(this.context, this)
  }

  /** Topics that instances reported only with their answers. */
  lateTopics(): string[] {
    return unique([...this.answers.values()].flatMap(answer => answer.topics)).filter(
      topic => !this.topics.includes(topic)
    )
  }

  /** Translates what the members had handled and commits it on the target; `missing` says which positions are not there, and why. */
  async moveGroups(
    committed: readonly GroupPosition[] = []
  ): Promise<{ partitions: number; applied: number; repaired: number; missing: string[] }> {
    const positions = mergePositions(this.answers.values(), committed)
    const translations = await this.translator.translateMany(positions)
    this.translations = planGroups(positions, translations, new Date())
    const refusals: Refusals = new Map()
    let repaired = 0
    for (const group of this.translations) {
      repaired += await commitGroup(this.target.client, group, refusals, this.signal)
    }
    const partitions = this.translations.flatMap(group => group.partitions)
    return {
      partitions: partitions.length,
      applied: partitions.filter(partition => partition.applied).length,
      repaired,
      missing: missingPositions(this.translations, this.topics, refusals)
    }
  }

  ledger(): Ledger {
    // A transform can send one source partition to several places: it is on the target as far as the slowest of them.
    const reached = new Map<string, bigint>()
    for (const lane of this.lanes) {
      const name = `${lane.topic} ${lane.partition}`
      const known = reached.get(name)
      if (known === undefined || lane.reached < known) reached.set(name, lane.reached)
    }
    return computeLedger({
      kind: this.kind,
      from: this.from,
      parts: [...this.answers.values()].map(({ instance, ledger }) => ({ instance, ledger })),
      reached: (topic, partition) => reached.get(`${topic} ${partition}`),
      missing: this.missing
    })
  }

  /** Decides the move. Whoever reads `join` first in the log works on the target. */
  async join(): Promise<void> {
    this.assertOpen()
    const { kind, from, to } = this
    this.joining = true
    await this.#decide(this.#record({ type: 'join', kind, from, to }))
    const { outcome, reason } = this.decision
    if (outcome !== 'joined') {
      throw new TwinlogError(
        'TWINLOG_MOVE_ABORTED',
        `move ${this.epoch} to ${to} was ended before it could be joined: ${reason ?? outcome}`,
        { cluster: to }
      )
    }
    // Instances that can't reach the new cluster learn it elsewhere; who is away now is told when it is back.
    for (const link of this.context.links.values()) {
      if (link.alias === to || !link.healthy) continue
      link.append(this.#record({ type: 'moved', kind, from, to })).catch(() => undefined)
    }
  }

  /** Ends the move without moving; true when that is what was decided. */
  async abort(reason: string): Promise<boolean> {
    const record: AbortRecord = this.#record({ type: 'abort' as const, reason })
    try {
      await this.#decide(record)
    } catch (error) {
      if (this.joining) throw error
      // The target is gone, so nobody can join: only this instance could have, and it says no where the others can hear it.
      await linkOf(this.context, this.from).append(record)
      await linkOf(this.context, this.from).refresh()
    }
    return this.decision.outcome === 'aborted'
  }

  /** An append whose answer got lost may have been written: only the log knows. */
  async #decide(record: ControlRecord): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.target.append(record)
        return await this.target.refresh()
      } catch (error) {
        if (attempt === DECIDE_ATTEMPTS) throw error
        await sleep(250 * attempt)
      }
    }
  }

  #record<T extends object>(fields: T): T & { service: string; epoch: number; instance: string; at: string } {
    const { service, instanceId } = this.context.options
    return { service, epoch: this.epoch, instance: instanceId, at: new Date().toISOString(), ...fields }
  }

  async #topicsOnTarget(): Promise<string[]> {
    const metadata = await this.target.client.metadata()
    return [...metadata.topics.keys()]
  }
}

function nobodyHeard({ kind, to }: MoveCoordinator): TwinlogError {
  const message = `${kind} to ${to}: no cluster could say which instances of the service are alive, so nobody knows who has to stop; nothing was changed, try again`
  return new TwinlogError('TWINLOG_UNREACHABLE', message, { cluster: to, retriable: true })
}

const unique = (values: string[]) => [...new Set(values)]
