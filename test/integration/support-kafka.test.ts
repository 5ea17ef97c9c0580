import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Kafka, type KafkaConfig } from 'kafkajs'
import { describe, expect, it } from 'vitest'
import { startKafka } from '../support/kafka.js'
import { aliveBrokers } from '../support/probe.js'
import { type Proxy, startProxy } from '../support/proxy.js'
import { proxyMap, socketFactoryThrough } from '../support/socket-factory.js'

async function withAdmin<T>(config: KafkaConfig, work: (admin: ReturnType<Kafka['admin']>) => Promise<T>): Promise<T> {
  const admin = new Kafka(config).admin()
  try {
    await admin.connect()
    return await work(admin)
  } finally {
    await admin.disconnect()
  }
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

async function goneWithin(pids: number[], timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs
  while (pids.some(alive)) {
    if (Date.now() > deadline) return false
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  return true
}

describe('a cluster of one broker', () => {
  it('keeps ports, node id and data over restart and kill, hangs while frozen, and leaves nothing behind', async () => {
    const cluster = await startKafka({ name: 'one' })
    const [broker] = cluster.brokers
    if (broker === undefined) throw new Error('no broker')
    expect(cluster.bootstrap).toEqual([`127.0.0.1:${broker.port}`])
    await withAdmin(cluster.config(), async admin => {
      expect((await admin.describeCluster()).clusterId).toBe(cluster.clusterId)
      await admin.createTopics({ topics: [{ topic: 'kept', numPartitions: 3 }] })
    })
    const first = broker.pid
    await broker.restart()
    const second = broker.pid
    await broker.kill()
    expect(broker.pid).toBe(0)
    expect(await aliveBrokers(broker.host, broker.port)).toBeUndefined()
    await broker.start()
    const third = broker.pid
    await withAdmin(cluster.config(), async admin => expect(await admin.listTopics()).toContain('kept'))

    broker.freeze()
    expect(await aliveBrokers(broker.host, broker.port, 300)).toBeUndefined()
    broker.thaw()
    expect(await aliveBrokers(broker.host, broker.port, 3000)).toEqual([1])

    await cluster.stop()
    expect([first, second, third].filter(alive)).toEqual([])
  })

  it('can be reached through a proxy by its advertised listener, and by the socketFactory', async () => {
    const proxies: Proxy[] = []
    await using cluster = await startKafka({
      name: 'behind',
      advertised: async (_, port) => {
        const proxy = await startProxy({ target: { host: '127.0.0.1', port } })
        proxies.push(proxy)
        return proxy
      }
    })
    const [proxy] = proxies
    expect(cluster.bootstrap).toEqual([`127.0.0.1:${proxy?.port}`])
    await withAdmin(cluster.config(), admin => admin.listTopics())
    expect(proxy?.bytes).toBeGreaterThan(0)

    await using map = proxyMap()
    await withAdmin(cluster.config('east', { socketFactory: socketFactoryThrough(map) }), admin => admin.listTopics())
    expect(map.all().map(each => each.bytes > 0)).toEqual([true])
    await proxy?.close()
  })

  it('speaks SASL and TLS on further listeners', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'twinlog-tls-'))
    const store = join(directory, 'broker.p12')
    const san = ['-ext', 'SAN=IP:127.0.0.1,DNS:localhost']
    const who = ['-keystore', store, '-storepass', 'changeit', '-alias', 'broker']
    execFileSync('keytool', ['-genkeypair', '-keyalg', 'EC', '-dname', 'CN=localhost', ...san, ...who], {
      stdio: 'ignore'
    })
    const ca = execFileSync('keytool', ['-exportcert', '-rfc', ...who], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore']
    })
    const tls = { 'ssl.keystore.type': 'PKCS12', 'ssl.keystore.location': store, 'ssl.keystore.password': 'changeit' }
    await using cluster = await startKafka({
      name: 'secure',
      listeners: [
        { name: 'SASL', protocol: 'SASL_PLAINTEXT', plainUsers: { alice: 'secret' }, scramUsers: { bob: 'hidden' } },
        { name: 'TLS', protocol: 'SASL_SSL', plainUsers: { alice: 'secret' }, properties: tls }
      ]
    })
    // A new object each time: kafkajs writes an authenticationProvider, bound to the password, into the object that it gets.
    const alice = (password = 'secret') => ({ mechanism: 'plain', username: 'alice', password }) as const
    const bob = { mechanism: 'scram-sha-256', username: 'bob', password: 'hidden' } as const
    const brokers = cluster.bootstrapOf('SASL')
    await withAdmin(cluster.config('east', { brokers, sasl: alice() }), admin => admin.listTopics())
    await withAdmin(cluster.config('east', { brokers, sasl: bob }), admin => admin.listTopics())
    const wrong = cluster.config('east', { brokers, sasl: alice('wrong') })
    await expect(withAdmin(wrong, admin => admin.listTopics())).rejects.toThrow('Authentication failed')
    await using map = proxyMap()
    const secure = { brokers: cluster.bootstrapOf('TLS'), sasl: alice(), ssl: { ca: [ca] } }
    await withAdmin(cluster.config('east', secure), admin => admin.listTopics())
    const through = { ...secure, socketFactory: socketFactoryThrough(map) }
    await withAdmin(cluster.config('east', through), admin => admin.listTopics())
    expect(map.all()[0]?.bytes).toBeGreaterThan(0)
    rmSync(directory, { recursive: true })
  })

  it('that cannot start says why, with the end of its log', async () => {
    await expect(startKafka({ name: 'bad', properties: { 'num.io.threads': 'many' } })).rejects.toThrow(
      /Invalid value many/
    )
  })
})

