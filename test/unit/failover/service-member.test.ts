import { afterEach, describe, expect, it, vi } from 'vitest'
import type { ControlRecord, MoveRecord } from '../../../src/control/control-records.js'
import { type ControlView, reduceMoves } from '../../../src/control/moves.js'
import type { TwinlogError } from '../../../src/errors.js'
import type { ClusterLink } from '../../../src/failover/cluster-link.js'
import { LocalParticipants } from '../../../src/failover/fleet-participants.js'
import { resolveFailoverOptions } from '../../../src/failover/options.js'
import type { Heartbeat } from '../../../src/failover/presence.js'
import { ServiceMember } from '../../../src/failover/service-member.js'
import { StateMachine } from '../../../src/failover/state-machine.js'
import { LinkState, stateTopicName } from '../../../src/lineage/link-state.js'
import type { Logger } from '../../../src/logger.js'
import { birth } from '../lineage/births.js'
import { FakeCluster } from '../lineage/fake-cluster.js'

const SILENT: Logger = { debug() {}, info() {}, warn() {}, error() {} }
const at = '2026-01-02T03:04:05.000Z'

const common = (epoch: number, instance: string) => ({ service: 's', epoch, instance, at })
const move = (kind: MoveRecord['kind'], instance: string): MoveRecord => ({
  ...common(1, instance),
  type: 'move',
  kind,
  from: 'east',
  to: 'west',
  instances: [instance, 'a'],
  topics: [],
  groups: []
})
const fenced: ControlRecord = { ...common(1, 'ghost'), type: 'fenced', lanes: [] }
const abort: ControlRecord = { ...common(1, 'b'), type: 'abort', reason: 'its driver died' }

/** A cluster whose control topic is a list in memory. */
class FakeLink {
  readonly alias: string
  readonly cluster: FakeCluster
  readonly healthy = true
  readonly log: ControlRecord[] = []
  changed: () => void = () => undefined

  constructor(alias: string) {
    this.alias = alias
    this.cluster = new FakeCluster(alias)
  }

  get client() {
    return this.cluster.client
  }

  get view(): ControlView {
    return reduceMoves(this.log)
  }

  append(...records: ControlRecord[]): Promise<void> {
    this.log.push(...records)
    this.changed()
    return Promise.resolve()
  }

  refresh(): Promise<void> {
    return Promise.resolve()
  }

  present(own: Heartbeat) {
    return Promise.resolve(new Map([[own.instance, own]]))
  }
}

const stops: AbortController[] = []

function start(west: FakeLink) {
  const stop = new AbortController()
  stops.push(stop)
  const errors: TwinlogError[] = []
  const cluster = (alias: string) => ({ alias, brokers: ['localhost:1'] })
  const options = resolveFailoverOptions({
    clusters: [cluster('east'), cluster('west')],
    service: 's',
    instanceId: 'a',
    logger: SILENT
  })
  const machine = new StateMachine(() => undefined)
  const links = new Map([new FakeLink('east'), west].map(link => [link.alias, link]))
  const member = new ServiceMember({
    options,
    links: links as unknown as ReadonlyMap<string, ClusterLink>,
    machine,
    local: new LocalParticipants({ logger: SILENT, onError: () => undefined }),
    events: { moved: () => undefined, error: error => errors.push(error) },
    signal: stop.signal
  })
  west.changed = () => void member.react()
  member.begin()
  void member.react()
  return { member, machine, errors }
}

/** Generous: the machine may be busy. */
const PATIENT = { timeout: 20_000 }

/** Wall-clock time jumps over the lease, once the watch has begun; it looks every two seconds. */
async function leaseOver(machine: StateMachine): Promise<void> {
  await vi.waitFor(() => expect(machine.state).toBe('draining'), PATIENT)
  const later = Date.now() + 60_000
  vi.spyOn(Date, 'now').mockReturnValue(later)
}

afterEach(() => {
  for (const stop of stops.splice(0)) stop.abort()
  vi.restoreAllMocks()
})

describe('a member of the service', () => {
  it('ends a switchover that it had begun under the same name before it was started again', async () => {
    const west = new FakeLink('west')
    west.log.push(move('switchover', 'a'))
    const { machine } = start(west)
    await leaseOver(machine)
    await vi.waitFor(() => expect(west.view.moves.get(1)?.outcome).toBe('aborted'), PATIENT)
    await vi.waitFor(() => expect(machine.state).toBe('steady'), PATIENT)
  })

  it('does not end a move that it drives', async () => {
    const west = new FakeLink('west')
    const { member, machine } = start(west)
    member.drive(1)
    await west.append(move('switchover', 'a'))
    await vi.waitFor(() => expect(machine.state).toBe('draining'), PATIENT)
    await leaseOver(machine)
    await new Promise(resolve => setTimeout(resolve, 2_500))
    expect(west.view.moves.get(1)?.outcome).toBe('open')
    // Its driver gave up and could not write the end of the move.
    member.drive(undefined)
    await leaseOver(machine)
    await vi.waitFor(() => expect(west.view.moves.get(1)?.outcome).toBe('aborted'), PATIENT)
  })

  it('says what to do when nobody goes on with a failover, and leaves it open', async () => {
    const west = new FakeLink('west')
    west.log.push(move('failover', 'ghost'))
    const { machine, errors } = start(west)
    await leaseOver(machine)
    await vi.waitFor(() => expect(errors).toHaveLength(1), PATIENT)
    expect(errors[0]).toMatchObject({
      code: 'TWINLOG_MOVE_ABORTED',
      message: expect.stringContaining("calls failover('west')") as string
    })
    expect(west.view.moves.get(1)?.outcome).toBe('open')
  })

  it('opens the lanes of a move that was given up, whenever it learns of it, and those of no other move', async () => {
    const west = new FakeLink('west')
    west.cluster.createTopic(stateTopicName('east-west'), 16)
    const open = () =>
      LinkState.open({ cluster: west.client, link: 'east-west', logger: SILENT, create: false }) as Promise<LinkState>
    const state = await open()
    const id = { sourceTopicId: 's', targetTopicId: 't', targetPartition: 0 }
    const mine = await state.decideBirth({ ...id, sourcePartition: 0 }, birth())
    const other = await state.decideBirth({ ...id, sourcePartition: 1 }, birth({ sourcePartition: 1 }))
    await state.writeGate(mine.key, { state: 'closed', service: 's', moveEpoch: 1 })
    await state.writeGate(other.key, { state: 'closed', service: 'another', moveEpoch: 1 })
    west.log.push(move('switchover', 'ghost'), fenced)
    const { machine } = start(west)
    await vi.waitFor(() => expect(machine.state).toBe('draining'), PATIENT)
    const gates = async () => {
      const fresh = await open()
      return Promise.all([mine, other].map(async lane => (await fresh.refreshLane(lane.key))?.gate?.state))
    }
    expect(await gates()).toEqual(['closed', 'closed'])
    await west.append(abort)
    await vi.waitFor(async () => expect(await gates()).toEqual(['opened', 'closed']), PATIENT)
    // Started again when all is over.
    await state.writeGate(mine.key, { state: 'closed', service: 's', moveEpoch: 1 })
    start(west)
    await vi.waitFor(async () => expect(await gates()).toEqual(['opened', 'closed']), PATIENT)
  })
})
