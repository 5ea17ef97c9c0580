import { connect } from 'node:net'
import type { KafkaConfig } from 'kafkajs'
import { afterEach, describe, expect, it } from 'vitest'
import { BrokerConnection } from '../../../src/kafka/connection.js'
import { Writer } from '../../../src/kafka/protocol/writer.js'
import { connectionSettings } from '../../../src/kafka/settings.js'
import { consoleLogger } from '../../../src/logger.js'
import { ECHO, echo, echoBody, type FakeBroker, type FakeRequest, fakeBroker } from './fake-broker.js'

const brokers: FakeBroker[] = []
const connections: BrokerConnection[] = []

afterEach(async () => {
  for (const connection of connections.splice(0)) connection.destroy()
  await Promise.all(brokers.splice(0).map(broker => broker.stop()))
})

async function start(...args: Parameters<typeof fakeBroker>): Promise<FakeBroker> {
  const broker = await fakeBroker(...args)
  brokers.push(broker)
  return broker
}

async function open(broker: FakeBroker, config: Partial<KafkaConfig> = {}): Promise<BrokerConnection> {
  const settings = connectionSettings({ alias: 'east', brokers: [], ...config })
  const { host, port } = broker
  const connection = await BrokerConnection.connect({ host, port, nodeId: 7, settings, logger: consoleLogger('error') })
  connections.push(connection)
  return connection
}

/** Typed, where vitest says any. */
const containing = (text: string): unknown => expect.stringContaining(text)

const sleep = (ms: number) => new Promise<void>(resolve => setTimeout(resolve, ms))

describe('a connection is a strict queue', () => {
  it('sends in the order of the calls and matches answers in that order', async () => {
    const broker = await start()
    const connection = await open(broker)
    const settledOrder: number[] = []
    const sends = Array.from({ length: 50 }, (_, i) => connection.send(echo(i)).then(value => settledOrder.push(value)))
    expect(connection.pending).toBe(50)
    await Promise.all(sends)
    expect(settledOrder).toEqual(Array.from({ length: 50 }, (_, i) => i))
    expect(broker.seen.map(({ correlationId }) => correlationId)).toEqual(Array.from({ length: 50 }, (_, i) => i + 1))
    expect(connection.pending).toBe(0)
  })

  it('takes the highest version that both sides speak', async () => {
    const broker = await start()
    const connection = await open(broker)
    await connection.send(echo(1))
    expect(broker.seen[0]?.version).toBe(1)
  })

  it('an API that the broker does not offer is refused by name and version, and the connection lives on', async () => {
    const broker = await start(undefined, [[ECHO, 4, 9]])
    const connection = await open(broker)
    const error = await connection.send(echo(1)).catch((e: unknown) => e)
    expect(error).toMatchObject({ code: 'TWINLOG_UNSUPPORTED_BROKER', retriable: false })
    expect(String(error)).toMatch(/Echo.*0–3.*4–9/)
    expect(connection.closed).toBe(false)
  })

  it('a wrong correlation id destroys it and rejects everything', async () => {
    const broker = await start(request => request.reply(echoBody(1), request.correlationId + 1))
    const connection = await open(broker)
    const results = await Promise.allSettled([connection.send(echo(1)), connection.send(echo(2))])
    for (const result of results)
      expect(result).toMatchObject({ status: 'rejected', reason: { code: 'TWINLOG_PROTOCOL' } })
    expect(connection.closed).toBe(true)
  })

  it('an unreadable answer rejects its own request only', async () => {
    const broker = await start(request => {
      const value = request.body.int32()
      request.reply(value === 1 ? Buffer.alloc(2) : echoBody(value))
    })
    const connection = await open(broker)
    const [bad, good] = await Promise.allSettled([connection.send(echo(1)), connection.send(echo(2))])
    expect(bad).toMatchObject({ reason: { code: 'TWINLOG_PROTOCOL', retriable: false } })
    expect(good).toMatchObject({ value: 2 })
  })

  it('a frame of absurd size is refused before memory is spent on it', async () => {
    const broker = await start(request => request.socket.write('HTTP/1.1 400 Bad Request\r\n'))
    const connection = await open(broker)
    await expect(connection.send(echo(1))).rejects.toMatchObject({ code: 'TWINLOG_PROTOCOL' })
  })

  it('an answer that arrives byte by byte is put together', async () => {
    const dribble = async (request: FakeRequest) => {
      const body = Buffer.concat([Buffer.from([0]), echoBody(77)])
      const frame = Buffer.concat([
        new Writer()
          .int32(4 + body.length)
          .int32(request.correlationId)
          .toBuffer(),
        body
      ])
      for (const byte of frame) {
        request.socket.write(Buffer.from([byte]))
        await sleep(1)
      }
    }
    const broker = await start(request => void dribble(request))
    const connection = await open(broker)
    await expect(connection.send(echo(1))).resolves.toBe(77)
  })

  it('does not wait for a request without an answer', async () => {
    const broker = await start(() => undefined)
    const connection = await open(broker)
    await expect(connection.send(echo(1, { expectResponse: false }))).resolves.toBeUndefined()
    expect(connection.pending).toBe(0)
  })
})

