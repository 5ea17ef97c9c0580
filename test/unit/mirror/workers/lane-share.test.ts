import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { TwinlogError } from '../../../../src/errors.js'
import { LaneShare } from '../../../../src/mirror/workers/lane-share.js'
import { FakeCluster, FakeCoordinator } from './fake-coordinator.js'

const silent = { debug() {}, info() {}, warn() {}, error() {} }
const lanesOf = (count: number, topic = 't') => Array.from({ length: count }, (_, partition) => `${topic}/${partition}`)

interface Process {
  name: string
  share: LaneShare
  cluster: FakeCluster
  /** Every set of lanes it was given. */
  given: string[][]
  problems: TwinlogError[]
  started: Promise<'alone' | 'joined'>
}

let coordinator: FakeCoordinator
let processes: Process[]

beforeEach(() => {
  vi.useFakeTimers()
  coordinator = new FakeCoordinator()
  processes = []
})

afterEach(async () => {
  for (const { share, cluster } of processes) {
    cluster.thaw()
    const stopped = share.stop()
    await vi.advanceTimersByTimeAsync(1_000)
    await stopped
  }
  vi.useRealTimers()
})

function begin(name: string, lanes: string[], weightOf?: (lane: string) => number): Process {
  const cluster = new FakeCluster(coordinator)
  const given: string[][] = []
  const problems: TwinlogError[] = []
  const share = new LaneShare({
    cluster,
    group: 'g',
    memberName: name,
    logger: silent,
    weightOf,
    onAssigned: ids => given.push([...ids].sort()),
    onProblem: error => problems.push(error)
  })
  share.setLanes(lanes)
  const started = share.start()
  started.catch(() => undefined)
  const process = { name, share, cluster, given, problems, started }
  processes.push(process)
  return process
}

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms)
const lanesNow = (process: Process) => [...(process.share.assigned ?? [])].sort()
const counts = (...list: Process[]) => list.map(process => process.share.assigned?.size)

/** Every lane has exactly one owner among these. */
function expectShared(lanes: string[], ...list: Process[]): void {
  expect(list.flatMap(lanesNow).sort()).toEqual([...lanes].sort())
}

async function three(count = 30): Promise<[Process, Process, Process, string[]]> {
  const lanes = lanesOf(count)
  const a = begin('a', lanes)
  const b = begin('b', lanes)
  const c = begin('c', lanes)
  await pass(10_000)
  return [a, b, c, lanes]
}

