import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { TwinlogError } from '../../../src/errors.js'
import type { Lane } from '../../../src/mirror/lane.js'
import type { Send } from '../../../src/mirror/lane-buffer.js'
import type { Segment } from '../../../src/records/types.js'
import { cut, DAY_MS, EPOCH, LaneBench as Bench } from './lane-bench.js'

/** One batch is acknowledged, two are on their way. */
function underWay(): { bench: Bench; second: Send; third: Send } {
  const bench = new Bench().begin().fetch(3)
  bench.appended(bench.send()[0], 100n)
  const [second, third] = bench.send() as [Send, Send]
  return { bench, second, third }
}

describe('the pipeline of a lane', () => {
  it('sends one batch until the first success, then five', () => {
    const bench = new Bench().begin().fetch(9)
    const [first, ...others] = bench.send()
    expect(others).toEqual([])
    bench.appended(first, 100n)
    expect(bench.send().map(({ first: ordinal }) => ordinal)).toEqual([2n, 4n, 6n, 8n, 10n])
  })

  it('sends one again over a new connection, and after a recovery', () => {
    const { bench, second, third } = underWay()
    bench.appended(second, 102n)
    bench.appended(third, 104n)
    bench.fetch(3)
    bench.lane.connectionChanged()
    const [alone, ...others] = bench.send()
    expect(others).toEqual([])
    bench.lane.unanswered(alone as Send, cut())
    expect(bench.host.recoveries).toHaveLength(1)
    bench.begin({ next: 6n, targetEnd: 106n })
    expect(bench.send()).toHaveLength(1)
  })

  it('sends what a paused lane had fetched, but fetches nothing', () => {
    const bench = new Bench().begin().fetch(3)
    bench.lane.pause()
    expect([bench.lane.state, bench.lane.wantsFetch]).toEqual(['paused', false])
    bench.appended(bench.send()[0], 100n)
    expect(bench.send()).toHaveLength(2)
    bench.lane.resume()
    expect([bench.lane.state, bench.lane.wantsFetch]).toEqual(['copying', true])
  })

  it('does not call itself caught up before the source has told where it ends', () => {
    const bench = new Bench().begin()
    expect(bench.lane.state).toBe('copying')
    bench.lane.read(bench.answer(0), 0n)
    expect(bench.lane.state).toBe('caught-up')
  })

  it('asks the target for a paused lane too when its broker is gone or nobody leads it', () => {
    const bench = new Bench()
    bench.lane.pause()
    bench.begin()
    expect(bench.lane.state).toBe('paused')
    bench.lane.unreachable(cut())
    expect(bench.host.recoveries).toHaveLength(1)
    bench.begin()
    expect(bench.lane.state).toBe('paused')
  })
})

describe('what a checkpoint of a lane says', () => {
  it('moves ordinal and target end together', () => {
    const { bench, second } = underWay()
    expect(bench.pair).toEqual({ next: 2n, targetEnd: 102n })
    bench.appended(second, 110n)
    expect(bench.pair).toEqual({ next: 4n, targetEnd: 112n })
  })

  it('moves them together also for an answer that comes while the lane waits for its recovery', () => {
    // Symptom: the checkpoint held the ordinal of this answer and the target end of the one before.
    const { bench, second, third } = underWay()
    bench.lane.unanswered(third, cut())
    expect(bench.host.recoveries).toEqual([])
    bench.appended(second, 102n)
    expect(bench.pair).toEqual({ next: 4n, targetEnd: 104n })
    expect(bench.host.recoveries).toHaveLength(1)
  })

  it('moves neither for an answer behind a send whose fate is unknown', () => {
    const { bench, second, third } = underWay()
    bench.lane.unanswered(second, cut())
    bench.appended(third, 104n)
    expect(bench.pair).toEqual({ next: 2n, targetEnd: 102n })
  })

  it.each<[string, (lane: Lane) => void]>([
    ['failed', lane => lane.fail(cut())],
    ['stopped', lane => lane.stop()],
    [
      'blocked',
      lane => {
        lane.unreachable(cut())
        lane.blocked(cut())
      }
    ]
  ])('stays at the acknowledged end when a %s lane lets go of its memory', (_name, end) => {
    // Dropped batches were never written: a checkpoint behind them would lose them.
    const bench = new Bench().begin().fetch(4)
    bench.appended(bench.send()[0], 100n)
    end(bench.lane)
    expect(bench.pair).toEqual({ next: 2n, targetEnd: 102n })
    expect(bench.lane.reached).toBe(2n)
  })

  it('stays there while the answers of a failed lane come in', () => {
    const { bench, second, third } = underWay()
    bench.refused(second, 29)
    expect(bench.lane.state).toBe('failed')
    expect(bench.pair).toEqual({ next: 2n, targetEnd: 102n })
    bench.refused(third, 45)
    expect(bench.pair).toEqual({ next: 2n, targetEnd: 102n })
    expect(bench.lane.reached).toBe(2n)
  })
})

