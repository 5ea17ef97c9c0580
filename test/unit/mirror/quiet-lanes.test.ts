import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { QuietLanes } from '../../../src/mirror/quiet-lanes.js'
import { encodeBatch } from '../../../src/records/encode.js'
import { FakeCluster } from '../lineage/fake-cluster.js'
import { type FakePartition, records } from '../lineage/fake-partition.js'
import { openLink, prepareTarget, Process } from './lane-process.js'
import { committedValues } from './racing-source.js'

/** Only one process may copy what is compacted; whoever comes takes it over. */
const FENCED = { spec: { compacted: true }, ownership: () => Promise.resolve(undefined) }

let east: FakeCluster
let west: FakeCluster
let source: FakePartition
let target: FakePartition
const processes: Process[] = []

beforeEach(() => {
  east = new FakeCluster('east')
  west = new FakeCluster('west')
  source = east.createTopic('orders')
  target = west.createTopic('orders')
  prepareTarget(west)
})

afterEach(async () => {
  await Promise.all(processes.splice(0).map(process => process.manager.stop(100)))
})

const write = (...values: string[]) => source.append(encodeBatch({ records: records(values) }))
/** Other programs write to the target, and retention takes everything. */
function othersAndRetention(): void {
  for (let batch = 0; batch < 5; batch++) target.append(encodeBatch({ records: records(['foreign']) }))
  target.trim(target.end)
}

async function started(): Promise<Process> {
  const process = await Process.start(east, west, FENCED)
  processes.push(process)
  return process
}

const copied = (process: Process) =>
  vi.waitFor(() => expect([process.lane?.reached, process.lane?.drained]).toEqual([source.end, true]), {
    timeout: 3_000
  })

async function quiet(): Promise<Process> {
  write('a', 'b')
  const process = await started()
  await copied(process)
  return process
}

async function look(process: Process): Promise<void> {
  const { link } = await openLink(west)
  await new QuietLanes({ target: west.client, link, lanes: process.manager.lanes }).look()
}

/** Another process finds the place again. */
async function goesOn(): Promise<void> {
  write('c', 'd')
  await copied(await started())
  const values = committedValues(target).map(([, value]) => value)
  expect(values.filter(value => value !== 'foreign')).toEqual(['c', 'd'])
}

describe('a lane of one owner whose target goes on without it', () => {
  it('is found again after an orderly stop, though retention takes everything meanwhile', async () => {
    const first = await quiet()
    for (let batch = 0; batch < 5; batch++) target.append(encodeBatch({ records: records(['foreign']) }))
    await first.manager.stop(1_000)
    target.trim(target.end)
    await goesOn()
  })

  it('is found again after a crash when its owner had seen that retention overtook it', async () => {
    const first = await quiet()
    othersAndRetention()
    await look(first)
    await first.manager.writeCheckpoints()
    first.kill()
    await goesOn()
  })

  it('is not guessed when nobody had seen it', async () => {
    const first = await quiet()
    othersAndRetention()
    first.kill()
    write('c', 'd')
    const second = await started()
    await vi.waitFor(() => expect(second.lane?.error).toMatchObject({ code: 'TWINLOG_POSITION_UNKNOWN' }))
    expect(committedValues(target)).toEqual([])
  })

  it('needs no word while its last place is on the target', async () => {
    const first = await quiet()
    for (let batch = 0; batch < 5; batch++) target.append(encodeBatch({ records: records(['foreign']) }))
    const before = first.lane?.seenTo
    await look(first)
    expect(first.lane?.seenTo).toBe(before)
  })

  it('that another process has taken over is not spoken for', async () => {
    const first = await quiet()
    first.freeze(60_000)
    const second = await started()
    write('c')
    await copied(second)
    const before = first.lane?.seenTo
    target.trim(target.end)
    await look(first)
    expect(first.lane?.seenTo).toBe(before)
    first.kill()
  })
})
