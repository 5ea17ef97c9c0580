import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { Reader } from '../../src/kafka/protocol/reader.js'
import { produceRequest, type ProducedPartition } from '../../src/kafka/requests/produce.js'

/** One Produce request that went by, and its answer when it has come. */
export interface TappedProduce {
  /** Requests to the same topic that were without an answer when this one was sent, itself included. */
  outstanding: number
  /** Answers with error 0 that had come before it was sent. */
  successesBefore: number
  result?: ProducedPartition
}

export interface FrameTap {
  host: string
  port: number
  produces: TappedProduce[]
  close(): Promise<void>
}

const PRODUCE = 0

/** A TCP proxy that reads along: which Produce requests for a topic id are on their way at once. Answers come `delayMs` late. */
export async function startFrameTap(o: {
  target: { host: string; port: number }
  topicId: () => string
  delayMs: number
  /** So many of the first ones fail at the broker, which is asked for another topic id (error 100); what follows is let through. */
  failFirst?: number
}): Promise<FrameTap> {
  const produces: TappedProduce[] = []
  const sockets = new Set<Socket>()
  let outstanding = 0
  let successes = 0
  const server = createServer({ noDelay: true }, client => {
    const broker = connect({ ...o.target, noDelay: true })
    const open = new Map<number, { version: number; tapped: TappedProduce; topicId: Buffer; asked: Buffer }>()
    for (const socket of [client, broker]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
    }
    client.on('close', () => {
      outstanding -= open.size
      open.clear()
      broker.destroy()
    })
    broker.on('close', () => client.destroy())
    client.on(
      'data',
      frames(frame => {
        const topicId = Buffer.from(o.topicId(), 'base64url')
        if (frame.readInt16BE(4) === PRODUCE && frame.includes(topicId)) {
          outstanding += 1
          const tapped = { outstanding, successesBefore: successes }
          const asked = produces.length < (o.failFirst ?? 0) ? Buffer.alloc(16, 0xee) : topicId
          produces.push(tapped)
          open.set(frame.readInt32BE(8), { version: frame.readInt16BE(6), tapped, topicId, asked })
          replace(frame, topicId, asked)
        }
        broker.write(frame)
      })
    )
    broker.on(
      'data',
      frames(frame => {
        const question = open.get(frame.readInt32BE(4))
        if (!question) return void client.write(frame)
        setTimeout(() => {
          open.delete(frame.readInt32BE(4))
          replace(frame, question.asked, question.topicId)
          const decode = produceRequest({ acks: -1, timeoutMs: 0, topics: [] }).decode
          // Length, correlation id, the header's empty tag section.
          const result = decode(new Reader(frame.subarray(9)), question.version).partitions[0]
          if (result) question.tapped.result = result
          outstanding -= 1
          if (result?.errorCode === 0) successes += 1
          client.write(frame)
        }, o.delayMs)
      })
    )
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    host: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
    produces,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise<void>(resolve => server.close(() => resolve()))
    }
  }
}

function replace(frame: Buffer, what: Buffer, by: Buffer): void {
  by.copy(frame, frame.indexOf(what))
}

function frames(each: (frame: Buffer) => void): (chunk: Buffer) => void {
  let received = Buffer.alloc(0)
  return chunk => {
    received = Buffer.concat([received, chunk])
    while (received.length >= 4 && received.length >= 4 + received.readInt32BE(0)) {
      const end = 4 + received.readInt32BE(0)
      each(received.subarray(0, end))
      received = received.subarray(end)
    }
  }
}
