import { describe, expect, it } from 'vitest'
import { type MirrorOptions, resolveMirrorOptions } from '../../../src/mirror/options.js'
import type { SchemaGate } from '../../../src/schemas/gate-types.js'
import { OffsetTranslator } from '../../../src/offsets/translator.js'

const east = { alias: 'east', brokers: ['a:9092'] }
const west = { alias: 'west', brokers: ['[::1]:9092'] }
const good = { source: east, target: west, topics: 'orders' }
const sync = { gate: () => ({}) as SchemaGate }
const refused = (path: string) =>
  expect.objectContaining({ code: 'TWINLOG_INVALID_OPTION', name: 'InvalidOptionError', path })

describe('options of Mirror', () => {
  it('have defaults, and undefined counts as left out', () => {
    const all = {
      ...good,
      link: undefined,
      createTopics: undefined,
      syncGroups: undefined,
      discoveryIntervalMs: undefined,
      logger: undefined,
      naming: undefined,
      nonsense: undefined
    }
    expect(resolveMirrorOptions(all as MirrorOptions)).toMatchObject({
      link: 'east-west',
      createTopics: { configs: {} },
      syncGroups: true,
      discoveryIntervalMs: 5_000,
      start: 'earliest',
      isolation: 'read_committed',
      onRecordError: 'stop-partition',
      onGap: 'stop-partition',
      workers: { group: 'twinlog.east-west', required: false },
      limits: { bytesInFlight: 64 << 20, bytesPerSecond: undefined },
      forward: 'local'
    })
    const upper = () => null
    expect(resolveMirrorOptions({ ...good, transform: upper }).transform('any')).toBe(upper)
    expect(resolveMirrorOptions({ ...good, transform: { a: upper } }).transform('constructor')).toBeUndefined()
    expect(resolveMirrorOptions({ ...good, workers: false }).workers).toBe(false)
    expect(resolveMirrorOptions({ ...good, workers: { group: 'g' } }).workers).toEqual({ group: 'g', required: true })
    expect(resolveMirrorOptions({ ...good, createTopics: false }).createTopics).toBe(false)
  })

  it.each<[string, object]>([
    ['mirror.source', { source: undefined }],
    ['mirror.source.alias', { source: { ...east, alias: 'ea st' } }],
    ['mirror.source.brokers', { source: { ...east, brokers: [] } }],
    ['mirror.source.brokers[1]', { source: { ...east, brokers: ['a:1', 'b'] } }],
    ['mirror.target', { target: null }],
    ['mirror.target.brokers[0]', { target: { ...west, brokers: [7] } }],
    ['mirror.target.alias', { target: east }],
    ['mirror.topics', { topics: undefined }],
    ['mirror.topics', { topics: [] }],
    ['mirror.topics', { topics: { include: [] } }],
    ['mirror.topics.including', { topics: { including: ['a'] } }],
    ['mirror.topics[1]', { topics: ['a', ''] }],
    ['mirror.topics[0]', { topics: 'orders.*' }],
    ['mirror.topics[0]', { topics: 7 }],
    ['mirror.topics.exclude[0]', { topics: { include: /a/, exclude: ['a b'] } }],
    ['mirror.link', { link: 'a/b' }],
    ['mirror.link', { link: '' }],
    ['mirror.createTopics', { createTopics: 'yes' }],
    ['mirror.createTopics.replicationFactor', { createTopics: { replicationFactor: 0 } }],
    ['mirror.createTopics.partitions', { createTopics: { partitions: 3 } }],
    ['mirror.syncGroups', { syncGroups: { intervalMs: 5 } }],
    ['mirror.discoveryIntervalMs', { discoveryIntervalMs: 1.5 }],
    ['mirror.discoveryIntervalMs', { discoveryIntervalMs: -1 }],
    ['mirror.logger', { logger: { info: () => undefined } }],
    ['mirror.onGap', { onGap: 'skip' }],
    ['mirror.onRecordError', { onRecordError: 'continue' }],
    ['mirror.onRecordError.deadLetterTopic', { onRecordError: { deadLetterTopic: 'a b' } }],
    ['mirror.onRecordError.topic', { onRecordError: { topic: 'a' } }],
    ['mirror.isolation', { isolation: 'uncommitted' }],
    ['mirror.start', { start: 'newest' }],
    ['mirror.start.timestamp', { start: { timestamp: -1 } }],
    ['mirror.start.offsets.a.0', { start: { offsets: { a: { 0: 5 } } } }],
    ['mirror.transform', { transform: 'upper' }],
    ['mirror.transform.orders', { transform: { orders: 'upper' } }],
    ['mirror.transformTimeoutMs', { transformTimeoutMs: 0 }],
    ['mirror.workers', { workers: true }],
    ['mirror.workers.group', { workers: { group: 'a b' } }],
    ['mirror.limits.bytesInFlight', { limits: { bytesInFlight: 1024 } }],
    ['mirror.limits.bytesPerSecond', { limits: { bytesPerSecond: 0 } }],
    ['mirror.limits.priorities.a', { limits: { priorities: { a: 0 } } }],
    ['mirror.limits.bytes', { limits: { bytes: 5 } }],
    ['mirror.forward', { forward: 'all' }],
    ['mirror.rackId', { rackId: '' }],
    ['mirror.schemas', { schemas: true }],
    ['mirror.schemas.sync', { schemas: { topics: 'a' } }],
    ['mirror.schemas.sync', { schemas: { topics: 'a', sync: { gate: true } } }],
    ['mirror.schemas.topics', { schemas: { sync } }],
    ['mirror.schemas.topics[0]', { schemas: { sync, topics: 'a*' } }],
    ['mirror.schemas.timeoutMs', { schemas: { sync, topics: 'a', timeoutMs: 0 } }],
    ['mirror.schemas.onTimeout', { schemas: { sync, topics: 'a', onTimeout: 'skip' } }],
    ['mirror.schemas.onTimeout', { schemas: { sync, topics: 'a', onTimeout: 'dead-letter' } }],
    ['mirror.schemas.onTimeout', { onRecordError: 'skip', schemas: { sync, topics: 'a', onTimeout: 'dead-letter' } }],
    ['mirror.schemas.subjectsOf', { schemas: { sync, topics: 'a', subjectsOf: 'all' } }],
    ['mirror.schemas.subjects', { schemas: { sync, topics: 'a', subjects: 'all' } }],
    ['mirror.topic', { topic: 'orders' }]
  ])('are refused by path: %s %o', (path, wrong) => {
    expect(() => resolveMirrorOptions({ ...good, ...wrong })).toThrowError(refused(path))
  })

  it('of the schema gate have defaults', () => {
    expect(resolveMirrorOptions(good).schemas).toBeUndefined()
    const schemas = { sync, topics: /orders.*/ }
    expect(resolveMirrorOptions({ ...good, schemas: { ...schemas, timeoutMs: undefined } }).schemas).toEqual({
      ...schemas,
      timeoutMs: 60_000,
      onTimeout: 'wait',
      subjectsOf: 'topic'
    })
    const onRecordError = { deadLetterTopic: 'dlq' }
    const dead = resolveMirrorOptions({ ...good, onRecordError, schemas: { ...schemas, onTimeout: 'dead-letter' } })
    expect(dead.schemas?.onTimeout).toBe('dead-letter')
  })

  it('say of planned ones that they are not there yet', () => {
    expect(() => resolveMirrorOptions({ ...good, mm2: {} } as MirrorOptions)).toThrowError('is not available yet')
    expect(() => resolveMirrorOptions({ ...good, mmm: {} } as MirrorOptions)).toThrowError('is not an option')
    expect(() => resolveMirrorOptions(undefined as unknown as MirrorOptions)).toThrowError(refused('mirror'))
  })
})

describe('options of OffsetTranslator', () => {
  it('need no more than the source alias and the target', () => {
    expect(
      () => new OffsetTranslator({ source: 'east', target: west, link: undefined, logger: undefined })
    ).not.toThrow()
  })

  it.each<[string, object]>([
    ['offsetTranslator.source', { source: east }],
    ['offsetTranslator.source', { source: 'west' }],
    ['offsetTranslator.target', { target: undefined }],
    ['offsetTranslator.link', { link: 'a b' }],
    ['offsetTranslator.logger', { logger: 'pino' }],
    ['offsetTranslator.mm2', { mm2: true }],
    ['offsetTranslator.group', { group: 'g' }]
  ])('are refused by path: %s %o', (path, wrong) => {
    expect(() => new OffsetTranslator({ source: 'east', target: west, ...wrong })).toThrowError(refused(path))
  })
})
