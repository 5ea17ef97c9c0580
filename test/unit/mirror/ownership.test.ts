import { performance } from 'node:perf_hooks'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { BeatLog } from '../../../src/lineage/beat-log.js'
import { BeatOwnership } from '../../../src/mirror/ownership.js'
import { FakeCluster } from '../lineage/fake-cluster.js'

/** A process that shows that it lives while it owns something. */
class Process {
  owns = false
  readonly log: BeatLog
  readonly beats: BeatOwnership

  constructor(
    readonly name: string,
    cluster: FakeCluster
  ) {
    this.log = new BeatLog(cluster.client)
    this.beats = new BeatOwnership({ process: name, link: 'l', log: this.log, ownsLanes: () => this.owns })
  }

  refusal = (owner: string | undefined) => this.beats.refusal({}, owner)
}

let cluster: FakeCluster
const processes: Process[] = []
function start(name: string): Process {
  const process = new Process(name, cluster)
  processes.push(process)
  return process
}

beforeEach(() => {
  vi.useFakeTimers({
    toFake: ['Date', 'setInterval', 'clearInterval', 'setTimeout', 'clearTimeout'],
    now: 1_700_000_000_000
  })
  vi.spyOn(performance, 'now').mockImplementation(() => Date.now())
  cluster = new FakeCluster('west')
  cluster.createTopic('twinlog.beats.internal')
})
afterEach(async () => {
  for (const process of processes.splice(0)) await process.beats.stop()
  vi.restoreAllMocks()
  vi.useRealTimers()
})

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms)

describe('a lane that one process may copy', () => {
  it('is free when nobody owns it, when it is mine, and when its owner never showed', async () => {
    const me = start('me')
    expect([await me.refusal(undefined), await me.refusal('me'), await me.refusal('nobody')]).toEqual([
      undefined,
      undefined,
      undefined
    ])
  })

  it('stays with its owner for as long as that lives, and a while longer', async () => {
    const [me, other] = [start('me'), start('other')]
    other.owns = true
    await pass(1_000)
    for (let second = 0; second < 10; second++) {
      expect(await me.refusal('other')).toMatch(/process other copies it/)
      await pass(1_000)
    }
    other.owns = false
    await me.refusal('other')
    await pass(3_900)
    expect(await me.refusal('other')).toMatch(/process other copies it/)
    await pass(200)
    expect(await me.refusal('other')).toBeUndefined()
  })

  it('is free at once when its owner has stopped in order', async () => {
    const [me, other] = [start('me'), start('other')]
    other.owns = true
    await pass(1_000)
    expect(await me.refusal('other')).toBeDefined()
    await other.beats.stop()
    await pass(600)
    expect(await me.refusal('other')).toBeUndefined()
  })

  it('is free at once when its owner was gone long before this process began', async () => {
    const other = start('other')
    other.owns = true
    await pass(1_000)
    other.owns = false
    await pass(9_000)
    const me = start('me')
    expect(await me.refusal('other')).toBeUndefined()
  })

  it('is waited for when its owner’s clock is wrong: only that it goes on counts', async () => {
    const [me, other] = [start('me'), start('other')]
    const write = other.log.write.bind(other.log)
    other.log.write = entry => write({ ...entry, atMs: entry.atMs + 3_600_000 })
    other.owns = true
    await pass(1_000)
    expect(await me.refusal('other')).toBeDefined()
    other.owns = false
    await pass(4_500)
    expect(await me.refusal('other')).toBeUndefined()
  })

  it('is left to an owner whose first sign of life is younger than the last look', async () => {
    // Symptom: two processes took a lane from each other until the second sign of life came.
    const [me, other] = [start('me'), start('other')]
    expect(await me.refusal('somebody')).toBeUndefined()
    await other.beats.announce()
    expect(await me.refusal('other')).toMatch(/process other copies it/)
  })

  it('has an owner who shows before the first word about it, and once', async () => {
    const other = start('other')
    let writes = 0
    cluster.before = name => void (name === 'Produce' && writes++)
    await Promise.all([other.beats.announce(), other.beats.announce()])
    await other.beats.announce()
    expect(writes).toBe(1)
  })

  it('is not owned by a process that could not say so', async () => {
    const [me, other] = [start('me'), start('other')]
    const write = other.log.write.bind(other.log)
    other.log.write = () => Promise.reject(new Error('cut'))
    await expect(other.beats.announce()).rejects.toThrow('cut')
    other.log.write = write
    await other.beats.announce()
    expect(await me.refusal('other')).toBeDefined()
  })

  it('is not said to be owned by a process that owns nothing', async () => {
    const [me, other] = [start('me'), start('other')]
    await pass(5_000)
    await other.beats.stop()
    await me.log.refresh()
    expect(me.log.beat('other')).toBeUndefined()
  })

  it('is announced again by a process that owned nothing for a while', async () => {
    const [me, other] = [start('me'), start('other')]
    await other.beats.announce()
    await pass(20_000)
    expect(await me.refusal('other')).toBeUndefined()
    await other.beats.announce()
    await pass(600)
    expect(await me.refusal('other')).toBeDefined()
  })
})
