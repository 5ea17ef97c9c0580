import { beforeEach, describe, expect, it } from 'vitest'
import type { RegistryClient, SchemaVersion } from '../../../src/schemas/registry-types.js'
import { SubjectWalker } from '../../../src/schemas/subject-walker.js'

/** What a registry without lists answers, and how often it was asked for what. */
class Listless {
  readonly versions: SchemaVersion[] = []
  asked: string[] = []
  texts: 'each' | 'none' | 'others' = 'each'

  put(subject: string, version: number, text: string, deleted = false): void {
    const id = this.versions.length + 1
    this.remove(subject, version)
    this.versions.push({ subject, version, id, deleted, schemaType: 'AVRO', schema: text, references: [] })
  }

  remove(subject: string, version: number): void {
    const at = this.versions.findIndex(one => one.subject === subject && one.version === version)
    if (at >= 0) this.versions.splice(at, 1)
  }

  get client(): RegistryClient {
    const live = () => this.versions.filter(({ deleted }) => !deleted)
    const ask = <T>(what: string, answer: T): Promise<T> => {
      this.asked.push(what)
      return Promise.resolve(answer)
    }
    const of = (subject: string, deleted = false) =>
      (deleted ? this.versions : live()).filter(one => one.subject === subject).map(({ version }) => version)
    return {
      subjects: ({ deleted = false } = {}) =>
        ask('subjects', [...new Set((deleted ? this.versions : live()).map(({ subject }) => subject))]),
      versions: (subject: string, { deleted = false } = {}) =>
        ask('versions', of(subject, deleted).length === 0 ? undefined : of(subject, deleted).sort()),
      version: (subject: string, version: number) =>
        ask(
          'content',
          this.versions.find(one => one.subject === subject && one.version === version)
        ),
      allTexts: () =>
        ask(
          'texts',
          this.texts === 'none'
            ? undefined
            : live().map(({ schema }) => (this.texts === 'each' ? schema : `${schema} `))
        )
    } as unknown as RegistryClient
  }
}

let registry: Listless
let table: Map<string, SchemaVersion[]>
let walker: SubjectWalker

beforeEach(() => {
  registry = new Listless()
  table = new Map()
  for (let index = 0; index < 60; index++)
    for (const version of [1, 2]) registry.put(`s${index}`, version, `s${index} ${version}`)
  walker = new SubjectWalker({ client: registry.client, concurrency: 4, table })
})

/** Requests for single subjects that a walk took. */
async function walk(): Promise<number> {
  registry.asked = []
  await walker.walk({ wanted: () => true, prefix: undefined })
  return registry.asked.filter(what => what === 'versions' || what === 'content').length
}

function expectAll(): void {
  const held = [...table.values()]
    .flat()
    .map(({ subject, version, schema, deleted }) => `${subject}/${version} ${schema} ${deleted}`)
  const there = registry.versions.map(
    ({ subject, version, schema, deleted }) => `${subject}/${version} ${schema} ${deleted}`
  )
  expect(held.sort()).toEqual(there.sort())
}

/** Some subjects are read again in each round in turn, so that nothing stays hidden for good. */
const SWEEP = 4

describe('a registry that lists no versions', () => {
  it('is read subject by subject once, and then no more than changes', async () => {
    expect(await walk()).toBe(60 * 3)
    expectAll()
    expect(await walk()).toBeLessThanOrEqual(SWEEP)
    registry.put('s7', 3, 's7 3')
    // Where a text came nobody knows: one list each.
    expect(await walk()).toBeLessThanOrEqual(60 + 1)
    expectAll()
    expect(await walk()).toBeLessThanOrEqual(SWEEP)
  })

  it('shows by its texts where something went, also where a number is used again', async () => {
    await walk()
    registry.put('s7', 2, 's7 2', true)
    expect(await walk()).toBeLessThan(10)
    registry.remove('s8', 2)
    registry.put('s8', 2, 'another')
    expect(await walk()).toBeLessThan(10)
    registry.remove('s9', 1)
    registry.remove('s9', 2)
    expect(await walk()).toBeLessThan(10)
    expectAll()
  })

  it('shows in the end what its texts do not show', async () => {
    registry.put('s5', 3, 's5 3', true)
    await walk()
    registry.remove('s5', 3)
    for (let round = 0; round < 40; round++) await walk()
    expectAll()
  })

  it('is believed about what we wrote ourselves, if its texts agree', async () => {
    await walk()
    registry.put('new', 1, 'new 1')
    registry.put('new', 2, 'new 2')
    walker.wrote(
      'new',
      registry.versions.filter(({ subject }) => subject === 'new'),
      true
    )
    expect(walker.isGuessed({ subject: 'new', version: 2 })).toBe(true)
    expect(await walk()).toBeLessThanOrEqual(SWEEP)
    // What it stored otherwise is read again, and nothing else.
    registry.put('odd', 1, 'as it likes')
    walker.wrote('odd', [{ ...registry.versions.at(-1)!, schema: 'as we wrote it' }], true)
    expect(await walk()).toBeLessThan(10)
    expectAll()
    expect(walker.isGuessed({ subject: 'odd', version: 1 })).toBe(false)
  })

  it('that lists no texts either takes one request a subject', async () => {
    registry.texts = 'none'
    await walk()
    expect(await walk()).toBeLessThanOrEqual(60 + SWEEP)
    registry.put('s7', 2, 's7 2', true)
    registry.put('s8', 3, 's8 3')
    expect(await walk()).toBeLessThanOrEqual(60 + 10)
    expectAll()
  })

  it('that lists other texts than it tells one by one is asked again only when they change', async () => {
    registry.texts = 'others'
    await walk()
    for (let round = 0; round < 4; round++) await walk()
    expect(await walk()).toBeLessThanOrEqual(SWEEP)
    registry.put('s7', 3, 's7 3')
    await walk()
    expectAll()
  })
})
