import type { ClusterClient } from '../../../src/kafka/cluster.js'
import { TwinlogError } from '../../../src/errors.js'
import type { FramePool } from '../../../src/kafka/frame-pool.js'
import { Reader } from '../../../src/kafka/protocol/reader.js'
import { Writer } from '../../../src/kafka/protocol/writer.js'
import type { FetchedPartition, FetchResponse } from '../../../src/kafka/requests/fetch.js'
import type { ApiRequest } from '../../../src/kafka/types.js'
import { FakePartition } from '../lineage/fake-partition.js'

interface Question {
  fetchOffset: bigint
  maxBytes: number
}

interface Cached extends Question {
  highWatermark: bigint
  logStart: bigint
}

interface FetchSeen {
  sessionId: number
  epoch: number
  maxWaitMs: number
  maxBytes: number
  rackId: string
  asked: string[]
  forgotten: string[]
  atMs: number
}

interface BrokerSession {
  epoch: number
  partitions: Map<string, Cached>
}

/** One or more brokers of a source that keep fetch sessions as Apache Kafka does; requests arrive encoded, by topic id. */
export class SessionBroker {
  readonly alias = 'east'
  readonly logs = new Map<string, FakePartition>()
  readonly names = new Map<string, string>()
  readonly sessions = new Map<number, BrokerSession>()
  readonly requests: (FetchSeen & { nodeId: number })[] = []
  /** Of each partition; node 0 otherwise. */
  readonly leaders = new Map<string, number>()
  room = 10
  throttleMs = 0
  connections = 0
  /** Said instead of what the log has. */
  override: ((key: string, nodeId: number, seen: FetchSeen) => Partial<FetchedPartition> | undefined) | undefined
  failNext: number | undefined
  #nextId = 100

  get client(): ClusterClient {
    return this as unknown as ClusterClient
  }

  add(topic: string, partitions = 1): string {
    const topicId = Buffer.from(topic.padEnd(16, '.').slice(0, 16)).toString('base64url')
    this.names.set(topicId, topic)
    for (let partition = 0; partition < partitions; partition++)
      this.logs.set(`${topicId}/${partition}`, new FakePartition())
    return topicId
  }

  leaderOf(topic: string, partition: number): { nodeId: number; leaderEpoch: number } {
    const [topicId] = [...this.names].find(([, name]) => name === topic) ?? ['']
    return { nodeId: this.leaders.get(`${topicId}/${partition}`) ?? 0, leaderEpoch: 0 }
  }

  async metadata(): Promise<void> {}

  async openConnection(nodeId: number, o: { frames?: FramePool } = {}): Promise<unknown> {
    this.connections += 1
    const connection = {
      closed: false,
      reject: (_error: unknown): void => undefined,
      send: <T>(request: ApiRequest<T>): Promise<T> =>
        new Promise<T>((resolve, reject) => {
          connection.reject = reject
          void this.#fetch(request, nodeId, o.frames, () => connection.closed).then(resolve as never, reject)
        }),
      destroy: () => {
        connection.closed = true
        connection.reject(new TwinlogError('TWINLOG_UNREACHABLE', 'destroyed', { retriable: true }))
      }
    }
    return connection
  }