describe('starting', () => {
  it("says `alone` at once in an empty group, and joins behind the broker's delay", async () => {
    const a = begin('a', lanesOf(4))
    await pass(10)
    expect(await a.started).toBe('alone')
    expect(a.share.assigned).toBeUndefined()
    expect(await a.share.confirm()).toBe(false)
    await pass(3_100)
    expect(lanesNow(a)).toEqual(lanesOf(4))
    expect([a.share.isLeader, a.share.members()]).toEqual([true, 1])
  })

  it('says `joined` with the first lanes where somebody is in the group', async () => {
    const a = begin('a', lanesOf(10))
    await pass(4_000)
    const b = begin('b', lanesOf(10))
    await pass(2_000)
    expect(await b.started).toBe('joined')
    expect(b.given.length).toBe(1)
    expect(counts(a, b)).toEqual([5, 5])
    expect([a.share.members(), b.share.members(), b.share.isLeader]).toEqual([2, 2, false])
  })

  it('gives up after 20 s, leaves nothing running and can be called again', async () => {
    coordinator.failWith.set('DescribeGroups', 15)
    const a = begin('a', lanesOf(2))
    await pass(20_100)
    await expect(a.started).rejects.toMatchObject({ code: 'TWINLOG_TIMEOUT', retriable: true })
    const requests = coordinator.seen.length
    await pass(10_000)
    expect(coordinator.seen.length - requests).toBeLessThanOrEqual(1)
    coordinator.failWith.clear()
    const again = a.share.start()
    await pass(4_000)
    expect(await again).toBe('alone')
    expect(lanesNow(a)).toEqual(lanesOf(2))
  })

  it('refuses a group that consumers are in', async () => {
    coordinator.protocolType = 'consumer'
    coordinator.state = 'Stable'
    const a = begin('a', lanesOf(2))
    await pass(100)
    await expect(a.started).rejects.toMatchObject({ code: 'TWINLOG_INVALID_STATE', retriable: false })
    await expect(a.started).rejects.toThrow('group "g" can\'t be the mirrors\' group: consumers are')
    expect(coordinator.seen).toEqual(['DescribeGroups'])
  })

  it('refuses an empty group that consumers used', async () => {
    coordinator.protocolType = 'consumer'
    const a = begin('a', lanesOf(2))
    await pass(100)
    await expect(a.started).rejects.toMatchObject({ code: 'TWINLOG_INVALID_STATE' })
  })

  it('refuses a group that looks absent and holds offsets', async () => {
    coordinator.committed = ['orders']
    const a = begin('a', lanesOf(2))
    await pass(100)
    await expect(a.started).rejects.toMatchObject({ code: 'TWINLOG_INVALID_STATE' })
    await expect(a.started).rejects.toThrow('of topic "orders"')
    expect(coordinator.seen).not.toContain('JoinGroup')
  })

  it('refuses a group of the new consumer protocol, which only looks empty', async () => {
    coordinator.failWith.set('JoinGroup', 23)
    const a = begin('a', lanesOf(2))
    await pass(100)
    await expect(a.started).rejects.toMatchObject({ code: 'TWINLOG_INVALID_STATE' })
    await expect(a.started).rejects.toThrow('"g"')
    expect(a.cluster.open).toBe(0)
  })

  it('an exception out of onAssigned is a problem, not the end of the membership', async () => {
    const a = begin('a', lanesOf(2))
    await pass(4_000)
    a.given.push = () => {
      throw new Error('mine')
    }
    a.share.setLanes(lanesOf(3))
    await pass(2_000)
    expect(a.problems).toMatchObject([{ code: 'TWINLOG_INTERNAL' }])
    await pass(10_000)
    expect(await a.share.confirm()).toBe(true)
    expect(coordinator.members.size).toBe(1)
  })

  it('says that it may not', async () => {
    coordinator.failWith.set('JoinGroup', 30)
    const a = begin('a', lanesOf(2))
    await pass(100)
    await expect(a.started).rejects.toMatchObject({ code: 'TWINLOG_UNAUTHORIZED', kafkaCode: 30 })
  })

  it('takes a longer session where the broker insists on one', async () => {
    coordinator.minSessionTimeoutMs = 20_000
    const a = begin('a', lanesOf(2))
    await pass(4_000)
    expect(lanesNow(a)).toEqual(lanesOf(2))
    expect([...coordinator.members.values()][0]?.sessionTimeoutMs).toBe(30_000)
  })

  it('can be stopped before it has joined', async () => {
    const a = begin('a', lanesOf(2))
    await pass(500)
    const stopped = a.share.stop()
    await pass(10)
    await stopped
    await pass(10_000)
    expect([coordinator.members.size, a.cluster.open, a.given.length]).toEqual([0, 0, 0])
  })
})

