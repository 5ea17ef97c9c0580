import { describe, expect, it } from 'vitest'
import { ConfigSweep } from '../../../src/schemas/config-sweep.js'
import { HeldBack, signatureOf } from '../../../src/schemas/held-back.js'
import type { SchemaStep, SubjectPlan } from '../../../src/schemas/plan-types.js'
import { Answers } from '../../../src/schemas/questions.js'
import type { SchemaVersion } from '../../../src/schemas/registry-types.js'
import { SyncMemory } from '../../../src/schemas/sync-memory.js'
import { written } from '../../../src/schemas/written.js'

function version(number: number, id: number, deleted = false): SchemaVersion {
  return { subject: 'a', version: number, id, deleted, schemaType: 'AVRO', schema: `"${id}"`, references: [] }
}

function register(from: SchemaVersion, o: { keep?: boolean } = {}): SchemaStep {
  const own = o.keep === true ? { id: from.id, version: from.version } : {}
  return { kind: 'register', from, ...own, references: [], refersTo: [], thenDelete: from.deleted }
}

const plan = (steps: SchemaStep[]): SubjectPlan => ({ from: 'a', subject: 'a', steps, after: [], targetHas: 'nothing' })

describe('the configs that are read in a run', () => {
  const subjects = Array.from({ length: 2_000 }, (_, index) => `s${index}`)

  it('are all of them while they are few, or when the user wants it', () => {
    expect(new ConfigSweep().choose(subjects.slice(0, 500), new Set(), false).size).toBe(500)
    expect(new ConfigSweep().choose(subjects, new Set(), true).size).toBe(2_000)
  })

  it('are else those that change and a slice, and after twenty runs it was everybody’s turn', () => {
    const sweep = new ConfigSweep()
    const seen = new Set<string>()
    for (let run = 0; run < 20; run++) {
      const chosen = sweep.choose(subjects, new Set(['s1', 's1999']), false)
      expect(chosen.has('s1') && chosen.has('s1999')).toBe(true)
      expect(chosen.size).toBeLessThanOrEqual(102)
      for (const subject of chosen) seen.add(subject)
    }
    expect(seen.size).toBe(2_000)
  })
})

describe('a subject that was refused', () => {
  const conflict = { subject: 'a', kind: 'incompatible', message: 'no' } as const

  it('is tried again when either side changes, or a while later, ever more seldom', () => {
    let now = 0
    const held = new HeldBack(() => now)
    const signature = signatureOf([version(1, 1)], [])
    held.hold(conflict, signature)
    expect(held.reason('a', signature)).toBe(conflict)
    expect(held.reason('a', signatureOf([version(1, 1), version(2, 2)], []))).toBeUndefined()
    expect(held.reason('a', signatureOf([version(1, 1)], [version(1, 1)]))).toBeUndefined()
    now = 60_000
    expect(held.reason('a', signature)).toBeUndefined()
    held.hold(conflict, signature)
    now = 179_000
    expect(held.reason('a', signature)).toBe(conflict)
    held.release('a')
    expect(held.reason('a', signature)).toBeUndefined()
  })
})

describe('what a subject holds after its plan', () => {
  it('is known where ids are kept', () => {
    const [one, two] = [version(1, 5, true), version(2, 6)]
    const steps = [register(one, { keep: true }), register(two, { keep: true })]
    const registered = [one, two].map(from => ({ subject: 'a', from, id: from.id }))
    const result = written([], plan(steps), registered)
    expect(result.guessed).toBe(false)
    expect(result.versions.map(({ version: number, id, deleted }) => [number, id, deleted])).toEqual([
      [1, 5, true],
      [2, 6, false]
    ])
  })

  it('is inferred where the registry chooses: in order, and what it took for the same is the same', () => {
    const [one, two, three] = [version(4, 5), version(5, 6), version(6, 7)]
    const registered = [
      { subject: 'a', from: one, id: 101 },
      { subject: 'a', from: two, id: 101 },
      { subject: 'a', from: three, id: 102 }
    ]
    const result = written([version(3, 90)], plan([one, two, three].map(from => register(from))), registered)
    expect(result.guessed).toBe(true)
    expect(result.versions.map(({ version: number, id, schema }) => [number, id, schema])).toEqual([
      [3, 90, '"90"'],
      [4, 101, '"5"'],
      [5, 102, '"7"']
    ])
  })

  it('lacks what was deleted for good, and has the rest as deleted', () => {
    const before = [version(1, 1), version(2, 2), version(3, 3)]
    const some = plan([
      { kind: 'delete-version', version: 1, permanent: true },
      { kind: 'delete-version', version: 2, permanent: false }
    ])
    expect(written(before, some, []).versions.map(({ version: number, deleted }) => [number, deleted])).toEqual([
      [2, true],
      [3, false]
    ])
    expect(written(before, plan([{ kind: 'delete-subject', permanent: true }]), []).versions).toEqual([])
  })
})

describe('what the target does not keep of configs', () => {
  const put = (memory: SyncMemory) =>
    memory.remember(
      {
        subjects: [plan([{ kind: 'config', config: { compatibilityLevel: 'FULL', normalize: true } }])],
        levels: []
      } as never,
      { registered: [], outcomes: [] }
    )

  it('is noticed once, when it is read again', () => {
    const memory = new SyncMemory()
    put(memory)
    expect(memory.checkConfigs(new Map())).toEqual([])
    expect(memory.checkConfigs(new Map([['a', { compatibilityLevel: 'FULL' }]]))).toEqual(['normalize'])
    expect(memory.droppedConfig).toEqual(new Set(['normalize']))
    put(memory)
    expect(memory.checkConfigs(new Map([['a', { compatibilityLevel: 'FULL' }]]))).toEqual([])
  })

  it('is nothing that it shows elsewhere, and nothing of a config that is gone', () => {
    const memory = new SyncMemory()
    put(memory)
    const shown = new Map([
      ['a', { compatibilityLevel: 'FULL' }],
      ['b', { normalize: true }]
    ])
    expect(memory.checkConfigs(shown)).toEqual([])
    put(memory)
    expect(memory.checkConfigs(new Map([['a', undefined]]))).toEqual([])
    expect(memory.droppedConfig.size).toBe(0)
  })
})

describe('answers of registries', () => {
  const content = { schemaType: 'AVRO', schema: '"a"', references: [] }
  const lookup = { kind: 'lookup', key: 'k', subject: 'a', content } as const

  it('are asked for once, and look-ups stay as long as they are used', () => {
    const answers = new Answers()
    expect(answers.lookup(lookup)).toBeUndefined()
    expect(answers.lookup(lookup)).toBeUndefined()
    expect(answers.takeOpen()).toEqual([lookup])
    answers.answerLookup('k', null)
    expect(answers.lookup(lookup)).toBeNull()
    answers.keepForNextRun()
    expect(answers.lookup(lookup)).toBeNull()
    answers.keepForNextRun()
    answers.keepForNextRun()
    expect(answers.lookup(lookup)).toBeUndefined()
  })

  it('about ids and versions are of one run: anybody can change them', () => {
    const answers = new Answers()
    answers.answerId('i', null)
    answers.answerVersions('v', [1])
    expect(answers.id({ kind: 'id', key: 'i', id: 1, scope: ':.:' })).toBeNull()
    answers.keepForNextRun()
    expect(answers.id({ kind: 'id', key: 'i', id: 1, scope: ':.:' })).toBeUndefined()
    expect(answers.versions({ kind: 'versions', key: 'v', subject: 'a' })).toBeUndefined()
  })
})