describe('time-outs and losses', () => {
  it('a request that is not answered in time destroys the connection, so that nothing can be answered late', async () => {
    const broker = await start(request => {
      if (request.body.int32() === 1) request.reply(echoBody(1))
    })
    const connection = await open(broker)
    const first = connection.send(echo(1), { timeoutMs: 5_000 })
    const second = connection.send(echo(2), { timeoutMs: 50 })
    const third = connection.send(echo(3), { timeoutMs: 5_000 })
    const results = await Promise.allSettled([first, second, third])
    const timedOut = { status: 'rejected', reason: { code: 'TWINLOG_TIMEOUT', retriable: true } }
    expect(results).toMatchObject([{ status: 'fulfilled' }, timedOut, timedOut])
    expect(connection.closed).toBe(true)
    await expect.poll(() => broker.connections[0]?.destroyed).toBe(true)
    await expect(connection.send(echo(4))).rejects.toMatchObject({ code: 'TWINLOG_TIMEOUT' })
  })

  it('an idle connection has no deadline left over from answered requests', async () => {
    const broker = await start()
    const connection = await open(broker)
    await connection.send(echo(1), { timeoutMs: 30 })
    await sleep(60)
    await expect(connection.send(echo(2), { timeoutMs: 500 })).resolves.toBe(2)
  })

  it('the end of the socket rejects what is pending and tells the listener once', async () => {
    const broker = await start(request => request.socket.end())
    const connection = await open(broker)
    const closed: string[] = []
    connection.onClose(error => closed.push(error.code))
    await expect(connection.send(echo(1))).rejects.toMatchObject({ code: 'TWINLOG_UNREACHABLE', retriable: true })
    connection.destroy()
    connection.onClose(error => closed.push(`late ${error.code}`))
    expect(closed).toEqual(['TWINLOG_UNREACHABLE', 'late TWINLOG_UNREACHABLE'])
  })

  it('close lets pending requests finish and refuses new ones', async () => {
    const broker = await start(request => {
      setTimeout(() => request.reply(echoBody(request.body.int32())), 30)
    })
    const connection = await open(broker)
    const pending = connection.send(echo(5))
    const closing = connection.close()
    await expect(connection.send(echo(6))).rejects.toMatchObject({ code: 'TWINLOG_UNREACHABLE' })
    await expect(pending).resolves.toBe(5)
    await closing
    await expect.poll(() => broker.connections[0]?.destroyed).toBe(true)
  })

  it('a broker that accepts but never speaks fails the connect within the handshake time', async () => {
    const { createServer } = await import('node:net')
    const mute = createServer()
    await new Promise<void>(resolve => mute.listen(0, '127.0.0.1', resolve))
    const { port } = mute.address() as { port: number }
    const settings = { ...connectionSettings({ alias: 'east', brokers: [] }), handshakeTimeoutMs: 50 }
    const connecting = BrokerConnection.connect({
      host: '127.0.0.1',
      port,
      nodeId: -1,
      settings,
      logger: consoleLogger('error')
    })
    await expect(connecting).rejects.toMatchObject({
      code: 'TWINLOG_TIMEOUT',
      message: containing('ApiVersions')
    })
    mute.close()
  })

  it('a socket factory that throws or fails is an unreachable broker', async () => {
    const broker = await start()
    const throwing = open(broker, {
      socketFactory: () => {
        throw new Error('no route')
      }
    })
    await expect(throwing).rejects.toMatchObject({
      code: 'TWINLOG_UNREACHABLE',
      message: containing('no route')
    })
    const hanging = open(broker, { connectionTimeout: 40, socketFactory: ({ host, port }) => connect({ host, port }) })
    await expect(hanging).rejects.toMatchObject({
      code: 'TWINLOG_UNREACHABLE',
      message: containing('40 ms')
    })
  })
})

