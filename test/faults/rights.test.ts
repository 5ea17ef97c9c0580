import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { LaneStatus, MirrorOptions } from '../../src/index.js'
import type { KafkaCluster } from '../support/kafka.js'
import type { AclChange } from '../support/oracle.js'
import { type Bed, startBed } from './campaigns/bed.js'
import { eventually, numbers, placed, play, type Scene, type WatchedMirror } from './campaigns/scene.js'

const PRINCIPAL = 'User:mirror'
const PASSWORD = 'of-a-test'

let bed: Bed

beforeAll(async () => {
  const guarded = {
    authorizer: true,
    listeners: [{ name: 'SASL', protocol: 'SASL_PLAINTEXT' as const, plainUsers: { mirror: PASSWORD } }]
  }
  bed = await startBed({ source: guarded, target: guarded })
  for (const cluster of [bed.east.bootstrap, bed.west.bootstrap]) {
    for (const type of ['topic', 'group', 'transactional_id'] as const)
      await bed.oracle.acl({
        cluster,
        change: 'add',
        principal: PRINCIPAL,
        operations: ['all'],
        resource: { type, name: '*' }
      })
    await bed.oracle.acl({
      cluster,
      change: 'add',
      principal: PRINCIPAL,
      operations: ['all'],
      resource: { type: 'cluster' }
    })
  }
})

afterAll(async () => {
  await bed?.stop()
})

/** kafkajs writes into the object it gets. */
const asMirror = (cluster: KafkaCluster, alias: string) =>
  cluster.config(alias, {
    brokers: cluster.bootstrapOf('SASL'),
    sasl: { mechanism: 'plain', username: 'mirror', password: PASSWORD }
  })

const mirrored = (scene: Scene, options: Partial<MirrorOptions> = {}): Promise<WatchedMirror> =>
  scene.mirror({ source: asMirror(bed.east, 'east'), target: asMirror(bed.west, 'west'), ...options })

/** Denies go over the allowances. */
async function denied(
  scene: Scene,
  side: 'source' | 'target',
  resource: AclChange['resource'],
  operations: string[]
): Promise<() => Promise<void>> {
  const { cluster } = scene[side]
  const change = { cluster, principal: PRINCIPAL, operations, permission: 'deny' as const, resource }
  await bed.oracle.acl({ ...change, change: 'add' })
  return () => bed.oracle.acl({ ...change, change: 'remove' })
}

const isUnauthorized = ({ state, error }: LaneStatus): boolean =>
  (state === 'failed' || state === 'waiting') && error?.code === 'TWINLOG_UNAUTHORIZED'

describe('rights that are taken away and given back', () => {
  it.each([
    ['source', 'read'],
    ['target', 'write']
  ] as const)('on the %s: %s of the topic', (side, operation) =>
    play(bed, `rights-${side}-${operation}`, { partitions: 2 }, async scene => {
      await scene.write(numbers(0, 100))
      const watched = await mirrored(scene)
      await watched.copied()
      const giveBack = await denied(scene, side, { type: 'topic', name: scene.topic }, [operation])
      const since = Date.now()
      const unauthorized = () =>
        eventually(
          () => isUnauthorized(watched.lane(0)),
          () => `lane 0 is ${watched.lane(0).state} (${watched.lane(0).error?.code} ${watched.lane(0).why})`
        )
      // A question that was asked before may still be answered; a right to write is missed with the next record only.
      if (side === 'source') await unauthorized()
      await scene.write(numbers(100, 200))
      if (side === 'target') await unauthorized()
      const noticed = Date.now() - since
      await sleep(2_000)
      expect(await scene.values('target')).toEqual(numbers(0, 100))
      await giveBack()
      const given = Date.now()
      await scene.targetBecomes(numbers(0, 200))
      const resumed = Date.now() - given
      // Tried again in a rhythm of its own.
      await watched.laneIs('caught-up', 1)
      await watched.copied()
      await scene.write(numbers(0, 50, 'beside-'), 1)
      await watched.copied()
      await scene.expectEqual()
      await scene.expectTranslations(placed(numbers(0, 200)), 200n)
      return `noticed after ${noticed} ms, resumed ${resumed} ms after they were given back`
    })
  )

  it('under load, again and again: nothing is lost or repeated', () =>
    play(bed, 'rights-load', { partitions: 3 }, async scene => {
      const load = bed.oracle.produce({ ...scene.source, ratePerSecond: 1_500, mixed: true })
      const watched = await mirrored(scene)
      for (const [side, operation] of [
        ['target', 'write'],
        ['source', 'read'],
        ['target', 'write']
      ] as const) {
        await sleep(1_500)
        const giveBack = await denied(scene, side, { type: 'topic', name: scene.topic }, [operation])
        await eventually(() => watched.mirror.status().lanes.some(isUnauthorized))
        await giveBack()
        await eventually(() =>
          watched.mirror.status().lanes.every(({ state }) => state === 'copying' || state === 'caught-up')
        )
      }
      await load.stop()
      await watched.copied()
      await scene.expectEqual()
      return 'equal after three rounds'
    }))

  it('the right to write the state topic, with a source of transactions', () =>
    play(bed, 'rights-state', { partitions: 2 }, async scene => {
      const load = bed.oracle.produce({
        ...scene.source,
        ratePerSecond: 1_000,
        recordsPerTransaction: 40,
        abortEvery: 4
      })
      const watched = await mirrored(scene)
      await sleep(2_000)
      const state = { type: 'topic' as const, name: `twinlog.${scene.topic}.internal` }
      const before = watched.of('lane:state').length
      const giveBack = await denied(scene, 'target', state, ['write'])
      const halted = () =>
        new Set(
          watched
            .of('lane:state')
            .slice(before)
            .filter(({ to }) => to === 'starting' || to === 'failed')
            .map(({ partition }) => partition)
        )
      await eventually(() => halted().size === 2)
      // Nothing goes out behind a gap that is not written down.
      await sleep(1_000)
      const stuck = await bed.oracle.count(scene.target)
      await sleep(2_000)
      expect(await bed.oracle.count(scene.target)).toEqual(stuck)
      await giveBack()
      await sleep(1_000)
      await load.stop()
      await eventually(() =>
        watched.mirror.status().lanes.every(({ state: now }) => now === 'copying' || now === 'caught-up')
      )
      await watched.copied()
      await scene.expectEqual()
      return 'equal'
    }))
})

describe('quotas', () => {
  it.each([
    ['source', { consumerByteRate: 30_000 }, { consumerByteRate: null }],
    ['target', { producerByteRate: 30_000 }, { producerByteRate: null }]
  ] as const)('of the %s slow the copy down, with an event, and change nothing', (side, limit, none) =>
    play(bed, `quota-${side}`, { partitions: 3 }, async scene => {
      const { cluster } = scene[side]
      await bed.oracle.quota({ cluster, user: 'mirror', ...limit })
      try {
        const watched = await mirrored(scene)
        const load = bed.oracle.produce({ ...scene.source, count: 5_000, mixed: true, ratePerSecond: 4_000 })
        await load.done
        await eventually(() => watched.of('throttled').length > 0)
        const [first] = watched.of('throttled')
        expect(first).toMatchObject({ role: side, nodeId: expect.any(Number) })
        expect(first?.throttleMs).toBeGreaterThan(0)
        await watched.copied()
        await scene.expectEqual()
        return `first held back for ${first?.throttleMs} ms`
      } finally {
        await bed.oracle.quota({ cluster, user: 'mirror', ...none })
      }
    })
  )
})