describe('sharing', () => {
  it('gives three members a third each, and nothing moves afterwards', async () => {
    const [a, b, c, lanes] = await three()
    expectShared(lanes, a, b, c)
    expect(counts(a, b, c)).toEqual([10, 10, 10])
    const { generation } = coordinator
    await pass(60_000)
    expect(coordinator.generation).toBe(generation)
    expect([a, b, c].flatMap(({ problems }) => problems)).toEqual([])
  })

  it('moves only the lanes of a member that leaves, within a heartbeat', async () => {
    const [a, b, c, lanes] = await three()
    const before = [lanesNow(a), lanesNow(b)]
    const stopped = c.share.stop()
    await pass(2_000)
    await stopped
    expectShared(lanes, a, b)
    expect(lanesNow(a)).toEqual(expect.arrayContaining(before[0] ?? []))
    expect(lanesNow(b)).toEqual(expect.arrayContaining(before[1] ?? []))
  })

  it('moves the lanes of a dead member when its session is over', async () => {
    const [a, b, c, lanes] = await three()
    const before = [lanesNow(b), lanesNow(c)]
    a.cluster.mode = 'dead'
    await pass(4_000)
    expect(coordinator.members.size).toBe(3)
    await pass(4_000)
    expectShared(lanes, b, c)
    expect(lanesNow(b)).toEqual(expect.arrayContaining(before[0] ?? []))
    expect(lanesNow(c)).toEqual(expect.arrayContaining(before[1] ?? []))
    expect([b.share.isLeader, c.share.isLeader]).toContain(true)
  })

  it('gives a new member its share and moves nothing else', async () => {
    const [a, b, c, lanes] = await three()
    const before = [a, b, c].map(lanesNow)
    const d = begin('d', lanes)
    await pass(4_000)
    expectShared(lanes, a, b, c, d)
    expect(d.share.assigned?.size).toBe(7)
    for (const [index, process] of [a, b, c].entries()) {
      expect(before[index]).toEqual(expect.arrayContaining(lanesNow(process)))
    }
  })

  it('a frozen member learns after its thaw that it is out, keeps its lanes meanwhile and joins again', async () => {
    const [a, b, c, lanes] = await three()
    const before = lanesNow(c)
    c.cluster.freeze()
    await pass(20_000)
    expectShared(lanes, a, b)
    const dealt = c.given.length
    coordinator.seen.length = 0
    c.cluster.thaw()
    await pass(1)
    expect(coordinator.seen[0]).toBe('Heartbeat')
    expect(lanesNow(c)).toEqual(before)
    expect(await c.share.confirm()).toBe(false)
    await pass(4_000)
    expectShared(lanes, a, b, c)
    expect(counts(a, b, c)).toEqual([10, 10, 10])
    expect(c.given.length).toBe(dealt + 1)
    expect(await c.share.confirm()).toBe(true)
  })

  it('a short freeze costs nothing', async () => {
    const [a, b, c] = await three()
    const { generation } = coordinator
    b.cluster.freeze()
    await pass(4_000)
    b.cluster.thaw()
    await pass(10_000)
    expect(coordinator.generation).toBe(generation)
    expect([a, b, c].flatMap(({ problems }) => problems)).toEqual([])
  })

  it('weighs lanes by what flows through them', async () => {
    const lanes = lanesOf(12)
    const heavy = new Set(['t/0', 't/1', 't/2'])
    const weightOf = (lane: string) => (heavy.has(lane) ? 10_000_000 : 0)
    const a = begin('a', lanes, weightOf)
    await pass(4_000)
    const b = begin('b', lanes, weightOf)
    const c = begin('c', lanes, weightOf)
    await pass(6_000)
    expectShared(lanes, a, b, c)
    const shares = [a, b, c].map(process => lanesNow(process).filter(lane => heavy.has(lane)).length)
    expect(shares).toEqual([1, 1, 1])
  })

  it('rejoins for new lanes once a second at most, and gives a lane only to who knows it', async () => {
    const [a, b, c, lanes] = await three()
    const { generation } = coordinator
    for (let more = 1; more <= 5; more++) {
      b.share.setLanes([...lanes, ...lanesOf(more, 'mine')])
      await pass(150)
    }
    await pass(6_000)
    expectShared([...lanes, ...lanesOf(5, 'mine')], a, b, c)
    expect(lanesNow(b)).toEqual(expect.arrayContaining(lanesOf(5, 'mine')))
    expect(coordinator.generation - generation).toBeLessThanOrEqual(2)
  })

  it('a lane that everybody has lost belongs to nobody', async () => {
    const [a, b, c, lanes] = await three(6)
    for (const { share } of [a, b, c]) share.setLanes(lanes.slice(1))
    await pass(6_000)
    expectShared(lanes.slice(1), a, b, c)
  })

  it('an unreadable member gets nothing, the others everything', async () => {
    const [a, b, c, lanes] = await three(6)
    const stranger = [...coordinator.members.values()].find(member => member.id !== coordinator.leader)
    if (stranger === undefined) throw new Error('no member')
    const dealt = [a, b, c].map(({ given }) => given.length)
    const join = coordinator.handle.bind(coordinator)
    coordinator.handle = (name, body) => {
      const answer = join(name, body)
      stranger.metadata = Buffer.from('07', 'hex')
      return answer
    }
    a.share.setLanes([...lanes, 'u/0'])
    await pass(4_000)
    const leader = [a, b, c].find(({ share }) => share.isLeader)
    expect(leader?.problems[0]).toMatchObject({ code: 'TWINLOG_PROTOCOL' })
    expect([a, b, c].filter(({ share }) => share.assigned?.size === 0).length).toBe(1)
    expect(dealt.every(times => times > 0)).toBe(true)
  })
})

it('an unreadable assignment leaves the lanes of before, and they are not confirmed', async () => {
  const [a, , , lanes] = await three(6)
  const before = lanesNow(a)
  coordinator.garble = true
  a.share.setLanes([...lanes, 'u/0'])
  await pass(6_000)
  expect(a.problems).toMatchObject([{ code: 'TWINLOG_PROTOCOL' }])
  expect(lanesNow(a)).toEqual(before)
  expect(await a.share.confirm()).toBe(false)
  coordinator.garble = false
  a.share.setLanes([...lanes, 'u/0', 'u/1'])
  await pass(6_000)
  expect(await a.share.confirm()).toBe(true)
})

