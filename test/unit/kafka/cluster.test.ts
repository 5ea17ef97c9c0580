import { afterEach, describe, expect, it } from 'vitest'
import { ClusterClient } from '../../../src/kafka/cluster.js'
import { Writer } from '../../../src/kafka/protocol/writer.js'
import { consoleLogger } from '../../../src/logger.js'
import { ECHO, echo, echoBody, type FakeBroker, type FakeRequest, fakeBroker } from './fake-broker.js'

/** Typed, where vitest says any. */
const matching = (text: string | RegExp): unknown => expect.stringMatching(text)

const METADATA = 3
const versions: [number, number, number][] = [
  [ECHO, 0, 0],
  [METADATA, 9, 12]
]
const opened: { stop(): Promise<void> }[] = []
const clients: ClusterClient[] = []

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  await Promise.all(opened.splice(0).map(broker => broker.stop()))
})

/** Answers Metadata v12 with these brokers and no topics. */
function metadataBody(clusterId: string, brokers: readonly FakeBroker[]): Buffer {
  const writer = new Writer().int8(0).int32(0)
  const nodes = brokers.map((broker, nodeId) => ({ nodeId, ...broker }))
  writer.compactArray(nodes, ({ nodeId, host, port }) => {
    writer.int32(nodeId).compactString(host).int32(port).compactString(null).tags()
  })
  return writer
    .compactString(clusterId)
    .int32(0)
    .compactArray([], () => undefined)
    .tags()
    .toBuffer()
}

async function fakeCluster(size: number, behave: (node: number, request: FakeRequest) => boolean = () => false) {
  const brokers: FakeBroker[] = []
  const cluster = { id: 'cluster-a', brokers }
  for (let node = 0; node < size; node++) {
    const broker = await fakeBroker(request => {
      if (behave(node, request)) return
      request.reply(request.apiKey === METADATA ? metadataBody(cluster.id, brokers) : echoBody(request.body.int32()))
    }, versions)
    brokers.push(broker)
    opened.push(broker)
  }
  const client = new ClusterClient(
    { alias: 'east', brokers: brokers.map(({ host, port }) => `${host}:${port}`), retry: { retries: 0 } },
    { logger: consoleLogger('error') }
  )
  clients.push(client)
  return { client, cluster, brokers }
}

describe('the cluster client', () => {
  it('uses one control connection a node, also for many first requests at the same time', async () => {
    const { client, brokers } = await fakeCluster(2)
    await client.connect()
    await Promise.all([0, 1, 0, 1].map(node => client.send({ node }, echo(node))))
    expect(brokers.map(({ connections }) => connections.length)).toEqual([1, 1])
    const own = await client.openConnection(1)
    expect(own.nodeId).toBe(1)
    expect(brokers[1]?.connections.length).toBe(2)
    client.destroy()
    expect(own.closed).toBe(true)
  })

  it('replaces a connection that died while idle, without an error', async () => {
    const { client, brokers } = await fakeCluster(1)
    await client.connect()
    await client.send({ node: 0 }, echo(1))
    for (const socket of brokers[0]?.connections ?? []) socket.destroy()
    await new Promise(resolve => setTimeout(resolve, 20))
    await expect(client.send({ node: 0 }, echo(2))).resolves.toBe(2)
  })

  it('does not repeat a request whose connection died while it was on the way', async () => {
    let echoes = 0
    const { client } = await fakeCluster(1, (_node, request) => {
      if (request.apiKey === ECHO) {
        echoes++
        request.socket.destroy()
      }
      return request.apiKey === ECHO
    })
    await client.connect()
    await expect(client.send({ node: 0 }, echo(1))).rejects.toMatchObject({
      code: 'TWINLOG_UNREACHABLE',
      retriable: true
    })
    expect(echoes).toBe(1)
  })

  it('finds a living broker among hanging ones', async () => {
    const { client } = await fakeCluster(3, node => node !== 2)
    const startedAt = performance.now()
    await client.connect()
    expect(client.clusterId).toBe('cluster-a')
    expect(performance.now() - startedAt).toBeLessThan(2_000)
  })

  it('addresses that lead to another cluster than before are an error', async () => {
    const { client, cluster } = await fakeCluster(1)
    await client.connect()
    cluster.id = 'cluster-b'
    await expect(client.metadata()).rejects.toMatchObject({
      code: 'TWINLOG_INVALID_STATE',
      message: matching('cluster-b')
    })
    expect(client.clusterId).toBe('cluster-a')
  })

  it('an old broker is refused by API and version, before anything else', async () => {
    const old = await fakeBroker(() => undefined, [[METADATA, 0, 8]])
    opened.push(old)
    const config = { alias: 'east', brokers: [`${old.host}:${old.port}`], retry: { retries: 3 } }
    const client = new ClusterClient(config, { logger: consoleLogger('error') })
    clients.push(client)
    await expect(client.connect()).rejects.toMatchObject({
      code: 'TWINLOG_UNSUPPORTED_BROKER',
      message: matching(/Metadata is needed in version 12.*offers versions 0–8/)
    })
  })

  it('a signal ends the wait for an answer', async () => {
    const { client } = await fakeCluster(1, (_node, request) => request.apiKey === ECHO)
    await client.connect()
    const waiting = client.send({ node: 0 }, echo(1), { signal: AbortSignal.timeout(20) })
    await expect(waiting).rejects.toMatchObject({ code: 'TWINLOG_ABORTED' })
  })

  it('clusterId before connect and anything after close are state errors', async () => {
    const { client } = await fakeCluster(1)
    expect(() => client.clusterId).toThrow(/connect/)
    await client.connect()
    await client.close()
    await expect(client.metadata()).rejects.toMatchObject({ code: 'TWINLOG_INVALID_STATE' })
  })
})
