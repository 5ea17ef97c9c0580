import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { MirrorStatus } from '../../src/mirror/status.js'
import { type KafkaCluster, startKafka } from '../support/kafka.js'
import { MirrorProcess } from '../support/mirror-process.js'
import { type Oracle, startOracle } from '../support/oracle.js'
import { Bed } from '../integration/bed.js'

const HOUR_MS = 3_600_000
const SLEEP_MS = 8_000

let directory: string
let east: KafkaCluster
let west: KafkaCluster
let oracle: Oracle
let bed: Bed

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'twinlog-clock-'))
  ;[east, west, oracle] = await Promise.all([startKafka({ name: 'east' }), startKafka({ name: 'west' }), startOracle()])
  bed = new Bed(east, west)
})

afterEach(async () => {
  Date.now = realNow
  await bed.stopMirrors()
})

afterAll(async () => {
  await bed?.close()
  await Promise.all([oracle?.close(), east?.stop(), west?.stop()])
  rmSync(directory, { recursive: true, force: true })
})

const realNow = Date.now

async function expectEqual(topic: string, count: number): Promise<void> {
  const comparison = await oracle.compare({ source: east.bootstrap, target: west.bootstrap, sourceTopic: topic })
  expect(comparison, topic).toMatchObject({ equal: true, missing: 0, repeated: 0, outOfOrder: 0, targetCount: count })
}

/** Whatever is done to the clock: no lane tells something that cannot be. */
function assertSane(status: MirrorStatus): void {
  for (const { lagMs, lagRecords, recordsPerSecond, bytesPerSecond, topic } of status.lanes) {
    expect(lagRecords, topic).toBeGreaterThanOrEqual(0n)
    expect(lagMs, topic).toBeGreaterThanOrEqual(0)
    expect(lagMs, topic).toBeLessThan(30_000)
    expect(recordsPerSecond, topic).toBeGreaterThanOrEqual(0)
    expect(recordsPerSecond, topic).toBeLessThan(20_000)
    expect(bytesPerSecond, topic).toBeGreaterThanOrEqual(0)
  }
  for (const { freshnessMs } of status.groups) {
    expect(freshnessMs).toBeGreaterThanOrEqual(0)
    expect(freshnessMs).toBeLessThan(60_000)
  }
}

describe('a clock that is set while a Mirror runs', () => {
  it('an hour ahead, back, and an hour behind: every lane goes on, nothing absurd is told, nothing is lost or repeated', async () => {
    const topics = ['set.plain', 'set.compacted', 'set.old']
    await bed.createTopic(east, 'set.plain', 2)
    await bed.createTopic(east, 'set.compacted', 1, { 'cleanup.policy': 'compact', 'segment.ms': '3600000' })
    await bed.createTopic(east, 'set.old')
    const twoDaysAgo = Date.now() - 48 * HOUR_MS
    const loads = topics.map(topic =>
      oracle.produce({
        cluster: east.bootstrap,
        topic,
        ratePerSecond: 200,
        ...(topic === 'set.old' && { timestampFrom: twoDaysAgo })
      })
    )
    const { mirror, events, lane } = await bed.mirror({ link: 'set', topics: /set\..*/, syncGroups: true })
    await sleep(1_500)
    await oracle.consumeGroup({ cluster: east.bootstrap, group: 'set', topic: 'set.plain', count: 100 })
    expect(topics.map(topic => lane(topic).guard)).toEqual(['stable', 'fenced', 'transactional'])
    const timers = () => process.getActiveResourcesInfo().filter(what => what === 'Timeout').length
    const timersBefore = timers()
    const reached = () => mirror.status().lanes.map(status => status.reached)
    for (const offset of [HOUR_MS, 0, -HOUR_MS, 0]) {
      Date.now = () => realNow() + offset
      const before = reached()
      for (let time = 0; time < 15; time++) {
        await sleep(100)
        assertSane(mirror.status())
      }
      reached().forEach((now, index) => expect(now, `${offset} ${index}`).toBeGreaterThan((before[index] ?? 0n) + 50n))
    }
    const results = await Promise.all(loads.map(load => load.stop()))
    await mirror.caughtUp({ timeoutMs: 30_000 })
    const cpu = process.cpuUsage()
    await sleep(1_000)
    const { user, system } = process.cpuUsage(cpu)
    for (const [index, topic] of topics.entries()) await expectEqual(topic, results[index]?.acknowledged ?? -1)
    expect(events['lane:failed']).toEqual([])
    console.log('clock set:', { timersBefore, timersAfter: timers(), idleCpuMs: (user + system) / 1_000 })
    expect(timers()).toBeLessThan(timersBefore + 20)
    expect((user + system) / 1_000).toBeLessThan(400)
  }, 90_000)

  it('a lane that failed, and one that waits, are tried again as soon as ever when the clock was set back', async () => {
    await bed.createTopic(east, 'back')
    const { mirror, laneIs, lane } = await bed.mirror({
      link: 'back',
      topics: 'back',
      transform: record => {
        if (broken) throw new Error('not yet')
        return record
      }
    })
    let broken = true
    await oracle.produce({ cluster: east.bootstrap, topic: 'back', count: 10 }).done
    await laneIs('back', 'failed')
    Date.now = () => realNow() - HOUR_MS
    broken = false
    const since = performance.now()
    while (lane('back').state !== 'caught-up' && performance.now() - since < 10_000) await sleep(20)
    expect(lane('back').state).toBe('caught-up')
    await mirror.caughtUp({ timeoutMs: 10_000 })
    await expectEqual('back', 10)
  })
})

describe('a machine that sleeps', () => {
  it('a process that stands still for 8 s under load goes on by itself: nothing is lost or repeated, and it does not spin', async () => {
    await bed.createTopic(east, 'asleep', 3)
    await oracle.createTopic({ cluster: west.bootstrap, topic: 'asleep', partitions: 3 })
    const problems: string[] = []
    const samples: { at: number; lag: number }[] = []
    const child = new MirrorProcess('sleeper', {
      options: {
        source: east.config(),
        target: west.config(),
        topics: 'asleep',
        link: 'asleep',
        discoveryIntervalMs: 500
      },
      logFile: join(directory, 'sleeper.log'),
      events: {
        failed: problem => problems.push(problem),
        status: (at, lanes) => void samples.push({ at, lag: Math.min(...lanes.map(lane => lane.lag)) })
      }
    })
    const load = oracle.produce({ cluster: east.bootstrap, topic: 'asleep', ratePerSecond: 1_000 })
    child.start()
    await child.copying(3)
    await sleep(1_000)
    child.freeze()
    await sleep(SLEEP_MS)
    const wokenAt = Date.now()
    child.thaw()
    await sleep(1_000)
    const burst = samples.filter(({ at }) => at >= wokenAt && at < wokenAt + 1_000).length
    const { acknowledged } = await load.stop()
    await child.caughtUp(30_000)
    const caughtUpMs = Date.now() - wokenAt
    await sleep(500)
    const before = cpuMs(child.pid)
    await sleep(2_000)
    const idleCpuMs = cpuMs(child.pid) - before
    await child.stop()
    await expectEqual('asleep', acknowledged)
    console.log('asleep:', { caughtUpMs, burst, idleCpuMs, problems })
    expect(problems).toEqual([])
    // A sample each 50 ms: those of the sleep do not come all at once.
    expect(burst).toBeLessThan(30)
    expect(samples.every(({ lag }) => lag >= 0)).toBe(true)
    expect(idleCpuMs).toBeLessThan(500)
  }, 90_000)
})

/** Processor time of a process so far, by the kernel's account. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) * 10
}
