import { TwinlogError } from '../../../../src/errors.js'
import { Reader } from '../../../../src/kafka/protocol/reader.js'
import { Writer } from '../../../../src/kafka/protocol/writer.js'
import type { ApiRequest, Route } from '../../../../src/kafka/types.js'
import type { CoordinatorCluster, CoordinatorConnection } from '../../../../src/mirror/workers/coordinator-wire.js'

interface Member {
  id: string
  sessionTimeoutMs: number
  rebalanceTimeoutMs: number
  metadata: Buffer
  assignment: Buffer
  joining?: ((answer: Buffer) => void) | undefined
  syncing?: ((answer: Buffer) => void) | undefined
  session?: NodeJS.Timeout | undefined
}

type State = 'Empty' | 'PreparingRebalance' | 'CompletingRebalance' | 'Stable'

const EMPTY: Buffer = Buffer.alloc(0)

/** One group of Kafka's classic protocol in memory, speaking bytes; time is setTimeout's. After GroupMetadataManager of Kafka 4.1. */
export class FakeCoordinator {
  state: State = 'Empty'
  generation = 0
  protocolType = ''
  leader = ''
  /** The broker that coordinates; a request to another one is answered with 16. */
  node = 1
  up = true
  minSessionTimeoutMs = 6_000
  initialDelayMs = 3_000
  /** Answered to every request of this name. */
  readonly failWith = new Map<string, number>()
  readonly members = new Map<string, Member>()
  readonly seen: string[] = []
  /** Topics that somebody has committed offsets of. */
  committed: string[] = []
  /** The leader's assignments arrive damaged. */
  garble = false
  readonly #pending = new Map<string, NodeJS.Timeout>()
  #rebalance: NodeJS.Timeout | undefined
  #delayed = false
  #ids = 0