describe('throttling (KIP-219)', () => {
  it('holds everything back for the time asked for and keeps the order (M10: kafkajs sent 4 5 1 2 3)', async () => {
    const order: number[] = []
    const broker = await start(request => {
      const value = request.body.int32()
      order.push(value)
      request.reply(echoBody(value, value === 0 ? 120 : 0))
    })
    const connection = await open(broker)
    await connection.send(echo(0))
    const throttledAt = performance.now()
    const sends = [1, 2, 3].map(value => connection.send(echo(value)))
    await sleep(60)
    expect(order).toEqual([0])
    sends.push(...[4, 5].map(value => connection.send(echo(value))))
    await Promise.all(sends)
    expect(performance.now() - throttledAt).toBeGreaterThanOrEqual(110)
    expect(order).toEqual([0, 1, 2, 3, 4, 5])
  })
})

describe('SASL', () => {
  const sasl = { mechanism: 'plain' as const, username: 'alice', password: 'open sesame' }
  const handshake = (request: FakeRequest) => {
    const body = new Writer().int16(0).int32(1).string('PLAIN')
    request.reply(body.toBuffer())
  }
  const authenticated = (request: FakeRequest, lifetimeMs: bigint) =>
    request.reply(new Writer().int16(0).string(null).int32(0).int64(lifetimeMs).toBuffer())

  it('re-authenticates ahead of the end of the session, on an idle wire, with sends queued and in order', async () => {
    const wire: string[] = []
    let held: FakeRequest | undefined
    const broker = await start(request => {
      if (request.apiKey === 17) {
        wire.push('handshake')
        handshake(request)
      } else if (request.apiKey === 36) {
        wire.push('authenticate')
        authenticated(request, 400n)
      } else {
        const value = request.body.int32()
        wire.push(`echo ${value}`)
        if (value === 0) held = request
        else request.reply(echoBody(value))
      }
    })
    const connection = await open(broker, { sasl })
    const first = connection.send(echo(0))
    // The session ends after 400 ms, so re-authentication is due after 320; by then the answer to 0 is outstanding.
    await sleep(360)
    const sends = [1, 2].map(value => connection.send(echo(value)))
    await sleep(30)
    expect(wire).toEqual(['handshake', 'authenticate', 'echo 0'])
    held?.reply(echoBody(0))
    await Promise.all([first, ...sends])
    expect(wire).toEqual(['handshake', 'authenticate', 'echo 0', 'handshake', 'authenticate', 'echo 1', 'echo 2'])
  })

  it('a refusal names mechanism and user, never the password, and is not retriable', async () => {
    const broker = await start(request => {
      if (request.apiKey === 17) handshake(request)
      else
        request.reply(
          new Writer()
            .int16(58)
            .string('Authentication failed: Invalid username or password')
            .int32(0)
            .int64(0n)
            .toBuffer()
        )
    })
    const error = (await open(broker, { sasl }).catch((e: unknown) => e)) as Error
    expect(error).toMatchObject({ code: 'TWINLOG_UNAUTHORIZED', retriable: false })
    expect(error.message).toMatch(/PLAIN for user "alice".*Invalid username or password/)
    expect(JSON.stringify(error) + error.message + String(error.stack)).not.toContain(sasl.password)
  })

  it('a connection lost while authenticating is unreachable, not a wrong password', async () => {
    const broker = await start(request => {
      if (request.apiKey === 17) handshake(request)
      else request.socket.destroy()
    })
    await expect(open(broker, { sasl })).rejects.toMatchObject({ code: 'TWINLOG_UNREACHABLE', retriable: true })
  })

  it("leaves the user's sasl object alone", async () => {
    const broker = await start(request => (request.apiKey === 17 ? handshake(request) : authenticated(request, 0n)))
    const mine = { ...sasl }
    await open(broker, { sasl: mine })
    expect(Object.keys(mine)).toEqual(['mechanism', 'username', 'password'])
  })

  it('a custom mechanism authenticates through its own provider', async () => {
    const broker = await start(request =>
      request.apiKey === 17
        ? request.reply(new Writer().int16(0).int32(1).string('MINE').toBuffer())
        : authenticated(request, 0n)
    )
    const authenticationProvider = ({ saslAuthenticate }: { saslAuthenticate: (o: object) => Promise<unknown> }) => ({
      authenticate: async () =>
        void (await saslAuthenticate({ request: { encode: async () => Buffer.from('\0\0\0\x02hi', 'latin1') } }))
    })
    const mechanism = { mechanism: 'mine', authenticationProvider } as unknown as NonNullable<KafkaConfig['sasl']>
    await open(broker, { sasl: mechanism })
    const body = broker.seen.find(({ apiKey }) => apiKey === 36)?.body
    expect(body?.bytes(body.int32()).toString()).toBe('hi')
  })
})
