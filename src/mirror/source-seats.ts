import type { FetchedPartition } from '../kafka/requests/fetch.js'
import type { ByteBudget } from './byte-budget.js'
import type { FetchSession } from './fetch-session.js'
import type { FetchedLane } from './fetched-lane.js'

const PARTITION_BYTES = 1 << 20
const FIRST_PIECE_BYTES = 256 << 10
const SHORTEST_REST_MS = 50
const LONGEST_REST_MS = 1_000
/** In case a lane's wish changed and nobody said so. */
const REVIEW_ALL_MS = 1_000
/** When lanes compete, so many turns go to those of the highest priority and one to everybody. */
const TURNS = 4

/** A lane at its fetcher. */
export interface Seat {
  readonly lane: FetchedLane
  readonly priority: number
  /** What was fetched for it is being read. */
  digesting: boolean
  /** How much of it is read at once: adapts to what its records cost. */
  pieceBytes: number
  /** Its leader answers with errors: not asked before. */
  restsUntil: number
  errors: number
  /** Where its source ended by the last answer. */
  sourceEnd: bigint
}

/** Which lanes of one source broker are asked for, kept up by looking only at lanes that something has happened to. */
export class SourceSeats {
  readonly #seats = new Map<FetchedLane, Seat>()
  readonly #byPlace = new Map<string, Seat>()
  readonly #session: FetchSession
  readonly #budget: ByteBudget
  readonly #changed = new Set<Seat>()
  /** Active, but without room: they will be back. */
  readonly #busy = new Set<Seat>()
  readonly #resting = new Set<Seat>()
  readonly #behind = new Set<Seat>()
  readonly #classes = new Map<number, number>()
  #busySince = 0
  #reviewedAllAt = 0
  #turn = 0

  constructor(o: { session: FetchSession; budget: ByteBudget }) {
    this.#session = o.session
    this.#budget = o.budget
  }

  get size(): number {
    return this.#seats.size
  }

  get lanes(): IterableIterator<FetchedLane> {
    return this.#seats.keys()
  }

  has(lane: FetchedLane): boolean {
    return this.#seats.has(lane)
  }

  /** Also for a lane that is here already and begins again: the broker tells everything about it anew. */
  add(lane: FetchedLane, priority: number): void {
    let seat = this.#seats.get(lane)
    if (!seat) {
      seat = {
        lane,
        priority,
        digesting: false,
        pieceBytes: FIRST_PIECE_BYTES,
        restsUntil: 0,
        errors: 0,
        sourceEnd: 0n
      }
      this.#seats.set(lane, seat)
      this.#byPlace.set(placeOf(lane.source.topicId, lane.source.partition), seat)
      this.#classes.set(priority, (this.#classes.get(priority) ?? 0) + 1)
    } else this.#session.askAnew(lane.source)
    this.#changed.add(seat)
  }

  remove(lane: FetchedLane): void {
    const seat = this.#seats.get(lane)
    if (!seat) return
    this.#seats.delete(lane)
    this.#byPlace.delete(placeOf(lane.source.topicId, lane.source.partition))
    const others = (this.#classes.get(seat.priority) ?? 1) - 1
    if (others > 0) this.#classes.set(seat.priority, others)
    else this.#classes.delete(seat.priority)
    for (const set of [this.#changed, this.#busy, this.#resting, this.#behind]) set.delete(seat)
    this.#session.leave(lane.source)
  }

  /** Whether another lane reads the same partition here: one session knows one position of it. */
  takes(lane: FetchedLane): boolean {
    const seat = this.#byPlace.get(placeOf(lane.source.topicId, lane.source.partition))
    return seat === undefined || seat.lane === lane
  }

  at(topicId: string, partition: number): Seat | undefined {
    return this.#byPlace.get(placeOf(topicId, partition))
  }

  /** Something about the lane may have changed. */
  touch(lane: FetchedLane): void {
    const seat = this.#seats.get(lane)
    if (seat) this.#changed.add(seat)
  }

  /** Its leader answered with an error, at once and however often one asks: leave it alone for a while, and the others go on. */
  rest(seat: Seat, now: number): void {
    seat.errors += 1
    seat.restsUntil = now + Math.min(LONGEST_REST_MS, SHORTEST_REST_MS * 2 ** (seat.errors - 1))
    this.#resting.add(seat)
    this.#changed.add(seat)
  }

  heard(seat: Seat, result: FetchedPartition): void {
    seat.errors = 0
    seat.sourceEnd = result.lastStableOffset >= 0n ? result.lastStableOffset : result.highWatermark
    if (result.records.length > 0) this.#behind.add(seat)
    this.#changed.add(seat)
  }

  /** Brings the session up to what the lanes want now. `contended`: more was there than could be had. */
  review(now: number, contended: boolean): void {
    if (now - this.#reviewedAllAt >= REVIEW_ALL_MS) {
      this.#reviewedAllAt = now
      for (const seat of this.#seats.values()) this.#changed.add(seat)
    }
    for (const seat of this.#busy) this.#changed.add(seat)
    for (const seat of this.#resting) if (seat.restsUntil <= now) this.#changed.add(seat)
    const atLeast = contended ? this.#priorityInTurn(now) : undefined
    if (atLeast !== undefined) for (const seat of this.#behind) this.#changed.add(seat)
    for (const seat of this.#changed) this.#consider(seat, now, atLeast)
    this.#changed.clear()
  }

  /** Until when something happens by itself: a rest ends, or a lane without room may have some. */
  nextMs(now: number, o: { shortest: number; longest: number }): number {
    let ms = o.longest
    // A lane is asked for again after at most twice the time that it was busy; one that stands still costs nothing in the end.
    if (this.#busy.size > 0) ms = Math.min(ms, Math.max(o.shortest, now - this.#busySince))
    for (const seat of this.#resting) ms = Math.min(ms, Math.max(o.shortest, seat.restsUntil - now))
    return ms
  }

  #consider(seat: Seat, now: number, atLeast: number | undefined): void {
    const { lane } = seat
    if (seat.restsUntil <= now) this.#resting.delete(seat)
    if (lane.position >= seat.sourceEnd) this.#behind.delete(seat)
    const wants = this.#wants(seat, now)
    if (wants && !(atLeast !== undefined && seat.priority < atLeast && this.#behind.has(seat))) {
      this.#busy.delete(seat)
      const { position: fetchOffset, leaderEpoch: lastFetchedEpoch } = lane
      this.#session.want(lane.source, { fetchOffset, lastFetchedEpoch, maxBytes: PARTITION_BYTES }, seat.priority)
      return
    }
    this.#session.leave(lane.source)
    if (!lane.active || this.#resting.has(seat)) this.#busy.delete(seat)
    else if (!this.#busy.has(seat)) {
      this.#busy.add(seat)
      this.#busySince = now
    }
  }

  #wants({ lane, digesting, restsUntil }: Seat, now: number): boolean {
    return lane.wantsFetch && !digesting && restsUntil <= now && this.#budget.mayHold(lane.bytes)
  }

  /** The highest priority of those that wait for data; from time to time nobody is put off. */
  #priorityInTurn(now: number): number | undefined {
    if (this.#classes.size < 2) return undefined
    this.#turn = (this.#turn + 1) % TURNS
    if (this.#turn === 0) return undefined
    let highest: number | undefined
    for (const seat of this.#behind) {
      if (seat.lane.position >= seat.sourceEnd || !this.#wants(seat, now)) continue
      if (highest === undefined || seat.priority > highest) highest = seat.priority
    }
    return highest
  }
}

const placeOf = (topicId: string, partition: number) => `${topicId}/${partition}`