  handle(name: string, body: Reader): Promise<Buffer> {
    this.seen.push(name)
    const code = this.failWith.get(name)
    if (name === 'FindCoordinator') return Promise.resolve(this.#found())
    if (name === 'DescribeGroups') return Promise.resolve(this.#described(code ?? 0))
    if (name === 'OffsetFetch') return Promise.resolve(this.#offsets())
    if (name === 'JoinGroup') return code === undefined ? this.#join(body) : Promise.resolve(joined(code))
    if (name === 'SyncGroup') return code === undefined ? this.#sync(body) : Promise.resolve(synced(code))
    if (name === 'Heartbeat') return Promise.resolve(beaten(code ?? this.#heartbeat(body)))
    if (name === 'LeaveGroup') return Promise.resolve(left(code ?? this.#leave(body)))
    throw new Error(`unexpected ${name}`)
  }

  wrongNode(name: string): Buffer {
    if (name === 'JoinGroup') return joined(16)
    if (name === 'SyncGroup') return synced(16)
    if (name === 'LeaveGroup') return left(16)
    return name === 'DescribeGroups' ? this.#described(16) : beaten(16)
  }

  #found(): Buffer {
    const writer = new Writer().int32(0)
    return writer
      .compactArray(['g'], () => {
        writer.compactString('g').int32(this.node).compactString('h').int32(1).int16(0).compactString(null).tags()
      })
      .tags()
      .toBuffer()
  }

  #offsets(): Buffer {
    const writer = new Writer().int32(0)
    writer.compactArray(['g'], () => {
      writer.compactString('g').compactArray(this.committed, topic => {
        writer.compactString(topic).compactArray([0], () => {
          writer.int32(0).int64(5n).int32(-1).compactString(null).int16(0).tags()
        })
        writer.tags()
      })
      writer.int16(0).tags()
    })
    return writer.tags().toBuffer()
  }

  #described(code: number): Buffer {
    const empty = this.members.size === 0 && this.protocolType === ''
    const writer = new Writer().int32(0)
    writer.compactArray([0], () => {
      writer
        .int16(code)
        .compactString('g')
        .compactString(empty ? 'Dead' : this.state)
      writer.compactString(this.protocolType).compactString('')
      writer.compactArray([...this.members.keys()], id => {
        writer.compactString(id).compactString(null).compactString('c').compactString('h')
        writer.compactBytes(EMPTY).compactBytes(EMPTY).tags()
      })
      writer.int32(0).tags()
    })
    return writer.tags().toBuffer()
  }

  #join(body: Reader): Promise<Buffer> {
    body.compactString()
    const sessionTimeoutMs = body.int32()
    const rebalanceTimeoutMs = body.int32()
    const id = body.compactString()
    body.compactNullableString()
    const protocolType = body.compactString()
    const [protocol] = body.compactArray(() => {
      const offered = { name: body.compactString(), metadata: Buffer.from(body.compactBytes()) }
      body.tags()
      return offered
    })
    const metadata = protocol?.metadata ?? EMPTY
    if (sessionTimeoutMs < this.minSessionTimeoutMs) return Promise.resolve(joined(26))
    if (this.members.size > 0 && protocolType !== this.protocolType) return Promise.resolve(joined(23))
    if (id === '') {
      const fresh = `m${++this.#ids}`
      this.#pending.set(
        fresh,
        setTimeout(() => this.#dropPending(fresh), sessionTimeoutMs)
      )
      return Promise.resolve(joined(79, { memberId: fresh }))
    }
    const said = { sessionTimeoutMs, rebalanceTimeoutMs, metadata }
    const known = this.members.get(id)
    if (known === undefined) {
      if (!this.#pending.has(id)) return Promise.resolve(joined(25))
      this.#dropPending(id, false)
      this.protocolType = protocolType
      const member: Member = { id, ...said, assignment: EMPTY }
      this.members.set(id, member)
      return this.#awaitJoin(member)
    }
    const same = known.metadata.equals(metadata)
    const answerable = this.state === 'CompletingRebalance' || (this.state === 'Stable' && id !== this.leader)
    Object.assign(known, said)
    if (answerable && same) {
      this.#touch(known)
      return Promise.resolve(this.#joinAnswer(known))
    }
    return this.#awaitJoin(known)
  }

  #awaitJoin(member: Member): Promise<Buffer> {
    // As in the broker: an older request of the same member is answered no more.
    return new Promise(resolve => {
      member.joining = resolve
      if (this.state === 'PreparingRebalance') this.#maybeComplete()
      else this.#prepare()
    })
  }

  #prepare(): void {
    for (const member of this.members.values()) {
      member.syncing?.(synced(27))
      member.syncing = undefined
      member.assignment = EMPTY
      if (this.state === 'CompletingRebalance' && member.joining === undefined) this.#touch(member)
    }
    this.#delayed = this.state === 'Empty'
    this.state = 'PreparingRebalance'
    const longest = Math.max(...[...this.members.values()].map(member => member.rebalanceTimeoutMs), 0)
    clearTimeout(this.#rebalance)
    this.#rebalance = setTimeout(() => this.#complete(), this.#delayed ? this.initialDelayMs : longest)
    if (!this.#delayed) this.#maybeComplete()
  }

  #maybeComplete(): void {
    if (this.#delayed || this.#pending.size > 0) return
    if ([...this.members.values()].every(member => member.joining !== undefined)) this.#complete()
  }

  #complete(): void {
    clearTimeout(this.#rebalance)
    this.#delayed = false
    for (const member of this.members.values()) if (member.joining === undefined) this.#forget(member)
    this.generation++
    if (this.members.size === 0) {
      this.state = 'Empty'
      return
    }
    if (!this.members.has(this.leader)) this.leader = [...this.members.keys()][0] ?? ''
    this.state = 'CompletingRebalance'
    for (const member of this.members.values()) {
      const answer = member.joining
      member.joining = undefined
      this.#touch(member)
      answer?.(this.#joinAnswer(member))
    }
  }

  #joinAnswer(member: Member): Buffer {
    const members = member.id === this.leader ? [...this.members.values()] : []
    return joined(0, { generation: this.generation, leader: this.leader, memberId: member.id, members })
  }

  #sync(body: Reader): Promise<Buffer> {
    body.compactString()
    const generation = body.int32()
    const id = body.compactString()
    body.compactNullableString()
    body.compactNullableString()
    body.compactNullableString()
    const member = this.members.get(id)
    if (member === undefined) return Promise.resolve(synced(25))
    if (generation !== this.generation) return Promise.resolve(synced(22))
    if (this.state === 'PreparingRebalance') return Promise.resolve(synced(27))
    this.#touch(member)
    if (this.state === 'Stable') return Promise.resolve(synced(0, member.assignment))
    return new Promise(resolve => {
      member.syncing = resolve
      if (id !== this.leader) return
      body.compactArray(() => {
        const to = this.members.get(body.compactString())
        const assigned = Buffer.from(body.compactBytes())
        const assignment = this.garble ? Buffer.from('7f', 'hex') : assigned
        if (to !== undefined) to.assignment = assignment
        body.tags()
      })
      this.state = 'Stable'
      for (const waiting of this.members.values()) {
        waiting.syncing?.(synced(0, waiting.assignment))
        waiting.syncing = undefined
        this.#touch(waiting)
      }
    })
  }

  #heartbeat(body: Reader): number {
    body.compactString()
    const generation = body.int32()
    const member = this.members.get(body.compactString())
    if (member === undefined) return 25
    if (generation !== this.generation) return 22
    this.#touch(member)
    return this.state === 'PreparingRebalance' ? 27 : 0
  }

  #leave(body: Reader): number {
    body.compactString()
    let code = 0
    body.compactArray(() => {
      const id = body.compactString()
      body.compactNullableString()
      body.compactNullableString()
      body.tags()
      const member = this.members.get(id)
      if (member !== undefined) this.#remove(member)
      else if (this.#pending.has(id)) this.#dropPending(id)
      else code = 25
    })
    return code
  }

  #touch(member: Member): void {
    clearTimeout(member.session)
    member.session = setTimeout(() => {
      if (member.joining !== undefined || member.syncing !== undefined) return
      // A coordinator that is down ends nobody's session: the next one begins it anew.
      if (this.up) this.#remove(member)
      else this.#touch(member)
    }, member.sessionTimeoutMs)
  }

  #remove(member: Member): void {
    this.#forget(member)
    if (this.state === 'PreparingRebalance') this.#maybeComplete()
    else this.#prepare()
  }

  #forget(member: Member): void {
    clearTimeout(member.session)
    member.joining?.(joined(25))
    member.syncing?.(synced(25))
    this.members.delete(member.id)
  }

