import { describe, expect, it } from 'vitest'
import { InvalidOptionError } from '../../../src/errors.js'
import { resolveSchemaSyncOptions, type SchemaSyncOptions } from '../../../src/schemas/options.js'
import { SchemaSync } from '../../../src/schemas/sync.js'

const fine: SchemaSyncOptions = { source: { url: 'http://east:8081' }, target: { url: 'http://west:8081' } }

function pathOf(options: object): string {
  try {
    new SchemaSync(options as SchemaSyncOptions)
  } catch (error) {
    if (error instanceof InvalidOptionError) return error.path
    throw error
  }
  return 'accepted'
}

describe('options of SchemaSync', () => {
  it('have defaults', () => {
    expect(resolveSchemaSyncOptions(fine)).toMatchObject({
      ids: 'preserve',
      syncConfig: true,
      everyConfig: false,
      syncMode: false,
      syncDeletes: false,
      intervalMs: 5000,
      concurrency: 8,
      importScope: 'auto'
    })
    expect(resolveSchemaSyncOptions({ ...fine, syncConfig: true }).everyConfig).toBe(true)
  })

  it.each([
    ['nothing', null, 'schemas'],
    ['an unknown key', { ...fine, subject: 'x' }, 'schemas.subject'],
    ['no source', { target: fine.target }, 'schemas.source'],
    ['an unknown key of a registry', { ...fine, source: { url: 'http://a', token: 'x' } }, 'schemas.source.token'],
    ['another way of ids', { ...fine, ids: 'keep' }, 'schemas.ids'],
    ['another import scope', { ...fine, importScope: 'global' }, 'schemas.importScope'],
    ['a flag that is none', { ...fine, syncMode: 'yes' }, 'schemas.syncMode'],
    ['an interval of nothing', { ...fine, intervalMs: 0 }, 'schemas.intervalMs'],
    ['a half request', { ...fine, concurrency: 1.5 }, 'schemas.concurrency'],
    ['a rename that is none', { ...fine, rename: { a: 'b' } }, 'schemas.rename'],
    ['a logger without methods', { ...fine, logger: {} }, 'schemas.logger'],
    ['no subjects', { ...fine, subjects: [] }, 'schemas.subjects'],
    ['an empty subject', { ...fine, subjects: ['a', ''] }, 'schemas.subjects[1]'],
    ['a selector without include', { ...fine, subjects: { exclude: 'a' } }, 'schemas.subjects.include'],
    ['an unknown key of a selector', { ...fine, subjects: { include: 'a', but: 'b' } }, 'schemas.subjects.but'],
    ['an excluded number', { ...fine, subjects: { include: 'a', exclude: [7] } }, 'schemas.subjects.exclude[0]']
  ])('refuse %s and name it', (_name, options, path) => {
    expect(pathOf(options as object)).toBe(path)
  })

  it('accept subjects that are no topics, and undefined wherever an option is optional', () => {
    expect(pathOf({ ...fine, subjects: [':.dr:orders value/1', /a|b/] })).toBe('accepted')
    const none = ['subjects', 'ids', 'syncConfig', 'syncMode', 'syncDeletes', 'rename', 'intervalMs', 'concurrency']
    const undefineds = Object.fromEntries([...none, 'importScope', 'logger'].map(key => [key, undefined]))
    expect(pathOf({ ...fine, ...undefineds })).toBe('accepted')
  })

  const same = (source: object, target: object) =>
    pathOf({
      source: { url: 'http://a:8081/x', ...source },
      target: { url: ['http://b', 'http://A:8081/x/'], ...target }
    })

  it('refuse a registry that would be copied onto itself, and accept two contexts of one', () => {
    expect(same({}, {})).toBe('schemas.target')
    expect(same({ context: '.a' }, { context: '.a' })).toBe('schemas.target')
    expect(same({ context: '.' }, {})).toBe('schemas.target')
    expect(same({}, { context: '.copy' })).toBe('accepted')
    expect(same({ context: '.a' }, { context: '.b' })).toBe('accepted')
  })
})