describe('an answer of the source', () => {
  it('to an older question is ignored, errors included', () => {
    const bench = new Bench().begin().fetch(2)
    expect(bench.lane.read(bench.answer(1), 0n)).toBeUndefined()
    expect(bench.lane.read(bench.answer(0, { errorCode: 1 }), 0n)).toBeUndefined()
    expect(bench.lane.read(bench.answer(0, { errorCode: 29 }), 0n)).toBeUndefined()
    expect([bench.lane.state, bench.host.outOfRange]).toEqual(['copying', 0])
    expect(bench.lane.status().sourceEnd).toBe(4n)
  })

  it('that says out of range makes the lane ask, not fail', () => {
    const bench = new Bench().begin()
    bench.lane.read(bench.answer(0, { errorCode: 1 }), 0n)
    expect([bench.lane.state, bench.host.outOfRange]).toEqual(['copying', 1])
  })

  it('is not planned when the lane went on elsewhere while a codec was loaded', () => {
    const bench = new Bench().begin()
    const segments = bench.lane.read(bench.answer(2), 0n) as Segment[]
    bench.lane.unreachable(cut())
    bench.begin({ next: 6n, targetEnd: 106n })
    void bench.lane.ingest(segments)
    expect([bench.lane.active, bench.lane.position, bench.lane.peek()]).toEqual([true, 6n, undefined])
  })

  it('is not planned while the target is asked', () => {
    const bench = new Bench().begin()
    const segments = bench.lane.read(bench.answer(2), 0n) as Segment[]
    bench.lane.unreachable(cut())
    void bench.lane.ingest(segments)
    expect([bench.lane.position, bench.lane.bytes]).toEqual([0n, 0])
  })
})

describe('a lane stops for good', () => {
  it('when the target appends below what was written: it is another log', () => {
    const { bench, second } = underWay()
    bench.appended(second, 101n)
    expect(bench.lane.error).toMatchObject({ code: 'TWINLOG_TRUNCATED', offset: 101n })
    expect([bench.lane.state, bench.pair]).toEqual(['failed', { next: 2n, targetEnd: 102n }])
  })

  it('but not when it names the place of a repetition', () => {
    const { bench, second } = underWay()
    bench.appended(second, 50n, { logAppendTimeMs: 7n })
    expect(bench.lane.state).not.toBe('failed')
  })

  it('when the target goes on before what it had acknowledged', () => {
    const { bench, second, third } = underWay()
    bench.lane.unanswered(second, cut())
    bench.lane.unanswered(third, cut())
    bench.begin({ next: 1n, targetEnd: 101n })
    expect([bench.lane.state, bench.lane.error?.code]).toEqual(['failed', 'TWINLOG_TRUNCATED'])
  })

  it('when the same sequence is refused more than three times although nothing changed, and says what it knows', () => {
    const bench = new Bench().begin().fetch(1)
    for (let time = 1; time <= 3; time++) {
      bench.refused(bench.send()[0], 45)
      expect(bench.host.recoveries).toHaveLength(time)
      bench.begin()
    }
    bench.refused(bench.send()[0], 45)
    expect(bench.lane.state).toBe('failed')
    expect(bench.lane.error).toMatchObject({ code: 'TWINLOG_POSITION_UNKNOWN', kafkaCode: 45 })
    expect(bench.lane.error?.message).toMatch(/4 times.*next ordinal 0, target end 100, producer 70 epoch 0/)
  })

  it('but a refusal after progress counts anew', () => {
    const bench = new Bench().begin().fetch(9)
    for (let time = 0; time < 8; time++) {
      const next = BigInt(time)
      bench.refused(bench.send()[0], 45)
      bench.begin({ next, targetEnd: 100n + next })
    }
    expect(bench.lane.state).toBe('copying')
  })

  it.each<[string, (lane: Lane) => void]>([
    ['failed', lane => lane.fail(cut())],
    ['stopped', lane => lane.stop()]
  ])('a recovery that comes back to a %s lane changes nothing', (state, end) => {
    const bench = new Bench().begin().fetch(2)
    bench.lane.unreachable(cut())
    end(bench.lane)
    const { kicks } = bench.host
    const pair = bench.pair
    bench.begin({ next: 4n, targetEnd: 104n })
    expect([bench.lane.state, bench.lane.wantsFetch, bench.lane.peek()]).toEqual([state, false, undefined])
    expect([bench.fromStateCalls, bench.host.kicks, bench.pair]).toEqual([1, kicks, pair])
  })

  it('a stopped lane keeps its reason when something of it fails later', () => {
    const bench = new Bench().begin()
    const closed = new TwinlogError('TWINLOG_FENCED', 'closed by a move')
    bench.lane.stop(closed.message, closed)
    bench.lane.fail(cut())
    expect([bench.lane.state, bench.lane.error, bench.lane.status().why]).toEqual(['stopped', closed, closed.message])
  })
})

