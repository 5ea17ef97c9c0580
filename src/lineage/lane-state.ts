import { TwinlogError } from '../errors.js'
import type { GapTable } from './gap-table.js'
import { type Identity, LaneEpochs, sameIdentity } from './lane-epochs.js'
import { LaneGaps } from './lane-gaps.js'
import type { LaneEpoch } from './sequence.js'
import type { BirthEntry, CheckpointEntry, EpochEntry, GapChunk, GateEntry } from './state-values.js'

/** What the state topic says about one lane, folded record by record. Pure: feed entries, then ask. */
export class LaneState {
  readonly key: string
  readonly #epochs = new LaneEpochs()
  readonly #gaps: LaneGaps
  #birth: BirthEntry | undefined
  #gate: GateEntry | undefined
  /** The highest one of each producer id's last identity, and of those without: few. */
  #checkpoints: CheckpointEntry[] = []
  /** Who told of a new history of the source. */
  #eraWriters: Identity[] = []

  constructor(key: string) {
    this.key = key
    this.#gaps = new LaneGaps(key, this.#epochs)
  }

  get birth(): BirthEntry | undefined {
    return this.#birth
  }

  get gate(): GateEntry | undefined {
    return this.#gate
  }

  /** Identities that wrote here, oldest first; the birth's own is the first, unless the lane was born behind a fence. */
  get epochs(): readonly LaneEpoch[] {
    return this.#epochs.list
  }

  /** The identity that writes now. */
  get currentEpoch(): LaneEpoch | undefined {
    return this.epochs.at(-1)
  }

  epochOf(identity: Identity): LaneEpoch | undefined {
    return this.#epochs.find(identity)
  }

  /** Digest of the plan that counts now. */
  get currentPlan(): string {
    return this.epochs.findLast(epoch => epoch.plan !== undefined)?.plan ?? this.#birth?.planDigest ?? ''
  }

  /** The process that alone writes now; undefined: the lane is shared. */
  get owner(): string | undefined {
    return this.currentEpoch?.owner
  }

  /**
   * How far the lane was when its last identity noted it. Undefined, too, when it goes on from further down since (the target had lost
   * its end) or in a new history of the source: what was noted then says nothing about now.
   */
  get checkpoint(): CheckpointEntry | undefined {
    let best: { entry: CheckpointEntry; rank: number } | undefined
    for (const entry of this.#checkpoints) {
      const identity = identityOf(entry)
      const rank = identity ? this.#epochs.rank(identity) : 0
      // Not announced yet: what is noted under an identity counts once that is known.
      if (rank < 0) continue
      if (!best || rank > best.rank || (rank === best.rank && isHigher(entry, best.entry))) best = { entry, rank }
    }
    if (!best) return undefined
    const { entry, rank } = best
    const voidFrom = this.#epochs.voidFrom(rank)
    if (voidFrom !== undefined && voidFrom < entry.next) return undefined
    return this.#eraWriters.some(writer => this.#epochs.rank(writer) > rank) ? undefined : entry
  }

  /** The best known place: up to here the lane is on the target, below `targetEnd`. */
  get resumeFrom(): { next: bigint; targetEnd: bigint; seenTo: bigint } {
    const { checkpoint } = this
    const begun = this.epochs.findLast(({ base, targetEnd }, rank) => {
      const voidFrom = this.#epochs.voidFrom(rank)
      return targetEnd !== undefined && (voidFrom === undefined || voidFrom >= base)
    })
    if (begun?.targetEnd !== undefined && (!checkpoint || begun.base > checkpoint.next))
      return { next: begun.base, targetEnd: begun.targetEnd, seenTo: begun.seenTo ?? begun.targetEnd }
    if (checkpoint) {
      const { next, targetEnd, seenTo = targetEnd } = checkpoint
      // Nothing was written since that identity began: what it had seen then still holds.
      const since = begun?.base === next && begun.seenTo !== undefined && begun.seenTo > seenTo ? begun.seenTo : seenTo
      return { next, targetEnd, seenTo: since }
    }
    if (this.#birth) {
      const { first: next, targetEnd } = this.#birth
      return { next, targetEnd, seenTo: targetEnd }
    }
    throw new TwinlogError('TWINLOG_STATE_INVALID', `the state topic does not hold the birth of lane ${this.key}`)
  }

  /** First one wins. False when another birth was there before and says something else. */
  addBirth(birth: BirthEntry): boolean {
    if (!this.#birth) {
      this.#birth = birth
      this.#epochs.setBirth(birth)
      this.#gaps.setOrigin(birth.first)
      return true
    }
    return (
      this.#birth.first === birth.first &&
      this.#birth.producerId === birth.producerId &&
      this.#birth.epoch === birth.epoch &&
      this.#birth.planDigest === birth.planDigest
    )
  }

  /** First one wins. False when the same identity was announced before with another base or owner. */
  addEpoch(entry: EpochEntry): boolean {
    const known = this.#epochs.find(entry)
    if (known) return known.base === entry.base && known.owner === entry.owner
    this.#epochs.add(epochOf(entry))
    const newest = this.currentEpoch
    this.#gaps.epochAdded(newest && sameIdentity(newest, entry) ? entry.base : undefined)
    return true
  }

  /** That of the later identity wins, within one identity the one with the higher ordinal, then the one that has reached further. */
  addCheckpoint(entry: CheckpointEntry): void {
    const rivals = this.#checkpoints.filter(known => known.producerId === entry.producerId)
    if (
      rivals.some(
        known => (known.epoch ?? 0) > (entry.epoch ?? 0) || (known.epoch === entry.epoch && isHigher(known, entry))
      )
    )
      return
    this.#checkpoints = [...this.#checkpoints.filter(known => !rivals.includes(known)), entry]
  }

  /** Last one wins, but the late word of a move that a later one of the same service has overtaken counts no more. */
  setGate(entry: GateEntry): void {
    if (this.#gate?.service === entry.service && this.#gate.moveEpoch > entry.moveEpoch) return
    this.#gate = entry
  }

  addGaps(chunk: GapChunk): void {
    if (chunk.gaps.some(gap => gap.era !== undefined)) {
      const known = this.#eraWriters.some(writer => sameIdentity(writer, chunk))
      if (!known) this.#eraWriters.push({ producerId: chunk.producerId, epoch: chunk.epoch })
    }
    this.#gaps.add(chunk)
  }

  /** The lane's plan as far as it is written down. */
  gaps(): GapTable {
    return this.#gaps.table()
  }
}

/** Its fields and nothing else: what is told to others is written as it was announced. */
function epochOf(entry: EpochEntry): LaneEpoch {
  const { producerId, epoch, base, firstSequence, plan, owner, own, targetEnd, seenTo } = entry
  return {
    producerId,
    epoch,
    base,
    firstSequence,
    ...(plan === undefined ? {} : { plan }),
    ...(owner === undefined ? {} : { owner }),
    ...(own === undefined ? {} : { own }),
    ...(targetEnd === undefined ? {} : { targetEnd }),
    ...(seenTo === undefined ? {} : { seenTo })
  }
}

function identityOf({ producerId, epoch }: CheckpointEntry): Identity | undefined {
  return producerId === undefined || epoch === undefined ? undefined : { producerId, epoch }
}

const isHigher = (a: CheckpointEntry, b: CheckpointEntry) =>
  a.next > b.next || (a.next === b.next && a.reached > b.reached)
