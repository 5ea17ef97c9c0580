import { setTimeout as sleep } from 'node:timers/promises'
import { createServer, type TLSSocket } from 'node:tls'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { BrokerConnection } from '../../../src/kafka/connection.js'
import type { KafkajsCluster } from '../../../src/kafka/internals.js'
import { createKafka } from '../../../src/kafka/kafkajs.js'
import { Writer } from '../../../src/kafka/protocol/writer.js'
import { connectionSettings } from '../../../src/kafka/settings.js'
import type { ClusterConfig } from '../../../src/kafka/types.js'
import { consoleLogger } from '../../../src/logger.js'
import { Authority, type Issued } from '../../support/certificates.js'
import { type FakeBroker, type FakeRequest, fakeBroker } from './fake-broker.js'

type Sasl = NonNullable<ClusterConfig['sasl']>

const brokers: FakeBroker[] = []
const connections: BrokerConnection[] = []

afterEach(async () => {
  for (const connection of connections.splice(0)) connection.destroy()
  await Promise.all(brokers.splice(0).map(broker => broker.stop()))
})

/** A broker that lets in whoever knows the password (or brings the token) of now, and keeps what it was told. */
async function guarded(o: { lifetimeMs?: number; mechanism?: string } = {}) {
  const guard = { expects: '', told: [] as string[] }
  const broker = await fakeBroker((request: FakeRequest) => {
    if (request.apiKey === 17) {
      request.reply(
        new Writer()
          .int16(0)
          .int32(1)
          .string(o.mechanism ?? 'PLAIN')
          .toBuffer()
      )
      return
    }
    const secret =
      request.body
        .bytes(request.body.int32())
        .toString()
        .split(/[\0\x01]/)
        .findLast(Boolean) ?? ''
    guard.told.push(secret)
    const code = guard.expects === '' || secret === guard.expects ? 0 : 58
    const lifetime = BigInt(o.lifetimeMs ?? 0)
    request.reply(
      new Writer()
        .int16(code)
        .string(code ? 'wrong' : null)
        .int32(0)
        .int64(lifetime)
        .toBuffer()
    )
  })
  brokers.push(broker)
  return { broker, guard }
}

const plain = (password: string): Sasl => ({ mechanism: 'plain', username: 'alice', password })

function connectorOf(broker: { host: string; port: number }, config: ClusterConfig) {
  const settings = connectionSettings(config)
  return async () => {
    const { host, port } = broker
    const connection = await BrokerConnection.connect({
      host,
      port,
      nodeId: 1,
      settings,
      logger: consoleLogger('error')
    })
    connections.push(connection)
    return connection
  }
}