  async #fetch(
    request: ApiRequest<unknown>,
    nodeId: number,
    frames: FramePool | undefined,
    gone: () => boolean
  ): Promise<FetchResponse> {
    const seen = parse(request)
    this.requests.push({ ...seen, nodeId })
    const empty = (errorCode: number, sessionId = 0) => ({ errorCode, sessionId, throttleMs: 0, partitions: [] })
    if (this.failNext !== undefined) {
      const errorCode = this.failNext
      this.failNext = undefined
      return empty(errorCode)
    }
    let session: BrokerSession | undefined
    if (seen.epoch <= 0) {
      this.sessions.delete(seen.sessionId)
    } else {
      session = this.sessions.get(seen.sessionId)
      if (!session) return empty(70)
      if (session.epoch !== seen.epoch) return empty(71)
      for (const [key, question] of seen.questions) {
        const cached = session.partitions.get(key)
        if (cached) Object.assign(cached, question)
        else session.partitions.set(key, { ...question, highWatermark: -1n, logStart: -1n })
      }
      for (const key of seen.forgotten) session.partitions.delete(key)
      if (session.partitions.size === 0) {
        this.sessions.delete(seen.sessionId)
        return empty(0)
      }
      session.epoch += 1
    }
    const questions = session ? session.partitions : seen.questions
    const deadline = performance.now() + seen.maxWaitMs
    for (;;) {
      if (this.#hasNews(questions) || performance.now() >= deadline || gone()) {
        const read = this.#read(questions, seen, nodeId)
        const worth = read.some(
          ({ records, errorCode, preferredReadReplica }) =>
            records.length > 0 || errorCode !== 0 || preferredReadReplica >= 0
        )
        if (worth || performance.now() >= deadline || gone()) return this.#answer(seen, session, read, frames)
      }
      await new Promise(resolve => setTimeout(resolve, 1))
    }
  }

  /** Thousands of idle partitions must be cheap here, too. */
  #hasNews(questions: Map<string, Question>): boolean {
    if (this.override) return true
    for (const [key, { fetchOffset }] of questions) if (this.logs.get(key)?.lastStable !== fetchOffset) return true
    return false
  }

  #isQuiet(key: string, question: Question | Cached): boolean {
    const log = this.logs.get(key)
    if (!log || this.override || !('highWatermark' in question)) return false
    return question.fetchOffset === log.end && question.highWatermark === log.end && question.logStart === log.start
  }

  #read(questions: Map<string, Question>, seen: FetchSeen, nodeId: number): FetchedPartition[] {
    let left = seen.maxBytes
    let first = true
    const told = [...questions].filter(([key, question]) => !this.#isQuiet(key, question))
    return told.map(([key, question]) => {
      const [topicId = '', partition = ''] = key.split('/')
      const log = this.logs.get(key)
      const nothing = left <= 0 || question.fetchOffset === log?.end
      const fetched = nothing ? undefined : log?.fetch(question.fetchOffset, Math.min(left, question.maxBytes), true)
      const base = { topic: this.names.get(topicId) ?? '', topicId, partition: Number(partition) }
      const result = {
        ...base,
        errorCode: log ? 0 : 100,
        highWatermark: log?.end ?? -1n,
        lastStableOffset: log?.lastStable ?? -1n,
        logStartOffset: log?.start ?? -1n,
        abortedTransactions: [],
        preferredReadReplica: -1,
        records: Buffer.alloc(0),
        ...fetched,
        ...this.override?.(key, nodeId, seen)
      }
      // One whole batch comes in any case, but only for the first partition that has something.
      if (!first && result.records.length > left) result.records = Buffer.alloc(0)
      if (result.records.length > 0) first = false
      left -= result.records.length
      return result
    })
  }

  #answer(
    seen: FetchSeen & { questions: Map<string, Question> },
    session: BrokerSession | undefined,
    read: FetchedPartition[],
    frames: FramePool | undefined
  ): FetchResponse {
    const { throttleMs } = this
    this.throttleMs = 0
    let sessionId = session ? seen.sessionId : 0
    let partitions = read
    const keyOf = (result: FetchedPartition) => `${result.topicId}/${result.partition}`
    if (session) {
      partitions = read.filter(result => {
        const cached = session.partitions.get(keyOf(result)) as Cached
        const tell =
          result.records.length > 0 ||
          result.errorCode !== 0 ||
          result.preferredReadReplica >= 0 ||
          cached.highWatermark !== result.highWatermark ||
          cached.logStart !== result.logStartOffset
        if (!tell) return false
        session.partitions.delete(keyOf(result))
        session.partitions.set(keyOf(result), {
          ...cached,
          highWatermark: result.errorCode === 0 ? result.highWatermark : -1n,
          logStart: result.logStartOffset
        })
        return true
      })
    } else if (seen.epoch === 0 && this.sessions.size < this.room) {
      sessionId = this.#nextId++
      const cached = read.map((result): [string, Cached] => [
        keyOf(result),
        {
          ...(seen.questions.get(keyOf(result)) as Question),
          highWatermark: result.errorCode === 0 ? result.highWatermark : -1n,
          logStart: result.logStartOffset
        }
      ])
      this.sessions.set(sessionId, { epoch: 1, partitions: new Map(cached) })
    }
    return { errorCode: 0, sessionId, throttleMs, partitions: inOneFrame(partitions, frames) }
  }
}

/** As on the wire: everything of an answer is a view of one frame. */
function inOneFrame(partitions: FetchedPartition[], frames: FramePool | undefined): FetchedPartition[] {
  const bytes = partitions.reduce((sum, { records }) => sum + records.length, 0)
  if (!frames || bytes === 0) return partitions
  const frame = frames.take(bytes)
  let position = 0
  return partitions.map(result => {
    if (result.records.length === 0) return result
    const records = frame.subarray(position, position + result.records.length)
    result.records.copy(records)
    position += records.length
    return { ...result, records }
  })
}

function parse(request: ApiRequest<unknown>): FetchSeen & { questions: Map<string, Question> } {
  const writer = new Writer()
  request.encode(writer, 13)
  const reader = new Reader(writer.toBuffer())
  reader.int32()
  const maxWaitMs = reader.int32()
  reader.int32()
  const maxBytes = reader.int32()
  reader.int8()
  const sessionId = reader.int32()
  const epoch = reader.int32()
  const questions = new Map<string, Question>()
  reader.compactArray(() => {
    const topicId = reader.uuid()
    reader.compactArray(() => {
      const partition = reader.int32()
      reader.int32()
      const fetchOffset = reader.int64()
      reader.int32()
      reader.int64()
      questions.set(`${topicId}/${partition}`, { fetchOffset, maxBytes: reader.int32() })
      reader.tags()
    })
    reader.tags()
  })
  const forgotten: string[] = []
  reader.compactArray(() => {
    const topicId = reader.uuid()
    for (const partition of reader.compactInt32Array()) forgotten.push(`${topicId}/${partition}`)
    reader.tags()
  })
  const rackId = reader.compactString()
  const atMs = performance.now()
  return { sessionId, epoch, maxWaitMs, maxBytes, rackId, asked: [...questions.keys()], forgotten, atMs, questions }
}