describe('a cluster of three brokers', () => {
  it('elects new leaders when brokers die, and takes them back', async () => {
    await using cluster = await startKafka({ name: 'three', brokers: 3, heapMb: 256 })
    expect(cluster.brokers.map(({ nodeId }) => nodeId)).toEqual([1, 2, 3])
    await withAdmin(cluster.config(), async admin => {
      await admin.createTopics({ topics: [{ topic: 'r3', numPartitions: 3, replicationFactor: 3 }] })
      const [first] = cluster.brokers
      await first?.kill()
      const leaders = async (): Promise<number[]> => {
        const { topics } = await admin.fetchTopicMetadata({ topics: ['r3'] })
        return topics[0]?.partitions.map(({ leader }) => leader) ?? []
      }
      await expect.poll(leaders, { timeout: 20_000 }).not.toContain(1)
      await first?.start()
      expect(await aliveBrokers('127.0.0.1', cluster.brokers[2]?.port ?? 0)).toHaveLength(3)
    })
  })
})

describe('no JVM outlives its process', () => {
  const probe = fileURLToPath(new URL('../support/orphan-probe.ts', import.meta.url))

  it.each([
    ['SIGKILL', 'running'],
    ['SIGKILL', 'frozen'],
    ['SIGTERM', 'running'],
    ['SIGINT', 'running'],
    ['throw', 'running'],
    ['exit', 'frozen'],
    ['end', 'running']
  ])('that ends by %s while the broker is %s', async (way, state) => {
    const child = spawn(process.execPath, ['--import', 'tsx', probe, way, state], {
      stdio: ['ignore', 'pipe', 'ignore']
    })
    const [line] = (await once(child.stdout, 'data')) as [Buffer]
    const { pids } = JSON.parse(String(line)) as { pids: number[] }
    expect(pids).toHaveLength(2)
    if (way.startsWith('SIG')) {
      expect(pids.every(alive)).toBe(true)
      child.kill(way as NodeJS.Signals)
    }
    expect(await goneWithin(pids, 5000)).toBe(true)
  })
})
