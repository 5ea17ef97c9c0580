import type { AnswerRecord, ControlRecord, GroupPosition, LaneEnd, MoveKind, MoveRecord } from './control-records.js'
import type { ProducerLedgerPart } from './ledger-part.js'

/** What one instance reported when it had left the old cluster. */
export interface Answer {
  instance: string
  topics: string[]
  groups: string[]
  positions: GroupPosition[]
  ledger: ProducerLedgerPart
}

/** One move as its target's control topic tells it. */
export interface MoveView {
  readonly record: MoveRecord
  /** Complete answers only. */
  readonly answers: Map<string, Answer>
  lanes: LaneEnd[]
  /** From the moment in which lanes may have been closed. */
  fencing: boolean
  outcome: 'open' | 'joined' | 'aborted' | 'superseded'
  /** Why it was aborted. */
  reason?: string
}

/** Where the service works since this epoch. */
export interface Settled {
  epoch: number
  kind: MoveKind
  from: string
  to: string
}

/** What one cluster's control topic says about one service. */
export interface ControlView {
  highestEpoch: number
  readonly moves: Map<number, MoveView>
  /** Joins of this cluster and notices of joins elsewhere: the newest. */
  settled: Settled | undefined
  /** Aborts of moves that were opened on another cluster, by epoch. */
  readonly foreignAborts: Map<number, { instance: string; reason: string }>
  /** Answers as far as they have come in, by epoch and instance. */
  readonly collected: Map<string, { answer: Answer; parts: Set<number>; seen: Set<string> }>
}

export function emptyView(): ControlView {
  return { highestEpoch: 0, moves: new Map(), settled: undefined, foreignAborts: new Map(), collected: new Map() }
}

export function reduceMoves(records: Iterable<ControlRecord>): ControlView {
  const view = emptyView()
  for (const record of records) applyRecord(view, record)
  return view
}

/** One record further; the order of the single partition decides every race. */
export function applyRecord(view: ControlView, record: ControlRecord): void {
  const known = view.moves.get(record.epoch)
  switch (record.type) {
    case 'move':
      openMove(view, record)
      break
    case 'stopped':
    case 'drained':
      if (known) addAnswer(view, known, record)
      break
    case 'fenced':
      if (!known) break
      known.fencing = true
      if (known.outcome === 'open') known.lanes = mergeLanes(known.lanes, record.lanes)
      break
    case 'join':
      // Only who opened the move may decide for it; an abort may come from anybody.
      if (known?.outcome !== 'open' || known.record.instance !== record.instance) break
      known.outcome = 'joined'
      settle(view, { epoch: record.epoch, kind: known.record.kind, from: known.record.from, to: known.record.to })
      break
    case 'moved':
      settle(view, { epoch: record.epoch, kind: record.kind, from: record.from, to: record.to })
      break
    case 'abort':
      if (!known) view.foreignAborts.set(record.epoch, { instance: record.instance, reason: record.reason })
      else if (known.outcome === 'open') {
        known.outcome = 'aborted'
        known.reason = record.reason
      }
      break
  }
  view.highestEpoch = Math.max(view.highestEpoch, record.epoch)
}

function openMove(view: ControlView, record: MoveRecord): void {
  // An epoch that is not above all others was chosen by somebody who had not read to the end: void.
  if (record.epoch <= view.highestEpoch) return
  for (const earlier of view.moves.values()) {
    if (earlier.outcome === 'open') earlier.outcome = 'superseded'
  }
  view.moves.set(record.epoch, { record, answers: new Map(), lanes: [], fencing: false, outcome: 'open' })
}

/**
 * An instance that was started again in the middle of a move answers twice, and the second answer knows nothing of what the first
 * process did: both count.
 */
function addAnswer(view: ControlView, move: MoveView, record: AnswerRecord): void {
  const { epoch, instance, positions, ledger } = record
  const key = `${epoch} ${instance}`
  const known = view.collected.get(key) ?? { answer: emptyAnswer(instance), parts: new Set(), seen: new Set() }
  view.collected.set(key, known)
  const { answer, parts, seen } = known
  // A writer that did not see its first append answered writes the very same record again.
  const identity = `${record.part} of ${record.parts}, ${record.at}`
  if (seen.has(identity)) return
  seen.add(identity)
  parts.add(record.part)
  answer.topics = unique([...answer.topics, ...record.topics])
  answer.groups = unique([...answer.groups, ...record.groups])
  answer.positions = largestPositions([...answer.positions, ...positions])
  answer.ledger.acknowledged.push(...ledger.acknowledged)
  answer.ledger.inDoubt.push(...ledger.inDoubt)
  if (parts.size >= record.parts) move.answers.set(instance, answer)
}

