import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TwinlogError } from '../../../src/errors.js'
import { ClusterClient } from '../../../src/kafka/cluster.js'
import { createKafka } from '../../../src/kafka/kafkajs.js'
import { describeClusterRequest } from '../../../src/kafka/requests/describe-cluster.js'
import { listGroupsRequest } from '../../../src/kafka/requests/list-groups.js'
import type { ClusterConfig } from '../../../src/kafka/types.js'
import { consoleLogger } from '../../../src/logger.js'
import { type KafkaCluster, startKafka } from '../../support/kafka.js'

/** Typed, where vitest says any. */
const matching = (text: string | RegExp): unknown => expect.stringMatching(text)

const logger = consoleLogger('error')
const noRetry = { retries: 0 }

let directory: string
let cluster: KafkaCluster
const clients: ClusterClient[] = []

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'twinlog-tls-'))
  const store = join(directory, 'broker.p12')
  const common = ['-keystore', store, '-storepass', 'keystore-pass', '-alias', 'broker']
  execFileSync(
    'keytool',
    ['-genkeypair', ...common, '-keyalg', 'EC', '-dname', 'CN=broker', '-ext', 'san=ip:127.0.0.1'],
    { stdio: 'ignore' }
  )
  execFileSync('keytool', ['-exportcert', ...common, '-rfc', '-file', join(directory, 'ca.pem')], { stdio: 'ignore' })
  cluster = await startKafka({
    name: 'secured',
    listeners: [
      {
        name: 'SASL',
        protocol: 'SASL_PLAINTEXT',
        plainUsers: { alice: 'alice-pass' },
        scramUsers: { bob: 'bob-pass' }
      },
      {
        name: 'TLS',
        protocol: 'SSL',
        properties: {
          'ssl.keystore.location': store,
          'ssl.keystore.password': 'keystore-pass',
          'ssl.key.password': 'keystore-pass',
          'ssl.keystore.type': 'PKCS12'
        }
      }
    ],
    properties: { 'connections.max.reauth.ms': 2_000 }
  })
})

afterAll(async () => {
  await Promise.all(clients.map(client => client.close()))
  await cluster?.stop()
  rmSync(directory, { recursive: true, force: true })
})

function clientOf(overrides: Partial<ClusterConfig> = {}): ClusterClient {
  const client = new ClusterClient({ ...cluster.config('east'), retry: noRetry, ...overrides }, { logger })
  clients.push(client)
  return client
}

const failureOf = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => error as TwinlogError
  )

async function closedPort(): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise(resolve => server.close(resolve))
  return port
}

