import { type AddressInfo, createServer, type Socket } from 'node:net'
import { Reader } from '../../../src/kafka/protocol/reader.js'
import { Writer } from '../../../src/kafka/protocol/writer.js'
import type { ApiRequest } from '../../../src/kafka/types.js'

export interface FakeRequest {
  apiKey: number
  version: number
  correlationId: number
  body: Reader
  socket: Socket
  /** Answers with this body; flexible requests get their tag section. */
  reply(body: Buffer, correlationId?: number): void
}

export interface FakeBroker {
  host: string
  port: number
  /** Everything received after ApiVersions, in order. */
  seen: FakeRequest[]
  connections: Socket[]
  stop(): Promise<void>
}

/** API that only the fake broker knows: echoes an INT32, with a throttle time ahead of it. */
export const ECHO = 999

export function echo(value: number, o: { expectResponse?: boolean } = {}): ApiRequest<number> {
  return {
    apiKey: ECHO,
    apiName: 'Echo',
    minVersion: 0,
    maxVersion: 3,
    flexibleFrom: 1,
    ...o,
    encode: writer => void writer.int32(value).tags(),
    decode: reader => {
      reader.throttle()
      return reader.int32()
    }
  }
}

export const echoBody = (value: number, throttleMs = 0) => new Writer().int32(throttleMs).int32(value).toBuffer()

/** A broker of sockets and nothing else; answers ApiVersions, and Echo unless `onRequest` takes it. */
export async function fakeBroker(
  onRequest: (request: FakeRequest) => void = request => request.reply(echoBody(request.body.int32())),
  versions: [key: number, min: number, max: number][] = [
    [ECHO, 0, 1],
    [17, 0, 1],
    [36, 0, 2]
  ]
): Promise<FakeBroker> {
  const seen: FakeRequest[] = []
  const connections: Socket[] = []
  const server = createServer(socket => {
    connections.push(socket)
    socket.on('error', () => undefined)
    let received = Buffer.alloc(0)
    socket.on('data', chunk => {
      received = Buffer.concat([received, chunk])
      while (received.length >= 4 && received.length >= 4 + received.readInt32BE(0)) {
        const end = 4 + received.readInt32BE(0)
        const frame = received.subarray(4, end)
        received = received.subarray(end)
        const reader = new Reader(frame)
        const request = { apiKey: reader.int16(), version: reader.int16(), correlationId: reader.int32() }
        reader.bytes(reader.int16())
        // kafkajs asks in version 2 first: it gets no answer here.
        if (request.apiKey === 18 && request.version < 3) continue
        const flexible = request.apiKey === ECHO ? request.version >= 1 : request.apiKey === 18
        if (flexible) reader.tags()
        const reply = (body: Buffer, correlationId = request.correlationId) => {
          const header = new Writer().int32(correlationId)
          if (flexible && request.apiKey !== 18) header.tags()
          const payload = Buffer.concat([header.toBuffer(), body])
          socket.write(Buffer.concat([new Writer().int32(payload.length).toBuffer(), payload]))
        }
        if (request.apiKey === 18) {
          const body = new Writer().int16(0)
          body.compactArray(versions, ([key, min, max]) => body.int16(key).int16(min).int16(max).tags())
          reply(body.int32(0).tags().toBuffer())
          continue
        }
        const full = { ...request, body: reader, socket, reply }
        seen.push(full)
        onRequest(full)
      }
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    host: '127.0.0.1',
    port,
    seen,
    connections,
    stop: () =>
      new Promise(resolve => {
        for (const socket of connections) socket.destroy()
        server.close(() => resolve())
      })
  }
}