describe('credentials that change while we run', () => {
  it('a sasl object that is replaced or written to counts for the next connection', async () => {
    const { broker, guard } = await guarded()
    const config: ClusterConfig = { alias: 'east', brokers: [], sasl: plain('first') }
    const connect = connectorOf(broker, config)
    await connect()
    config.sasl = plain('second')
    await connect()
    ;(config.sasl as { password: string }).password = 'third'
    await connect()
    expect(guard.told).toEqual(['first', 'second', 'third'])
  })

  it('a getter is asked for each authentication of a connection, also when its session is renewed', async () => {
    const { broker, guard } = await guarded({ lifetimeMs: 200 })
    let asked = 0
    const config: ClusterConfig = {
      alias: 'east',
      brokers: [],
      get sasl() {
        return plain(`password ${++asked}`)
      }
    }
    await connectorOf(broker, config)()
    await expect.poll(() => guard.told).toEqual(['password 1', 'password 2'])
    expect(asked).toBe(2)
  })

  it('another user or mechanism ends the connection when its session does: brokers refuse to renew it for somebody else', async () => {
    const { broker, guard } = await guarded({ lifetimeMs: 100 })
    const config: ClusterConfig = { alias: 'east', brokers: [], sasl: plain('secret') }
    const connection = await connectorOf(broker, config)()
    config.sasl = { mechanism: 'plain', username: 'bob', password: 'secret of bob' }
    const closed = await new Promise(resolve => connection.onClose(resolve))
    expect(closed).toMatchObject({ code: 'TWINLOG_UNREACHABLE', retriable: true })
    expect(guard.told).toEqual(['secret'])
  })

  it('an oauthBearerProvider is asked for a token at each authentication', async () => {
    const { broker, guard } = await guarded({ mechanism: 'OAUTHBEARER' })
    let tokens = 0
    const oauthBearerProvider = () => Promise.resolve({ value: `token-${++tokens}` })
    const connect = connectorOf(broker, {
      alias: 'east',
      brokers: [],
      sasl: { mechanism: 'oauthbearer', oauthBearerProvider }
    })
    await connect()
    await connect()
    expect(guard.told.map(text => text.replace('auth=Bearer ', ''))).toEqual(['token-1', 'token-2'])
  })

  it('a provider that fails is not called a refusal of the broker, and another attempt may succeed', async () => {
    const { broker } = await guarded({ mechanism: 'OAUTHBEARER' })
    const oauthBearerProvider = () => Promise.reject(new Error('the token server is down'))
    const config: ClusterConfig = {
      alias: 'east',
      brokers: [],
      sasl: { mechanism: 'oauthbearer', oauthBearerProvider }
    }
    const error = (await connectorOf(broker, config)().catch((e: unknown) => e)) as Error
    expect(error).toMatchObject({ code: 'TWINLOG_UNAUTHORIZED', retriable: true })
    expect(error.message).toMatch(/the sasl option's provider failed: the token server is down/)
    expect(error.message).not.toMatch(/refused/)
  })

  it('a getter that throws is an error of its own that says which option, and another attempt may succeed', async () => {
    const { broker } = await guarded()
    let broken: 'sasl' | 'ssl' | undefined
    const readFile = (option: 'sasl' | 'ssl') => {
      if (broken === option) throw new Error('ENOENT: no such file, /secrets/of/alice')
    }
    const config: ClusterConfig = {
      alias: 'east',
      brokers: [],
      get sasl() {
        readFile('sasl')
        return plain('open sesame')
      },
      get ssl() {
        readFile('ssl')
        return false
      }
    }
    const connect = connectorOf(broker, config)
    for (const option of ['sasl', 'ssl'] as const) {
      broken = option
      const error = (await connect().catch((e: unknown) => e)) as Error
      expect(error, option).toMatchObject({ retriable: true })
      expect(error.message).toMatch(new RegExp(`the ${option} option cannot be read: ENOENT`))
    }
    broken = undefined
    await connect()
  })
})

describe('certificates that change while we run', () => {
  const own: Record<string, Issued & { ca: string }> = {}

  beforeAll(() => {
    for (const name of ['one', 'two']) {
      const authority = new Authority(name)
      own[name] = { ca: authority.ca, ...authority.issue(name) }
      authority.remove()
    }
  })

  /** Speaks TLS and nothing else; tells which client certificates it saw. */
  async function tlsServer() {
    const seen: string[] = []
    const server = createServer({ ...own.one, requestCert: true, rejectUnauthorized: false }, (socket: TLSSocket) => {
      seen.push(String(socket.getPeerCertificate().subject?.CN ?? 'none'))
      socket.on('error', () => undefined)
      socket.destroy()
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const renew = (name: string) => server.setSecureContext({ ...own[name] })
    const { port } = server.address() as AddressInfo
    return { host: '127.0.0.1', port, seen, renew, stop: () => server.close() }
  }

  it('are read for each connection: CA and client certificate, replaced in the object or by a getter', async () => {
    const server = await tlsServer()
    let name = 'one'
    const config: ClusterConfig = {
      alias: 'east',
      brokers: [],
      get ssl() {
        return { ...own[name] }
      }
    }
    const connect = connectorOf(server, config)
    // The server hangs up: only who was there counts.
    await connect().catch(() => undefined)
    server.renew('two')
    await expect(connect()).rejects.toThrow(/certificate/)
    name = 'two'
    await connect().catch(() => undefined)
    await expect.poll(() => server.seen.filter(who => who !== 'none')).toEqual(['one', 'two'])
    server.stop()
  })

  it("kafkajs's connections of ours read them anew as well", async () => {
    const server = await tlsServer()
    const config: ClusterConfig = { alias: 'east', brokers: [`127.0.0.1:${server.port}`], logLevel: 0 }
    config.ssl = { ...own.one }
    const connection = (await poolOf(config, server)).pool[0] as unknown as { connect(): Promise<unknown> }
    await connection.connect()
    await expect.poll(() => server.seen.length).toBe(1)
    config.ssl = { ...own.two, ca: String(own.one?.ca) }
    await expect.poll(() => connection.connect().then(() => server.seen)).toEqual(['one', 'two'])
    server.stop()
  })
})

interface Authenticating {
  connect(): Promise<unknown>
  disconnect(): Promise<unknown>
  authenticate(): Promise<unknown>
  setVersions(versions: object): void
  setSupportAuthenticationProtocol(supported: boolean): void
}

async function poolOf(config: ClusterConfig, address: { host: string; port: number }) {
  const clusters: KafkajsCluster[] = []
  createKafka(config, { onCluster: cluster => clusters.push(cluster) }).kafka.admin()
  return (clusters[0] as KafkajsCluster).connectionPoolBuilder.build({ host: address.host, port: address.port })
}

describe("kafkajs's connections of ours", () => {
  async function connectionOf(config: ClusterConfig, broker: FakeBroker): Promise<Authenticating> {
    const connection = (await poolOf(config, broker)).pool[0] as unknown as Authenticating
    connection.setVersions({ 17: { minVersion: 0, maxVersion: 1 }, 36: { minVersion: 0, maxVersion: 1 } })
    connection.setSupportAuthenticationProtocol(true)
    return connection
  }

  it('take the credentials of the moment at each authentication, and leave the object of the config alone', async () => {
    const { broker, guard } = await guarded({ lifetimeMs: 100 })
    const config: ClusterConfig = { alias: 'east', brokers: ['127.0.0.1:9'], logLevel: 0, sasl: plain('first') }
    const connection = await connectionOf(config, broker)
    await connection.connect()
    await connection.authenticate()
    const second = plain('second')
    config.sasl = second
    await sleep(100)
    await connection.authenticate()
    ;(config.sasl as { password: string }).password = 'third'
    await sleep(100)
    await connection.authenticate()
    expect(guard.told).toEqual(['first', 'second', 'third'])
    expect(Object.keys(second)).toEqual(['mechanism', 'username', 'password'])
    await connection.disconnect()
  })

  it('a session that is shorter than the threshold is not renewed with every request: brokers refuse that', async () => {
    const { broker, guard } = await guarded({ lifetimeMs: 1_000 })
    const config: ClusterConfig = { alias: 'east', brokers: ['127.0.0.1:9'], logLevel: 0, sasl: plain('only') }
    const connection = await connectionOf(config, broker)
    await connection.connect()
    for (let times = 0; times < 5; times++) {
      await connection.authenticate()
      await sleep(50)
    }
    expect(guard.told).toEqual(['only'])
    await connection.disconnect()
  })

  it('a refusal ends kafkajs at once, but not where credentials were good before: they may be on their way', async () => {
    const { broker, guard } = await guarded({ lifetimeMs: 100 })
    const config: ClusterConfig = { alias: 'east', brokers: ['127.0.0.1:9'], logLevel: 0, sasl: plain('first') }
    const connection = await connectionOf(config, broker)
    guard.expects = 'second'
    await connection.connect()
    const refusal = { name: 'KafkaJSSASLAuthenticationError' }
    await expect(connection.authenticate()).rejects.toMatchObject({ ...refusal, retriable: false })
    guard.expects = 'first'
    await connection.authenticate()
    guard.expects = 'second'
    await sleep(100)
    await expect(connection.authenticate()).rejects.toMatchObject({ ...refusal, retriable: true })
    config.sasl = plain('second')
    await connection.authenticate()
    await connection.disconnect()
  })
})