describe('the memory of a lane', () => {
  it('is planned anew under another identity: gaps of the old one are void', async () => {
    const bench = new Bench().begin()
    await bench.fetchLater(1, { skip: 3n })
    expect(bench.host.gaps).toEqual([{ epoch: EPOCH, gaps: [{ ordinal: 0n, from: 0n, length: 3n }] }])
    await vi.waitFor(() => expect(bench.lane.peek()).toBeDefined())
    bench.lane.unreachable(cut())
    const later = { producerId: 70n, epoch: 1, base: 0n, firstSequence: 0 }
    bench.begin({ epoch: later })
    expect([bench.fromStateCalls, bench.lane.position, bench.lane.peek()]).toEqual([2, 0n, undefined])
    await bench.fetchLater(1, { skip: 3n })
    expect(bench.host.gaps[1]).toEqual({ epoch: later, gaps: [{ ordinal: 0n, from: 0n, length: 3n }] })
  })

  it('is sent again, not fetched again, under the same one', () => {
    const { bench, second, third } = underWay()
    bench.lane.unanswered(second, cut())
    bench.lane.unanswered(third, cut())
    bench.begin({ next: 4n, targetEnd: 104n })
    expect(bench.fromStateCalls).toBe(1)
    expect(bench.send().map(send => send.first)).toEqual([4n])
  })

  it.each<[string, (lane: Lane) => void]>([
    ['failed', lane => lane.fail(cut())],
    ['stopped', lane => lane.stop()],
    [
      'waiting',
      lane => {
        lane.unreachable(cut())
        lane.blocked(cut())
      }
    ]
  ])('is given up by a %s lane', (state, end) => {
    const bench = new Bench().begin().fetch(4)
    bench.appended(bench.send()[0], 100n)
    expect(bench.lane.bytes).toBeGreaterThan(0)
    end(bench.lane)
    expect([bench.lane.state, bench.lane.bytes, bench.lane.heldCodecs()]).toEqual([state, 0, []])
  })

  it.each<[string, (bench: Bench, send: Send) => void]>([
    ['acknowledged', (bench, send) => bench.appended(send, send.first + 100n)],
    ['refused', (bench, send) => bench.refused(send, 45)],
    ['never answered', (bench, send) => bench.lane.unanswered(send, cut())]
  ])('is given up by a failed lane when what was on its way is %s', (_name, settle) => {
    // Symptom: batches of failed lanes counted against the memory of all others for ever.
    const { bench, second, third } = underWay()
    bench.lane.fail(cut())
    expect(bench.lane.settled).toBe(false)
    expect(bench.lane.bytes).toBe(second.batch.bytes.length + third.batch.bytes.length)
    settle(bench, second)
    settle(bench, third)
    expect([bench.lane.settled, bench.lane.drained, bench.lane.bytes]).toEqual([true, true, 0])
    expect(bench.host.recoveries).toEqual([])
  })
})

