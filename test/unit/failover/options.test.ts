import { describe, expect, it } from 'vitest'
import { InvalidOptionError } from '../../../src/errors.js'
import { FailoverClient } from '../../../src/failover/client.js'
import { type FailoverOptions, linkName, resolveFailoverOptions } from '../../../src/failover/options.js'

const east = { alias: 'east', brokers: ['localhost:1'] }
const west = { alias: 'west', brokers: ['localhost:2'] }
const fine: FailoverOptions = { clusters: [east, west], service: 'orders' }

function pathOf(options: object): string {
  try {
    resolveFailoverOptions(options as FailoverOptions)
  } catch (error) {
    if (error instanceof InvalidOptionError) return error.path
    throw error
  }
  return 'accepted'
}

describe('failover options', () => {
  it('have defaults: the first cluster, a name of this process, the whole fleet, links named by direction', () => {
    const options = resolveFailoverOptions(fine)
    expect(options).toMatchObject({ active: 'east', fleet: true, evidenceDir: undefined, topics: undefined })
    expect(options.instanceId).toContain(String(process.pid))
    expect(linkName(options, 'east', 'west')).toBe('east-west')
    expect(linkName(resolveFailoverOptions({ ...fine, links: { 'east>west': 'blue' } }), 'east', 'west')).toBe('blue')
  })

  it('give every start of a process a name of its own, so that its answers are not taken for those of the one before', () => {
    expect(resolveFailoverOptions(fine).instanceId).not.toBe(resolveFailoverOptions(fine).instanceId)
    expect(resolveFailoverOptions({ ...fine, instanceId: 'pod-1' }).instanceId).toBe('pod-1')
  })

  it.each([
    ['an unknown key', { ...fine, servcie: 'x' }, 'failover.servcie'],
    ['health, which is not there yet', { ...fine, health: {} }, 'failover.health'],
    ['a naming that is not there yet', { ...fine, naming: 'prefix' }, 'failover.naming'],
    ['the automatic mode', { ...fine, mode: 'automatic' }, 'failover.mode'],
    ['fleet options', { ...fine, fleet: { strict: true } }, 'failover.fleet'],
    ['one cluster', { ...fine, clusters: [east] }, 'failover.clusters'],
    ['two clusters of one name', { ...fine, clusters: [east, east] }, 'failover.clusters[1].alias'],
    [
      'a cluster without brokers',
      { ...fine, clusters: [east, { alias: 'west', brokers: [] }] },
      'failover.clusters[1].brokers'
    ],
    [
      'a schema registry without an address',
      { ...fine, clusters: [east, { ...west, schemaRegistry: { url: [] } }] },
      'failover.clusters[1].schemaRegistry.url'
    ],
    ['an active cluster that is none', { ...fine, active: 'north' }, 'failover.active'],
    ['no service', { clusters: [east, west] }, 'failover.service'],
    ['no topics', { ...fine, topics: [] }, 'failover.topics'],
    ['a link between unknown clusters', { ...fine, links: { 'east>north': 'x' } }, "failover.links['east>north']"],
    ['a link from a cluster to itself', { ...fine, links: { 'east>east': 'x' } }, "failover.links['east>east']"],
    ['a logger without methods', { ...fine, logger: {} }, 'failover.logger'],
    ['an empty instance id', { ...fine, instanceId: '' }, 'failover.instanceId']
  ])('refuse %s and name it', (_name, options, path) => {
    expect(pathOf(options)).toBe(path)
  })

  it('accept undefined wherever an option is optional, and the default of naming written out', () => {
    const undefineds = {
      active: undefined,
      topics: undefined,
      links: undefined,
      fleet: undefined,
      mode: undefined,
      logger: undefined,
      health: undefined
    }
    expect(pathOf({ ...fine, ...undefineds, naming: 'identity' })).toBe('accepted')
    expect(pathOf({ ...fine, mode: 'manual', fleet: false })).toBe('accepted')
  })

  it('are checked by the constructor, before anything is touched', () => {
    expect(() => new FailoverClient({ ...fine, service: 'with space' })).toThrow(InvalidOptionError)
  })
})

describe('a failover client that is not connected', () => {
  const client = new FailoverClient(fine)

  it('says what to call first', async () => {
    await expect(client.switchover('west')).rejects.toMatchObject({
      code: 'TWINLOG_INVALID_STATE',
      message: expect.stringContaining('connect()') as string
    })
    await expect(client.preflight('west')).rejects.toMatchObject({ code: 'TWINLOG_INVALID_STATE' })
    await expect(client.schemaRegistry().decode(Buffer.alloc(5))).rejects.toMatchObject({
      code: 'TWINLOG_INVALID_STATE'
    })
    expect([client.state, client.active]).toEqual(['disconnected', 'east'])
  })

  it('refuses failback, which is not there yet', async () => {
    await expect(client.failback('west')).rejects.toMatchObject({ code: 'TWINLOG_UNSUPPORTED' })
  })

  it('can be disconnected all the same, twice', async () => {
    await client.disconnect()
    await client.disconnect()
  })
})