describe('the coordinator', () => {
  it('moves to another broker without a rebalance', async () => {
    const [a, b, c, lanes] = await three()
    const { generation } = coordinator
    coordinator.node = 2
    await pass(10_000)
    expect(coordinator.generation).toBe(generation)
    expectShared(lanes, a, b, c)
    expect(await a.share.confirm()).toBe(true)
    expect([a, b, c].flatMap(({ problems }) => problems)).toEqual([])
  })

  it('is lost for a while: everybody keeps the lanes and says it once', async () => {
    const [a, b, c, lanes] = await three()
    coordinator.up = false
    for (const { cluster } of [a, b, c]) cluster.cut()
    await pass(3_000)
    expect(a.problems).toEqual([])
    await pass(30_000)
    expectShared(lanes, a, b, c)
    expect(await a.share.confirm()).toBe(false)
    for (const { problems } of [a, b, c])
      expect(problems).toMatchObject([{ code: 'TWINLOG_UNREACHABLE', retriable: true }])
    coordinator.up = true
    await pass(10_000)
    expectShared(lanes, a, b, c)
    expect(await a.share.confirm()).toBe(true)
  })

  it('takes the right to the group away and gives it back', async () => {
    const [a, b, c, lanes] = await three()
    coordinator.failWith.set('Heartbeat', 30)
    await pass(12_000)
    for (const { problems } of [a, b, c])
      expect(problems).toMatchObject([{ code: 'TWINLOG_UNAUTHORIZED', kafkaCode: 30 }])
    coordinator.failWith.clear()
    await pass(20_000)
    expectShared(lanes, a, b, c)
    expect(await c.share.confirm()).toBe(true)
  })

  it('loses the connection while lanes are dealt: the same generation goes on', async () => {
    const [a, b, c, lanes] = await three()
    begin('d', lanes)
    await pass(20)
    for (const { cluster } of [a, b, c]) cluster.cut()
    await pass(8_000)
    expectShared(lanes, ...processes)
    expect(counts(...processes).every(count => count === 7 || count === 8)).toBe(true)
  })
})

describe('confirm()', () => {
  it('is false while lanes are dealt anew and for a generation that is over', async () => {
    const [a, , , lanes] = await three()
    expect(await a.share.confirm()).toBe(true)
    begin('d', lanes)
    await pass(20)
    expect(await a.share.confirm()).toBe(false)
    await pass(4_000)
    expect(await a.share.confirm()).toBe(true)
    await a.share.stop()
    expect(await a.share.confirm()).toBe(false)
  })
})

describe('what goes wrong twice', () => {
  it('is said twice', async () => {
    const a = begin('a', lanesOf(3))
    await pass(4_000)
    for (const times of [1, 2]) {
      coordinator.up = false
      a.cluster.cut()
      await pass(15_000)
      coordinator.up = true
      await pass(5_000)
      expect(a.problems.length).toBe(times)
      expect(await a.share.confirm()).toBe(true)
    }
  })
})

describe('whatever happens to the processes', () => {
  it('in the end every lane has exactly one owner among the living, and they are balanced', async () => {
    const event = fc.record({
      what: fc.constantFrom('begin', 'leave', 'die', 'freeze', 'thaw', 'cut', 'move', 'grow', 'wait'),
      who: fc.nat(5),
      afterMs: fc.nat(5_000)
    })
    const runs = fc.asyncProperty(fc.array(event, { maxLength: 25 }), async events => {
      coordinator = new FakeCoordinator()
      processes = []
      const lanes = lanesOf(12)
      begin('p0', lanes)
      for (const { what, who, afterMs } of events) {
        const process = processes[who % processes.length]
        if (process === undefined) break
        if (what === 'begin' && processes.length < 6) begin(`p${processes.length}`, [...lanes])
        if (what === 'leave') void process.share.stop()
        if (what === 'die') process.cluster.mode = 'dead'
        if (what === 'freeze' && process.cluster.mode === 'well') process.cluster.freeze()
        if (what === 'thaw' && process.cluster.mode === 'frozen') process.cluster.thaw()
        if (what === 'cut') process.cluster.cut()
        if (what === 'move') coordinator.node++
        if (what === 'grow') {
          lanes.push(`t/${lanes.length}`)
          for (const { share } of processes) share.setLanes(lanes)
        }
        await pass(afterMs)
      }
      for (const { cluster } of processes) if (cluster.mode === 'frozen') cluster.thaw()
      await pass(60_000)
      const living = processes.filter(({ cluster, share }) => cluster.mode === 'well' && share.assigned !== undefined)
      if (living.length > 0) {
        expectShared(lanes, ...living)
        const sizes = living.map(({ share }) => share.assigned?.size ?? 0)
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1)
        for (const { share } of living) expect(await share.confirm()).toBe(true)
      }
      for (const { share, cluster } of processes) {
        cluster.thaw()
        void share.stop()
      }
      await pass(10_000)
      expect(processes.every(({ cluster }) => cluster.open === 0)).toBe(true)
    })
    await fc.assert(runs, { numRuns: 60 })
  }, 60_000)
})