describe('connecting', () => {
  it('an unreachable cluster is an error that names each broker and its failure', async () => {
    const [one, two] = [await closedPort(), await closedPort()]
    const error = await failureOf(clientOf({ brokers: [`127.0.0.1:${one}`, `127.0.0.1:${two}`] }).connect())
    expect(error).toMatchObject({ code: 'TWINLOG_UNREACHABLE', retriable: true, cluster: 'east' })
    expect(error?.message).toContain(`127.0.0.1:${one} cannot be reached: connect ECONNREFUSED`)
    expect(error?.message).toContain(`127.0.0.1:${two} cannot be reached: connect ECONNREFUSED`)
  })

  it('one living bootstrap broker is enough, and brokers may be a function', async () => {
    const dead = `127.0.0.1:${await closedPort()}`
    const client = clientOf({ brokers: () => [dead, ...cluster.bootstrap] })
    await client.connect()
    expect(client.clusterId).toBe(cluster.clusterId)
    await client.connect()
  })

  it('goes by way of the socket factory of the config', async () => {
    const { connect } = await import('node:net')
    let sockets = 0
    const client = clientOf({
      socketFactory: ({ host, port, onConnect }) => {
        sockets++
        return connect({ host, port }, onConnect)
      }
    })
    await client.connect()
    await client.send('controller', describeClusterRequest())
    // The bootstrap connection leads to the only broker and is kept as its control connection.
    expect(sockets).toBe(1)
  })

  for (const mechanism of ['scram-sha-256', 'scram-sha-512', 'plain'] as const) {
    const [username, right] = mechanism === 'plain' ? ['alice', 'alice-pass'] : ['bob', 'bob-pass']

    it(`authenticates with ${mechanism}; a wrong password is refused by name and without the password`, async () => {
      const brokers = cluster.bootstrapOf('SASL')
      const connectWith = (password: string) =>
        clientOf({ brokers, sasl: { mechanism, username, password } as NonNullable<ClusterConfig['sasl']> }).connect()
      await connectWith(right)
      const error = await failureOf(connectWith('no-such-pass'))
      expect(error).toMatchObject({ code: 'TWINLOG_UNAUTHORIZED', retriable: false })
      expect(error?.message).toContain(`SASL ${mechanism.toUpperCase()} for user "${username}"`)
      expect(`${error?.message}${error?.stack}${JSON.stringify(error)}`).not.toContain('no-such-pass')
    })
  }

  it('stays connected beyond the life of a session (KIP-368), with requests all the time', async () => {
    const sasl = { mechanism: 'scram-sha-256' as const, username: 'bob', password: 'bob-pass' }
    const client = clientOf({ brokers: cluster.bootstrapOf('SASL'), sasl })
    await client.connect()
    const [nodeId = -1] = (await client.metadata()).brokers.keys()
    const connection = await client.openConnection(nodeId)
    const until = performance.now() + 5_000
    let sent = 0
    while (performance.now() < until) {
      await Promise.all([connection.send(listGroupsRequest()), connection.send(listGroupsRequest())])
      sent += 2
    }
    expect(connection.closed).toBe(false)
    expect(sent).toBeGreaterThan(100)
  })

  it('speaks TLS; an unknown certificate authority is explained; so is plaintext on a TLS port', async () => {
    const brokers = cluster.bootstrapOf('TLS')
    const client = clientOf({ brokers, ssl: { ca: [readFileSync(join(directory, 'ca.pem'), 'utf8')] } })
    await client.connect()
    expect((await client.send('any', describeClusterRequest())).clusterId).toBe(cluster.clusterId)
    const unknown = await failureOf(clientOf({ brokers, ssl: true }).connect())
    expect(unknown).toMatchObject({
      code: 'TWINLOG_UNREACHABLE',
      retriable: false,
      message: matching(/certificate/)
    })
    const plaintext = await failureOf(clientOf({ brokers }).connect())
    expect(plaintext).toMatchObject({ message: matching(/TLS/) })
  })

  it('a bad broker address is an option error', async () => {
    expect(await failureOf(clientOf({ brokers: ['kafka'] }).connect())).toMatchObject({
      code: 'TWINLOG_INVALID_OPTION'
    })
    expect(await failureOf(clientOf({ brokers: [] }).connect())).toMatchObject({ code: 'TWINLOG_INVALID_OPTION' })
  })

  it('is aborted by a signal, and a closed client says so', async () => {
    const aborted = clientOf().connect({ signal: AbortSignal.abort() })
    expect(await failureOf(aborted)).toMatchObject({ code: 'TWINLOG_ABORTED' })
    const client = clientOf()
    await client.connect()
    await client.close()
    expect(await failureOf(client.send('any', describeClusterRequest()))).toMatchObject({
      code: 'TWINLOG_INVALID_STATE'
    })
  })

  it('an unknown node is an error that names the living ones', async () => {
    const client = clientOf()
    await client.connect()
    expect(await failureOf(client.openConnection(77))).toMatchObject({
      code: 'TWINLOG_UNREACHABLE',
      message: matching('77')
    })
  })
})

describe('kafkajs clients', () => {
  it('work while cured, and their sockets can be cut at once and for good', async () => {
    const { kafka, destroySockets } = createKafka(cluster.config('east'), { logger })
    const admin = kafka.admin({ retry: { retries: 0 } })
    await admin.connect()
    expect(await admin.listTopics()).toBeInstanceOf(Array)
    destroySockets({ refuseNew: true })
    await expect(admin.describeCluster()).rejects.toThrow()
    await admin.disconnect()
  })
})