  #dropPending(id: string, mayComplete = true): void {
    clearTimeout(this.#pending.get(id))
    this.#pending.delete(id)
    if (mayComplete && this.state === 'PreparingRebalance') this.#maybeComplete()
  }
}

function joined(
  code: number,
  o: { generation?: number; leader?: string; memberId?: string; members?: Member[] } = {}
): Buffer {
  const writer = new Writer()
    .int32(0)
    .int16(code)
    .int32(o.generation ?? -1)
  writer
    .compactString(null)
    .compactString(code === 0 ? 'lanes-1' : null)
    .compactString(o.leader ?? '')
  writer.boolean(false).compactString(o.memberId ?? '')
  writer.compactArray(o.members ?? [], member => {
    writer.compactString(member.id).compactString(null).compactBytes(member.metadata).tags()
  })
  return writer.tags().toBuffer()
}

const synced = (code: number, assignment = EMPTY) =>
  new Writer().int32(0).int16(code).compactString(null).compactString(null).compactBytes(assignment).tags().toBuffer()

const beaten = (code: number) => new Writer().int32(0).int16(code).tags().toBuffer()

const left = (code: number) =>
  new Writer()
    .int32(0)
    .int16(code)
    .compactArray([], () => undefined)
    .tags()
    .toBuffer()

