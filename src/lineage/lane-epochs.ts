import { birthEpoch, type LaneEpoch } from './sequence.js'
import type { BirthEntry } from './state-values.js'

/** Names an identity; a `LaneEpoch`, a chunk of gaps and a checkpoint all do. */
export interface Identity {
  producerId: bigint
  epoch: number
}

export const sameIdentity = (a: Identity, b: Identity) => a.producerId === b.producerId && a.epoch === b.epoch

/**
 * The identities that wrote to a lane, oldest first. Words about them can come late (two owners fence at once, compaction moves a
 * repeated one back), so their order is not that of arrival: within a producer id it is a fact of the broker; of two ids, the lane's
 * own follows the link's, because a lane that has taken one keeps it; otherwise the one that was announced first comes first.
 */
export class LaneEpochs {
  #first: LaneEpoch | undefined
  #announced: LaneEpoch[] = []
  #list: readonly LaneEpoch[] | undefined
  /** By rank: the lowest base of all later identities. */
  #voidFrom: readonly (bigint | undefined)[] | undefined

  get list(): readonly LaneEpoch[] {
    this.#list ??= inOrder(this.#first ? [this.#first, ...this.#announced] : this.#announced)
    return this.#list
  }

  /** An ordinary lane's first identity needs no announcement. */
  setBirth(birth: BirthEntry): void {
    this.#first = birth.epoch < 0 ? undefined : birthEpoch(birth.producerId)
    this.#changed()
  }

  find(identity: Identity): LaneEpoch | undefined {
    return this.list.find(known => sameIdentity(known, identity))
  }

  add(epoch: LaneEpoch): void {
    this.#announced.push(epoch)
    this.#changed()
  }

  /** Place of an identity among all, 0 = oldest; −1 when nobody announced it. */
  rank(identity: Identity): number {
    const newest = this.list.length - 1
    const last = this.list[newest]
    return last && sameIdentity(last, identity) ? newest : this.list.findIndex(known => sameIdentity(known, identity))
  }

  /** What the identity of this rank planned or noted at or beyond this ordinal never came to be: a later one began there. */
  voidFrom(rank: number): bigint | undefined {
    this.#voidFrom ??= lowestBehind(this.list)
    return this.#voidFrom[rank]
  }

  #changed(): void {
    this.#list = undefined
    this.#voidFrom = undefined
  }
}

function inOrder(epochs: readonly LaneEpoch[]): LaneEpoch[] {
  const groups = new Map<bigint, LaneEpoch[]>()
  for (const epoch of epochs) {
    const group = groups.get(epoch.producerId)
    if (group) group.push(epoch)
    else groups.set(epoch.producerId, [epoch])
  }
  const isOwn = (group: LaneEpoch[]) => Number(group.some(epoch => epoch.own === true))
  return [...groups.values()]
    .sort((a, b) => isOwn(a) - isOwn(b))
    .flatMap(group => group.sort((a, b) => a.epoch - b.epoch))
}

function lowestBehind(epochs: readonly LaneEpoch[]): (bigint | undefined)[] {
  const lowest: (bigint | undefined)[] = []
  let behind: bigint | undefined
  for (let rank = epochs.length - 1; rank >= 0; rank--) {
    lowest[rank] = behind
    const { base } = epochs[rank] as LaneEpoch
    if (behind === undefined || base < behind) behind = base
  }
  return lowest
}
