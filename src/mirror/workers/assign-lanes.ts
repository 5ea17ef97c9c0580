/** One process of the group, as it describes itself when it joins. */
export interface SharingMember {
  memberId: string
  /** Of the process; decides ties, so that the same processes get the same lanes whatever ids the broker gave them. */
  name: string
  /** The generation that `current` is from; of two that claim a lane the later one has it. −1: none. */
  generation: number
  /** Every lane that this member could copy. */
  known: ReadonlySet<string>
  /** The lanes it copies now, with their bytes per second. */
  current: ReadonlyMap<string, number>
}

interface Owner extends SharingMember {
  lanes: Set<string>
  load: number
}

/** What a lane costs though nothing flows: idle lanes are spread by number. */
const LANE_COST = 10_240
/** Lanes of unequal weight are moved only when two members differ by more than this share of the heavier one's load. */
const TOLERANCE = 0.2

/**
 * Spreads lanes over members: each lane has exactly one owner, which knows it. A lane stays where it is unless its owner
 * is gone or the balance needs it elsewhere. `remembered` holds weights of lanes whose owner is gone. Pure and independent of the
 * order of the input.
 */
export function assignLanes(
  members: readonly SharingMember[],
  remembered: ReadonlyMap<string, number> = new Map()
): Map<string, string[]> {
  const owners = members
    .map((member): Owner => ({ ...member, lanes: new Set(), load: 0 }))
    .sort((a, b) => compare(a.name, b.name) || compare(a.memberId, b.memberId))
  const cost = laneCosts(owners, remembered)
  keepClaims(owners, cost)
  placeOrphans(owners, cost)
  balance(owners, cost)
  return new Map(owners.map(owner => [owner.memberId, [...owner.lanes].sort(compare)]))
}

/**
 * The owner of the latest generation knows a lane's weight best. A lane without an owner weighs what it was last known to
 * weigh, else as much as the average one: the lanes of a busy member that died must not all end up with one of the others.
 */
function laneCosts(owners: readonly Owner[], remembered: ReadonlyMap<string, number>): Map<string, number> {
  const cost = new Map<string, number>()
  for (const owner of [...owners].sort((a, b) => a.generation - b.generation)) {
    for (const [lane, weight] of owner.current) cost.set(lane, LANE_COST + Math.round(weight))
  }
  let sum = 0
  for (const value of cost.values()) sum += value
  const average = cost.size === 0 ? LANE_COST : Math.round(sum / cost.size)
  const known = new Map<string, number>()
  for (const owner of owners) {
    for (const lane of owner.known) {
      if (known.has(lane)) continue
      const before = remembered.get(lane)
      known.set(lane, cost.get(lane) ?? (before === undefined ? average : LANE_COST + Math.round(before)))
    }
  }
  return known
}

function keepClaims(owners: readonly Owner[], cost: ReadonlyMap<string, number>): void {
  const kept = new Set<string>()
  for (const owner of [...owners].sort((a, b) => b.generation - a.generation)) {
    for (const lane of owner.current.keys()) {
      if (kept.has(lane) || !owner.known.has(lane)) continue
      kept.add(lane)
      give(owner, lane, cost)
    }
  }
}

function placeOrphans(owners: readonly Owner[], cost: ReadonlyMap<string, number>): void {
  const placed = new Set<string>()
  for (const owner of owners) for (const lane of owner.lanes) placed.add(lane)
  const orphans = [...cost.keys()]
    .filter(lane => !placed.has(lane))
    .sort(byCost(cost))
    .reverse()
  for (const lane of orphans) {
    let lightest: Owner | undefined
    for (const owner of owners) {
      if (owner.known.has(lane) && (lightest === undefined || owner.load < lightest.load)) lightest = owner
    }
    if (lightest !== undefined) give(lightest, lane, cost)
  }
}

/** Moves single lanes from heavier to lighter members until no move makes two members more alike. */
function balance(owners: Owner[], cost: ReadonlyMap<string, number>): void {
  const spread = costSpread(cost)
  const sorted = new Map(owners.map(owner => [owner, [...owner.lanes].sort(byCost(cost))]))
  // Each move lowers the sum of the squares of the loads, so this ends; the bound is for a mistake in that thought.
  for (let moves = cost.size * 4; moves > 0; moves--) {
    const move = bestMove(owners, sorted, cost, spread)
    if (move === undefined) return
    const { from, to, lane } = move
    from.lanes.delete(lane)
    from.load -= cost.get(lane) ?? 0
    sorted.get(from)?.splice(move.index, 1)
    give(to, lane, cost)
    const lanes = sorted.get(to) ?? []
    lanes.splice(firstAtLeast(lanes, lane, byCost(cost)), 0, lane)
  }
}

interface Move {
  from: Owner
  to: Owner
  lane: string
  index: number
}

function bestMove(
  owners: readonly Owner[],
  sorted: ReadonlyMap<Owner, string[]>,
  cost: ReadonlyMap<string, number>,
  spread: number
): Move | undefined {
  const byLoad = [...owners].sort((a, b) => a.load - b.load)
  for (const from of [...byLoad].reverse()) {
    for (const to of byLoad) {
      const gap = from.load - to.load
      // Where all lanes weigh the same, a single lane of difference counts; where they don't, weights are never measured twice alike.
      if (gap <= 0 || gap <= TOLERANCE * spread * from.load) break
      const lanes = sorted.get(from) ?? []
      const index = bestLane(lanes, to, gap, cost)
      const lane = index === undefined ? undefined : lanes[index]
      if (index !== undefined && lane !== undefined) return { from, to, lane, index }
    }
  }
  return undefined
}

/** The lane whose move comes nearest to closing the gap; none if every move would only swap the roles. */
function bestLane(
  lanes: readonly string[],
  to: Owner,
  gap: number,
  cost: ReadonlyMap<string, number>
): number | undefined {
  const costAt = (index: number) => cost.get(lanes[index] ?? '') ?? 0
  let above = 0
  for (let high = lanes.length; above < high; ) {
    const middle = (above + high) >>> 1
    if (costAt(middle) <= gap / 2) above = middle + 1
    else high = middle
  }
  let below = above - 1
  while (below >= 0 && !to.known.has(lanes[below] ?? '')) below--
  while (above < lanes.length && costAt(above) < gap && !to.known.has(lanes[above] ?? '')) above++
  const aboveFits = above < lanes.length && costAt(above) < gap
  if (below < 0) return aboveFits ? above : undefined
  if (!aboveFits) return below
  return gap / 2 - costAt(below) <= costAt(above) - gap / 2 ? below : above
}

/** 0: all lanes weigh the same; near 1: some weigh a lot more than others. */
function costSpread(cost: ReadonlyMap<string, number>): number {
  let least = Number.POSITIVE_INFINITY
  let most = 0
  for (const value of cost.values()) {
    least = Math.min(least, value)
    most = Math.max(most, value)
  }
  return most === 0 ? 0 : 1 - least / most
}

function give(owner: Owner, lane: string, cost: ReadonlyMap<string, number>): void {
  owner.lanes.add(lane)
  owner.load += cost.get(lane) ?? 0
}

function firstAtLeast(lanes: readonly string[], lane: string, order: (a: string, b: string) => number): number {
  let low = 0
  for (let high = lanes.length; low < high; ) {
    const middle = (low + high) >>> 1
    if (order(lanes[middle] ?? '', lane) < 0) low = middle + 1
    else high = middle
  }
  return low
}

const byCost = (cost: ReadonlyMap<string, number>) => (a: string, b: string) =>
  (cost.get(a) ?? 0) - (cost.get(b) ?? 0) || compare(a, b)

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