const lost = () => new TwinlogError('TWINLOG_UNREACHABLE', 'west: connection lost', { retriable: true })

/** What one process sees of the cluster; it can be cut off and frozen without the others. */
export class FakeCluster implements CoordinatorCluster {
  readonly alias = 'west'
  readonly #coordinator: FakeCoordinator
  readonly #connections = new Set<FakeConnection>()
  /** 'frozen': as if the process had been stopped, nothing goes out or comes in. */
  mode: 'well' | 'frozen' | 'dead' = 'well'
  #thaw: (() => void)[] = []

  constructor(coordinator: FakeCoordinator) {
    this.#coordinator = coordinator
  }

  get open(): number {
    return this.#connections.size
  }

  freeze(): void {
    this.mode = 'frozen'
  }

  thaw(): void {
    this.mode = 'well'
    for (const go of this.#thaw.splice(0)) go()
  }

  /** Every connection is lost. */
  cut(): void {
    for (const connection of this.#connections) connection.destroy()
  }

  async send<T>(_to: Route, request: ApiRequest<T>): Promise<T> {
    return this.exchange(request, this.#coordinator.node)
  }

  async openConnection(nodeId: number): Promise<CoordinatorConnection> {
    await this.#awake()
    if (!this.#coordinator.up) throw lost()
    const connection = new FakeConnection(this, nodeId, () => this.#connections.delete(connection))
    this.#connections.add(connection)
    return connection
  }

  forgetCoordinator(): void {}

  async exchange<T>(request: ApiRequest<T>, nodeId: number): Promise<T> {
    await this.#awake()
    if (!this.#coordinator.up) throw lost()
    const writer = new Writer()
    request.encode(writer, request.maxVersion)
    const body = new Reader(writer.toBuffer())
    const rightNode = nodeId === this.#coordinator.node
    const answer = rightNode
      ? await this.#coordinator.handle(request.apiName, body)
      : this.#coordinator.wrongNode(request.apiName)
    await this.#awake()
    return request.decode(new Reader(answer), request.maxVersion)
  }

  async #awake(): Promise<void> {
    while (this.mode !== 'well') await new Promise<void>(resolve => this.#thaw.push(resolve))
  }
}

/** First in, first out, as a broker's connection is: an unanswered request holds up the ones behind it. */
class FakeConnection implements CoordinatorConnection {
  closed = false
  readonly #cluster: FakeCluster
  readonly #nodeId: number
  readonly #onClose: () => void
  readonly #rejects = new Set<(error: unknown) => void>()
  #last: Promise<unknown> = Promise.resolve()

  constructor(cluster: FakeCluster, nodeId: number, onClose: () => void) {
    this.#cluster = cluster
    this.#nodeId = nodeId
    this.#onClose = onClose
  }

  send<T>(request: ApiRequest<T>, o: { timeoutMs: number }): Promise<T> {
    if (this.closed) return Promise.reject(lost())
    return new Promise<T>((resolve, reject) => {
      this.#rejects.add(reject)
      const late = () => {
        // The time-outs of a process that stands still stand still too.
        if (this.#cluster.mode === 'well') this.destroy()
        else timer = setTimeout(late, 100)
      }
      let timer = setTimeout(late, o.timeoutMs)
      const done = () => {
        clearTimeout(timer)
        this.#rejects.delete(reject)
      }
      const answer = this.#last.then(() => this.#cluster.exchange(request, this.#nodeId))
      this.#last = answer.catch(() => undefined)
      answer.then(resolve, (error: unknown) => {
        this.destroy()
        reject(error)
      })
      answer.then(done, done)
    })
  }

  destroy(): void {
    if (this.closed) return
    this.closed = true
    this.#onClose()
    for (const reject of this.#rejects) reject(lost())
  }
}
