import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Proxy, startProxy } from '../../support/proxy.js'
import { proxyMap, socketFactoryThrough } from '../../support/socket-factory.js'

let server: Server
let target: { host: string; port: number }
let proxy: Proxy
const accepted: Socket[] = []
const clients: Socket[] = []

beforeEach(async () => {
  server = createServer({ allowHalfOpen: true }, socket => {
    accepted.push(socket)
    socket.on('error', () => undefined)
    socket.on('end', () => socket.end())
    socket.on('data', data => {
      if (!socket.write(data)) {
        socket.pause()
        socket.once('drain', () => socket.resume())
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  target = { host: '127.0.0.1', port: (server.address() as AddressInfo).port }
  proxy = await startProxy({ target })
})

afterEach(async () => {
  for (const socket of [...clients, ...accepted]) socket.destroy()
  clients.length = accepted.length = 0
  await proxy.close()
  server.close()
})

async function client(): Promise<Socket> {
  const socket = connect({ host: proxy.host, port: proxy.port })
  clients.push(socket)
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  return socket
}

async function collect(socket: Socket, bytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    length += chunk.length
    if (length >= bytes) break
  }
  return Buffer.concat(chunks)
}

async function echo(socket: Socket, text: string): Promise<{ answer: string; ms: number }> {
  const started = performance.now()
  socket.write(text)
  const answer = (await collect(socket, text.length)).toString()
  return { answer, ms: performance.now() - started }
}

describe('a fault proxy', () => {
  it('carries bytes both ways and counts connections', async () => {
    const socket = await client()
    expect((await echo(socket, 'hello')).answer).toBe('hello')
    expect(proxy.connections).toBe(1)
    expect(proxy.bytes).toBe(10)
    const closed = once(socket, 'close')
    socket.end()
    await closed
    expect(proxy.connections).toBe(0)
  })

  it('delays each direction and keeps the order', async () => {
    proxy.setLatency(60)
    const socket = await client()
    const { ms } = await echo(socket, 'hello')
    expect(ms).toBeGreaterThanOrEqual(119)
    expect(ms).toBeLessThan(400)
    const text = Array.from({ length: 200 }, (_, i) => `${i},`).join('')
    for (const [i, part] of text.split(',').slice(0, -1).entries()) {
      socket.write(`${part},`)
      if (i % 20 === 0) await sleep(2)
      if (i === 100) proxy.setLatency(1)
    }
    expect((await collect(socket, text.length)).toString()).toBe(text)
  })

  it('keeps every byte of a big stream under latency and backpressure', async () => {
    proxy.setLatency(5)
    const socket = await client()
    const data = Buffer.alloc(32 * 1024 * 1024)
    for (let i = 0; i < data.length; i += 4) data.writeUInt32BE(i, i)
    socket.write(data)
    expect((await collect(socket, data.length)).equals(data)).toBe(true)
  })

  it('limits the bandwidth and lifts the limit again', async () => {
    proxy.setThrottle(100_000)
    const socket = await client()
    const started = performance.now()
    socket.write(Buffer.alloc(30_000))
    await collect(socket, 30_000)
    expect(performance.now() - started).toBeGreaterThan(250)
    proxy.setThrottle(null)
    const again = performance.now()
    socket.write(Buffer.alloc(1_000_000))
    await collect(socket, 1_000_000)
    expect(performance.now() - again).toBeLessThan(1000)
  })

  it('cut: ends both sides in good order and accepts new connections', async () => {
    const socket = await client()
    await echo(socket, 'x')
    const errors: Error[] = []
    socket.on('error', error => errors.push(error))
    const ended = once(socket, 'end')
    const serverEnded = once(accepted[0] as Socket, 'end')
    proxy.cut()
    await Promise.all([ended, serverEnded])
    expect(errors).toEqual([])
    expect((await echo(await client(), 'y')).answer).toBe('y')
  })

  it('reset: both sides see ECONNRESET', async () => {
    const socket = await client()
    await echo(socket, 'x')
    const atServer = once(accepted[0] as Socket, 'error')
    const atClient = once(socket, 'error')
    proxy.reset()
    expect(((await atClient)[0] as NodeJS.ErrnoException).code).toBe('ECONNRESET')
    expect(((await atServer)[0] as NodeJS.ErrnoException).code).toBe('ECONNRESET')
  })

  it('cutAfterBytes: lets that many bytes pass and then resets, once', async () => {
    const socket = await client()
    proxy.cutAfterBytes(10)
    await echo(socket, 'abcd')
    const got: Buffer[] = []
    accepted[0]?.on('data', data => got.push(data))
    const failed = once(socket, 'error')
    socket.write('efghijkl')
    expect(((await failed)[0] as NodeJS.ErrnoException).code).toBe('ECONNRESET')
    await sleep(20)
    expect(Buffer.concat(got).toString()).toBe('efghij')
    expect((await echo(await client(), 'again')).answer).toBe('again')
  })

  it('halfOpen: accepts and swallows, answers nothing, and stays dead for that connection', async () => {
    const before = await client()
    await echo(before, 'x')
    proxy.halfOpen(true)
    const during = await client()
    let heard = 0
    for (const socket of [before, during]) {
      socket.on('data', () => heard++)
      socket.on('close', () => heard++)
      socket.write('hello?')
    }
    await sleep(100)
    proxy.halfOpen(false)
    before.write('still?')
    await sleep(100)
    expect(heard).toBe(0)
    expect((await echo(await client(), 'z')).answer).toBe('z')
  })

  it('pause: holds bytes back without losing one', async () => {
    const socket = await client()
    await echo(socket, 'x')
    proxy.pause()
    let heard = ''
    socket.on('data', data => {
      heard += String(data)
    })
    socket.write('abc')
    await sleep(80)
    expect(heard).toBe('')
    proxy.resume()
    await sleep(80)
    expect(heard).toBe('abc')
  })

  it('ends the client when the target refuses', async () => {
    await using nowhere = await startProxy({ target: { host: '127.0.0.1', port: 1 } })
    const socket = connect({ host: nowhere.host, port: nowhere.port })
    await once(socket, 'error')
    expect(nowhere.connections).toBe(0)
  })
})

describe('socketFactoryThrough', () => {
  it('sends a connection through a proxy of its target, made on demand', async () => {
    await using map = proxyMap()
    map.forEach(each => each.setLatency(30))
    const factory = socketFactoryThrough(map)
    const socket = await new Promise<Socket>(resolve => {
      const made: Socket = factory({ ...target, ssl: undefined, onConnect: () => resolve(made) })
      clients.push(made)
    })
    const { answer, ms } = await echo(socket, 'hello')
    expect(answer).toBe('hello')
    expect(ms).toBeGreaterThanOrEqual(59)
    expect(map.all().map(each => each.connections)).toEqual([1])
  })
})
