import { TwinlogError } from '../errors.js'
import { type Gap, GapTable } from './gap-table.js'
import { birthEpoch, type LaneEpoch } from './sequence.js'
import type { BirthEntry, CheckpointEntry, EpochEntry, GapChunk, GateEntry } from './state-values.js'

/**
 * What the state topic says about one lane, folded record by record. Pure: feed entries in offset order, then ask.
 * Gaps arrive in chunks that may overlap (a merged chunk repeats small ones, racing owners write the same), so they are kept
 * by ordinal until somebody asks for the table.
 */
export class LaneState {
  readonly key: string
  #birth: BirthEntry | undefined
  #epochs: LaneEpoch[] = []
  #checkpoint: CheckpointEntry | undefined
  #gate: GateEntry | undefined
  #chunks: GapChunk[] = []
  #table: GapTable | undefined

  constructor(key: string) {
    this.key = key
  }

  get birth(): BirthEntry | undefined {
    return this.#birth
  }

  get checkpoint(): CheckpointEntry | undefined {
    return this.#checkpoint
  }

  get gate(): GateEntry | undefined {
    return this.#gate
  }

  /** Identities that wrote here, oldest first; the birth's own is the first. */
  get epochs(): readonly LaneEpoch[] {
    if (!this.#birth) return this.#epochs
    return [birthEpoch(this.#birth.producerId), ...this.#epochs]
  }

  /** The identity that writes now. */
  get currentEpoch(): LaneEpoch | undefined {
    return this.epochs.at(-1)
  }

  /** First one wins. False when another birth was there before and says something else. */
  addBirth(birth: BirthEntry): boolean {
    if (!this.#birth) {
      this.#birth = birth
      return true
    }
    return (
      this.#birth.first === birth.first &&
      this.#birth.producerId === birth.producerId &&
      this.#birth.planDigest === birth.planDigest
    )
  }

  /** First one wins. False when the same identity was announced before with another base. */
  addEpoch(entry: EpochEntry): boolean {
    const known = this.#epochs.find(epoch => epoch.producerId === entry.producerId && epoch.epoch === entry.epoch)
    if (known) return known.base === entry.base
    const epoch = {
      producerId: entry.producerId,
      epoch: entry.epoch,
      base: entry.base,
      firstSequence: entry.firstSequence
    }
    // Words can come late (two owners fence at once, compaction moves a repeated one back); which epoch is later is a fact of the broker.
    const later = this.#epochs.findIndex(other => other.producerId === epoch.producerId && other.epoch > epoch.epoch)
    this.#epochs.splice(later < 0 ? this.#epochs.length : later, 0, epoch)
    this.#table = undefined
    return true
  }

  addCheckpoint(entry: CheckpointEntry): void {
    const known = this.#checkpoint
    if (known && (known.next > entry.next || (known.next === entry.next && known.reached > entry.reached))) return
    this.#checkpoint = entry
  }

  setGate(entry: GateEntry): void {
    this.#gate = entry
  }

  addGaps(chunk: GapChunk): void {
    this.#chunks.push(chunk)
    this.#table = undefined
  }

  /** The lane's plan as far as it is written down. */
  gaps(): GapTable {
    this.#table ??= this.#buildTable()
    return this.#table
  }

  #buildTable(): GapTable {
    if (!this.#birth) {
      throw new TwinlogError(
        'TWINLOG_STATE_INVALID',
        `the state topic has entries of lane ${this.key} but not its birth`
      )
    }
    const order = new Map(this.epochs.map((epoch, index) => [`${epoch.producerId}/${epoch.epoch}`, index]))
    const byOrdinal = new Map<bigint, Gap>()
    for (const chunk of this.#chunks) {
      const voidFrom = this.#voidFrom(order.get(`${chunk.producerId}/${chunk.epoch}`) ?? 0)
      for (const gap of chunk.gaps) {
        if (voidFrom !== undefined && gap.ordinal >= voidFrom) break
        const known = byOrdinal.get(gap.ordinal)
        if (known && known.length !== gap.length) {
          throw new TwinlogError(
            'TWINLOG_STATE_INVALID',
            `lane ${this.key}: two plans disagree about the gap at ordinal ${gap.ordinal}: ${known.length} or ${gap.length} offsets`
          )
        }
        byOrdinal.set(gap.ordinal, gap)
      }
    }
    const table = new GapTable(this.#birth.first)
    for (const gap of [...byOrdinal.values()].sort((a, b) => (a.ordinal < b.ordinal ? -1 : 1))) table.append(gap)
    if (this.#chunks.length > 1) {
      const gaps = Array.from({ length: table.size }, (_unused, index) => table.at(index))
      const epoch = this.currentEpoch ?? birthEpoch(this.#birth.producerId)
      // Kept as one chunk of the identity it now belongs to, so that later folds stay cheap.
      this.#chunks = gaps.length > 0 ? [{ producerId: epoch.producerId, epoch: epoch.epoch, gaps }] : []
    }
    return table
  }

  /** What a writer planned at or beyond the base of a later identity never came to be. */
  #voidFrom(index: number): bigint | undefined {
    let lowest: bigint | undefined
    for (const later of this.epochs.slice(index + 1))
      if (lowest === undefined || later.base < lowest) lowest = later.base
    return lowest
  }
}