describe('a lane that stands by', () => {
  it('still does after it was paused and resumed: nobody else would start it when its owner is gone', () => {
    const bench = new Bench()
    bench.lane.standBy('process x copies it')
    expect([bench.lane.standsBy, bench.lane.state]).toEqual([true, 'waiting'])
    bench.lane.pause()
    bench.lane.resume()
    expect(bench.lane.standsBy).toBe(true)
    bench.begin()
    expect([bench.lane.standsBy, bench.lane.state]).toEqual([false, 'copying'])
  })
})

describe('a lane that cannot start', () => {
  it('shows as waiting and says for what; when it can, it copies on', () => {
    const bench = new Bench().begin().fetch(4)
    bench.appended(bench.send()[0], 100n)
    bench.lane.unreachable(cut())
    bench.lane.blocked(new TwinlogError('TWINLOG_UNREACHABLE', 'nobody leads', { retriable: true }))
    expect(bench.lane.status()).toMatchObject({ state: 'waiting', why: 'nobody leads' })
    expect([bench.lane.wantsFetch, bench.lane.peek()]).toEqual([false, undefined])
    bench.begin({ next: 2n, targetEnd: 102n })
    expect([bench.lane.state, bench.lane.error, bench.lane.status().why]).toEqual(['copying', undefined, undefined])
    expect([bench.lane.position, bench.lane.wantsFetch]).toEqual([2n, true])
  })

  it('does not wait when it copies, failed or was stopped in the meantime', () => {
    const bench = new Bench().begin()
    bench.lane.blocked(cut())
    expect(bench.lane.state).toBe('copying')
    bench.lane.stop()
    bench.lane.blocked(cut())
    expect(bench.lane.state).toBe('stopped')
  })
})

describe('a target that forgets who wrote', () => {
  beforeEach(() => void vi.useFakeTimers({ now: 1_700_000_000_000 }))
  afterEach(() => void vi.useRealTimers())

  /** Two batches acknowledged, the second one with time stamps this old; five more are ready. */
  function copied(ageMs: number): Bench {
    const bench = new Bench().begin().fetch(1)
    bench.appended(bench.send()[0], 100n)
    bench.fetch(1, { timestampMs: Date.now() - ageMs })
    bench.appended(bench.send()[0], 102n)
    return bench.fetch(5)
  }

  it('gets one batch at a time while the last one acknowledged bears an old time stamp', () => {
    const bench = copied(0.8 * DAY_MS)
    expect(bench.send()).toHaveLength(1)
    expect(copied(0.7 * DAY_MS).send()).toHaveLength(5)
  })

  it('is asked before the next batch when it was not heard for a minute', () => {
    const bench = copied(0.8 * DAY_MS)
    vi.advanceTimersByTime(59_000)
    expect(bench.lane.peek()).toBeDefined()
    vi.advanceTimersByTime(2_000)
    expect(bench.lane.peek()).toBeUndefined()
    expect(bench.host.recoveries).toMatchObject([{ code: 'TWINLOG_POSITION_UNKNOWN' }])
    bench.begin({ next: 4n, targetEnd: 104n })
    expect(bench.send()).toHaveLength(1)
  })

  it('is not asked while it answers, however long that goes on', () => {
    const bench = copied(0)
    const send = bench.lane.take()
    vi.advanceTimersByTime(40 * 60_000)
    bench.appended(send, 104n)
    vi.advanceTimersByTime(40 * 60_000)
    expect(bench.lane.peek()).toBeDefined()
  })

  it('is asked only once everything on its way has arrived', () => {
    const bench = copied(0)
    const send = bench.lane.take()
    vi.advanceTimersByTime(61 * 60_000)
    expect(bench.lane.peek()).toBeUndefined()
    expect(bench.host.recoveries).toEqual([])
    bench.appended(send, 104n)
    expect(bench.lane.peek()).toBeDefined()
    expect(bench.host.recoveries).toEqual([])
  })

  it('is asked after an hour of silence, however young the records are', () => {
    // A fence's marker may have been forgotten meanwhile: the broker would take our next batch for a continuation.
    const bench = copied(0)
    vi.advanceTimersByTime(59 * 60_000)
    expect(bench.lane.peek()).toBeDefined()
    vi.advanceTimersByTime(2 * 60_000)
    expect(bench.lane.peek()).toBeUndefined()
    expect(bench.host.recoveries).toHaveLength(1)
  })
})