function emptyAnswer(instance: string): Answer {
  return { instance, topics: [], groups: [], positions: [], ledger: { acknowledged: [], inDoubt: [] } }
}

/** One position per group and partition: everything below the larger one was handled by one of those who report it. */
export function largestPositions(positions: readonly GroupPosition[]): GroupPosition[] {
  const merged = new Map<string, GroupPosition>()
  for (const position of positions) {
    const key = positionKey(position)
    const known = merged.get(key)
    if (!known || known.offset < position.offset) merged.set(key, position)
  }
  return [...merged.values()]
}

export const positionKey = (p: Pick<GroupPosition, 'groupId' | 'topic' | 'partition'>) =>
  JSON.stringify([p.groupId, p.topic, p.partition])

function settle(view: ControlView, settled: Settled): void {
  if (!view.settled || settled.epoch > view.settled.epoch) view.settled = settled
}

function mergeLanes(known: LaneEnd[], added: LaneEnd[]): LaneEnd[] {
  const lanes = new Map(known.map(lane => [`${lane.topic} ${lane.partition}`, lane]))
  for (const lane of added) lanes.set(`${lane.topic} ${lane.partition}`, lane)
  return [...lanes.values()]
}

/** What all control topics say together. */
export interface ServiceView {
  highestEpoch: number
  settled: Settled | undefined
  /** The move under way, if any. */
  open: MoveView | undefined
}

/** The views of the clusters that could be read, by alias. A move counts only on the cluster that it leads to. */
export function mergeViews(views: ReadonlyMap<string, ControlView>): ServiceView {
  const result: ServiceView = { highestEpoch: 0, settled: undefined, open: undefined }
  for (const [alias, view] of views) {
    result.highestEpoch = Math.max(result.highestEpoch, view.highestEpoch)
    if (view.settled && view.settled.epoch > (result.settled?.epoch ?? 0)) result.settled = view.settled
    for (const move of view.moves.values()) {
      if (move.outcome !== 'open' || move.record.to !== alias || abortedElsewhere(move, views)) continue
      if (move.record.epoch > (result.open?.record.epoch ?? 0)) result.open = move
    }
  }
  if (result.open && result.settled && result.settled.epoch >= result.open.record.epoch) result.open = undefined
  return result
}

/** Finds a move again in the views, whatever its outcome; an abort told by another cluster included. */
export function outcomeOf(
  views: ReadonlyMap<string, ControlView>,
  epoch: number,
  to: string
): Pick<MoveView, 'outcome' | 'reason'> {
  const merged = mergeViews(views)
  const move = views.get(to)?.moves.get(epoch)
  if (move && move.outcome !== 'open') return move
  const elsewhere = move && abortedElsewhere(move, views)
  if (elsewhere) return { outcome: 'aborted', reason: elsewhere.reason }
  if (merged.settled && merged.settled.epoch === epoch) return { outcome: 'joined' }
  if (merged.settled && merged.settled.epoch > epoch) return { outcome: 'superseded' }
  return { outcome: 'open' }
}

/** Moves that may have closed lanes and never came to be; none while a move is under way, which decides about them. */
export function givenUpMoves(views: ReadonlyMap<string, ControlView>): MoveRecord[] {
  const { settled, open } = mergeViews(views)
  if (open) return []
  const moves = [...views].flatMap(([alias, view]) => [...view.moves.values()].filter(m => m.record.to === alias))
  return moves
    .filter(({ record, fencing }) => fencing && record.epoch > (settled?.epoch ?? 0))
    .filter(({ record }) => outcomeOf(views, record.epoch, record.to).outcome !== 'open')
    .map(({ record }) => record)
}

/**
 * When the target is gone, the one who opened the move says `abort` on another cluster. It is the only one who could write
 * `join`, so its word is final; anybody else's abort counts only on the target.
 */
function abortedElsewhere(move: MoveView, views: ReadonlyMap<string, ControlView>): { reason: string } | undefined {
  for (const view of views.values()) {
    const abort = view.foreignAborts.get(move.record.epoch)
    if (abort?.instance === move.record.instance) return abort
  }
  return undefined
}

const unique = (values: string[]) => [...new Set(values)]
