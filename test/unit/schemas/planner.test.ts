import { describe, expect, it } from 'vitest'
import { findDrift, SchemaDrift } from '../../../src/schemas/diff.js'
import { NameMap } from '../../../src/schemas/names.js'
import { stages } from '../../../src/schemas/plan.js'
import { type PlanInput, planSync } from '../../../src/schemas/planner.js'
import { Answers } from '../../../src/schemas/questions.js'
import type { SchemaVersion } from '../../../src/schemas/registry-types.js'
import { SchemaSyncReport } from '../../../src/schemas/report.js'
import { NO_SETTINGS, type Settings, tableOf } from '../../../src/schemas/snapshot.js'

interface Spec {
  refs?: [string, number][]
  deleted?: boolean
  text?: string
}

function version(subject: string, number: number, id: number, { refs = [], deleted = false, text }: Spec = {}) {
  const references = refs.map(([to, version]) => ({ name: `${to}.avsc`, subject: to, version }))
  const schema = JSON.stringify(text ?? `${subject.replace(/^:.*:/, '')} ${number}`)
  return { subject, version: number, id, deleted, schemaType: 'AVRO', schema, references } satisfies SchemaVersion
}

function settings(o: Partial<Settings>): Settings {
  return { ...NO_SETTINGS, ...o }
}

function input(source: SchemaVersion[], target: SchemaVersion[], o: Partial<PlanInput> = {}): PlanInput {
  const [here, there] = [tableOf(source), tableOf(target)]
  return {
    ids: 'preserve',
    names: new NameMap({}),
    source: here,
    target: there,
    subjects: [...here.keys()],
    answers: new Answers(),
    settled: () => undefined,
    settings: { source: NO_SETTINGS, target: NO_SETTINGS },
    syncMode: false,
    syncDeletes: false,
    importScope: 'auto',
    droppedConfig: new Set(),
    targetNames: new Set(there.keys()),
    targetIsWhole: true,
    whole: true,
    formerly: new Map(),
    guessed: () => false,
    ...o
  }
}

const planOf = (...args: Parameters<typeof input>) => planSync(input(...args)).plan

function words(plan: ReturnType<typeof planOf>): string[][] {
  return stages(plan).map(stage =>
    stage.subjects.map(({ subject, steps, after }) => {
      const done = steps.map(step => {
        if (step.kind === 'register') return `+${step.from.version}${step.thenDelete ? '-' : ''}`
        if (step.kind === 'delete-version') return `-${step.version}${step.permanent ? '!' : ''}`
        if (step.kind === 'delete-subject') return `-*${step.permanent ? '!' : ''}`
        return step.kind === 'config'
          ? `config ${step.config?.compatibilityLevel ?? 'none'}`
          : `mode ${step.mode ?? 'none'}`
      })
      return `${subject}: ${done.join(' ')}${after.length === 0 ? '' : ` after ${after.join()}`}`
    })
  )
}

const kinds = (plan: ReturnType<typeof planOf>) => plan.conflicts.map(({ subject, kind }) => `${subject} ${kind}`)

describe('a plan', () => {
  it('has every subject after those that it refers to', () => {
    const plan = planOf([version('a', 1, 1, { refs: [['b', 1]] }), version('b', 1, 2), version('b', 2, 3)], [])
    expect(words(plan)).toEqual([['b: +1 +2', 'a: +1 after b']])
  })

  it('deals subjects that refer to each other in turns out over stages', () => {
    const plan = planOf(
      [version('a', 1, 1), version('b', 1, 2, { refs: [['a', 1]] }), version('a', 2, 3, { refs: [['b', 1]] })],
      []
    )
    expect(words(plan)).toEqual([['a: +1'], ['b: +1'], ['a: +2']])
    expect(plan.changes).toBe(3)
    expect(plan.then?.importScopes).toBe('subjects')
  })

  it('reports a cycle for its subjects, and who hangs on it as blocked', () => {
    const plan = planOf(
      [
        version('a', 1, 1, { refs: [['b', 1]] }),
        version('b', 1, 2, { refs: [['a', 1]] }),
        version('c', 1, 3, { refs: [['a', 1]] }),
        version('d', 1, 4)
      ],
      []
    )
    expect(kinds(plan).sort()).toEqual(['a reference-cycle', 'b reference-cycle', 'c blocked'])
    expect(words(plan)).toEqual([['d: +1']])
  })

  it('reports what refers to nothing, unless the target has it by that number', () => {
    const from = [version('a', 1, 1, { refs: [['gone', 2]] })]
    expect(kinds(planOf(from, []))).toEqual(['a missing-reference'])
    expect(kinds(planOf(from, [version('gone', 2, 9)]))).toEqual([])
    expect(kinds(planOf(from, [version('gone', 2, 9)], { ids: 'translate' }))).toEqual(['a missing-reference'])
  })

  it('enters IMPORT for a context that has no subject, and else subject by subject', () => {
    const from = [version('a', 1, 1), version(':.x:a', 1, 1)]
    expect(planOf(from, [])).toMatchObject({ importScopes: [undefined, ':.x:'], occupiedScopes: [] })
    const some = planOf(from, [version('theirs', 1, 7, { deleted: true })])
    expect(some).toMatchObject({ importScopes: [':.x:'], occupiedScopes: [] })
    const all = [version('theirs', 1, 7), version(':.x:theirs', 1, 7)]
    expect(planOf(from, all).importScopes).toBe('subjects')
    expect(planOf(from, [], { importScope: 'subject' }).importScopes).toBe('subjects')
    const forced = planOf(from, all.slice(0, 1), { importScope: 'context' })
    expect(forced).toMatchObject({ importScopes: [undefined, ':.x:'], occupiedScopes: [undefined] })
    expect(planOf(from, [], { ids: 'translate' }).importScopes).toEqual([])
  })

  it('says of each subject what the target has of it, as force depends on it', () => {
    const from = ['a', 'b', 'c'].map((subject, index) => version(subject, 2, index + 1))
    const plan = planOf(from, [version('a', 1, 11), version('b', 1, 12, { deleted: true })])
    expect(plan.subjects.map(({ subject, targetHas }) => [subject, targetHas])).toEqual([
      ['a', 'live'],
      ['b', 'deleted'],
      ['c', 'nothing']
    ])
  })

  it('registers what the source has deleted, then deletes it, and what the target alone has deleted again', () => {
    const from = [version('a', 1, 1, { deleted: true }), version('a', 2, 2), version('b', 1, 3)]
    expect(words(planOf(from, [version('b', 1, 3, { deleted: true })]))).toEqual([['a: +1- +2', 'b: +1']])
  })

  it('asks the registry where texts differ, and takes its word', () => {
    const given = input([version('a', 1, 1, { text: 'x' })], [version('a', 1, 1, { text: 'normalized' })])
    planSync(given)
    const [question] = given.answers.takeOpen()
    expect(question).toMatchObject({ kind: 'lookup', subject: 'a' })
    given.answers.answerLookup(question!.key, { id: 1, version: 1 })
    expect(planSync(given).plan).toMatchObject({ changes: 0, conflicts: [] })
    given.answers.answerLookup(question!.key, null)
    expect(kinds(planSync(given).plan)).toEqual(['a version-taken'])
  })

  it('asks who has an id where not all of the target was read', () => {
    const given = input([version('a', 1, 1)], [], { targetIsWhole: false, targetNames: new Set(['other']) })
    planSync(given)
    const [question] = given.answers.takeOpen()
    expect(question).toMatchObject({ kind: 'id', id: 1, scope: ':.:' })
    given.answers.answerId(question!.key, { schemaType: 'AVRO', schema: '"else"', references: [] })
    expect(kinds(planSync(given).plan)).toEqual(['a id-taken'])
    given.answers.answerId(question!.key, null)
    expect(words(planSync(given).plan)).toEqual([['a: +1']])
  })

  it('with translated ids puts config before versions, and again when deletes have cleared it', () => {
    const configs = new Map([['a', { compatibilityLevel: 'NONE' }]])
    const o = { ids: 'translate', settings: { source: settings({ configs }), target: NO_SETTINGS } } as const
    expect(words(planOf([version('a', 1, 1)], [], o))).toEqual([['a: config NONE +1']])
    const deleted = [version('a', 1, 1, { deleted: true })]
    expect(words(planOf(deleted, [], o))).toEqual([['a: config NONE +1- config NONE']])
    expect(words(planOf([version('a', 1, 1)], [], { ...o, ids: 'preserve' }))).toEqual([['a: +1 config NONE']])
  })

  it('removes config that only the target has, and puts it anew where a field has to go', () => {
    const held = [version('a', 1, 1)]
    const configs = (source: object | undefined, target: object | undefined, dropped: string[] = []) =>
      words(
        planOf(held, held, {
          settings: {
            source: settings({ configs: new Map([['a', source]]) }),
            target: settings({ configs: new Map([['a', target]]) })
          },
          droppedConfig: new Set(dropped)
        })
      )
    expect(configs(undefined, { compatibilityLevel: 'FULL' })).toEqual([['a: config none']])
    const full = { compatibilityLevel: 'FULL' }
    expect(configs(full, { ...full, alias: 'b' })).toEqual([['a: config none config FULL']])
    expect(configs({ ...full, normalize: true }, full)).toEqual([['a: config FULL']])
    expect(configs({ ...full, normalize: true }, full, ['normalize'])).toEqual([[]])
    expect(configs(full, full)).toEqual([[]])
  })

  it('puts modes last, and first where a mode lets the rest be done', () => {
    const modes = (source: string | undefined, target: string | undefined) =>
      words(
        planOf([version('a', 1, 1), version('a', 2, 2)], [version('a', 1, 1)], {
          syncMode: true,
          settings: {
            source: settings({ modes: new Map([['a', source]]) as Settings['modes'] }),
            target: settings({
              modes: new Map([['a', target]]) as Settings['modes'],
              effectiveModes: new Map([['a', target ?? 'READWRITE']]) as Settings['effectiveModes']
            })
          }
        })
      )
    expect(modes('READONLY', undefined)).toEqual([['a: +2 mode READONLY']])
    expect(modes('READWRITE', 'READONLY')).toEqual([['a: mode READWRITE +2']])
    expect(modes(undefined, 'READONLY')).toEqual([['a: mode none +2']])
    expect(modes('IMPORT', 'READONLY')).toEqual([['a: +2']])
  })

  it('copies levels of contexts into the contexts that they go to, modes in the last stage', () => {
    const names = new NameMap({ sourceContext: '.a', targetContext: '.b' })
    const source = settings({
      configs: new Map([[':.a:', { compatibilityLevel: 'NONE' }]]),
      modes: new Map([[':.a:', 'READONLY']])
    })
    const from = [
      version(':.a:x', 1, 1),
      version(':.a:y', 1, 2, { refs: [['x', 1]] }),
      version(':.a:x', 2, 3, { refs: [['y', 1]] })
    ]
    const plan = planOf(from, [], { names, syncMode: true, settings: { source, target: NO_SETTINGS } })
    expect(stages(plan).map(({ levels }) => levels)).toEqual([
      [{ scope: ':.b:', steps: [{ kind: 'config', config: { compatibilityLevel: 'NONE' } }] }],
      [],
      [{ scope: ':.b:', steps: [{ kind: 'mode', mode: 'READONLY' }] }]
    ])
  })

  it('asks for the number of a version that was only inferred, before anything refers to it', () => {
    const from = [version('a', 1, 1), version('b', 1, 2, { refs: [['a', 1]] })]
    const given = input(from, [version('a', 3, 77, { text: 'a 1' })], { ids: 'translate', guessed: () => true })
    planSync(given)
    const [question] = given.answers.takeOpen()
    given.answers.answerLookup(question!.key, { id: 77, version: 4 })
    expect(planSync(given).plan.known.get('a\n1')).toEqual({ subject: 'a', version: 4, id: 77 })
  })
})

describe('deletes', () => {
  const gone = (given: PlanInput) => {
    planSync(given)
    for (const question of given.answers.takeOpen())
      if (question.kind === 'versions') given.answers.answerVersions(question.key, null)
    return planSync(given).plan
  }

  it('go from who refers to what is referred to, and only when the source confirms', () => {
    const target = [version('a', 1, 1, { refs: [['b', 1]] }), version('b', 1, 2), version('kept', 1, 3)]
    const given = input([version('kept', 1, 3)], target, { syncDeletes: true })
    expect(words(planSync(given).plan)).toEqual([[]])
    expect(words(gone(given))).toEqual([[], ['a: -1!', 'b: -1! after a']])
  })

  it('leave what something that stays refers to, and say so', () => {
    const target = [version('a', 1, 1), version('theirs', 1, 2, { refs: [['a', 1]] })]
    const names = new NameMap({ subjects: ['a', 'b'] })
    const plan = gone(input([version('b', 1, 3)], [...target, version('b', 1, 3)], { names, syncDeletes: true }))
    expect(kinds(plan)).toEqual(['a blocked'])
    expect(plan.changes).toBe(0)
  })

  it('take a whole subject in one step, or version by version where they hold each other', () => {
    const two = [version('a', 1, 1), version('a', 2, 2)]
    const deleted = two.map(one => ({ ...one, deleted: true }))
    expect(words(planOf(deleted, two, { syncDeletes: true }))).toEqual([[], ['a: -*']])
    const holding = [version('a', 1, 1), version('a', 2, 2, { refs: [['a', 1]] })]
    const both = holding.map(one => ({ ...one, deleted: true }))
    expect(words(planOf(both, holding, { syncDeletes: true }))).toEqual([[], ['a: -2 -1']])
  })

  it('are refused altogether when the source lists nothing', () => {
    const plan = planOf([], [version('a', 1, 1)], { syncDeletes: true })
    expect(kinds(plan)).toEqual(['* deletes-refused'])
  })
})

describe('what is told to people', () => {
  it('of a plan is a table, and JSON without the texts of schemas', () => {
    const plan = planOf([version('a', 1, 1, { deleted: true }), version('b', 1, 2, { refs: [['gone', 1]] })], [])
    expect(String(plan)).toMatchInlineSnapshot(`
      "1 change, 1 conflict; 2 subjects compared, ids: preserve
      subject   what
      --------  ------------------------------------------------------------
      a         register version 1 as id 1 and delete it
      conflict  missing-reference: "b": version 1 refers to version 1 of "gone", which the source does not have"
    `)
    expect(JSON.stringify(plan)).not.toContain('"schema"')
    expect(JSON.parse(JSON.stringify(plan))).toMatchObject({ changes: 1, importScopes: [null] })
  })

  it('of a difference is each difference of each subject', () => {
    const source = [
      version('a', 1, 1),
      version('a', 2, 2),
      version('b', 1, 3),
      version('c', 1, 4, { deleted: true }),
      version('d', 1, 5)
    ]
    const target = [version('a', 1, 9), version('a', 3, 7), version('c', 1, 4), version('d', 1, 5), version('e', 1, 6)]
    const given = input(source, target, {
      settings: {
        source: settings({
          configs: new Map([['d', { compatibilityLevel: 'FULL' }]]),
          modes: new Map([['d', 'READONLY']])
        }),
        target: settings({ configs: new Map([['d', { compatibilityLevel: 'NONE', normalize: true }]]) })
      }
    })
    const drift = new SchemaDrift({ at: new Date(0), ids: 'preserve', compared: 4, subjects: findDrift(given) })
    expect(String(drift)).toMatchInlineSnapshot(`
      "5 subjects different, 4 compared, ids: preserve
      subject  version  differs  source                  target
      -------  -------  -------  ----------------------  ----------------------
      a        1        id       1                       9
      a        2        missing  {"id":2}
      a        3        extra                            {"id":7}
      b                 missing  [{"version":1,"id":3}]
      c        1        deleted  true                    false
      d                 level    FULL                    NONE
      d                 config   {}                      {"normalize":true}
      d                 mode     READONLY
      e                 extra                            [{"version":1,"id":6}]"
    `)
    expect(drift.clean).toBe(false)
    expect(JSON.parse(JSON.stringify(drift))).toMatchObject({ at: '1970-01-01T00:00:00.000Z', compared: 4 })
  })

  it('of a difference with translated ids is about contents, and numbers that moved', () => {
    const source = [version('a', 1, 1), version('a', 2, 2)]
    const target = [version('a', 5, 70, { text: 'a 1' }), version('a', 6, 71, { text: 'a 2' })]
    const [drift] = findDrift(input(source, target, { ids: 'translate' }))
    expect(drift?.differences).toEqual([
      { kind: 'version', version: 1, source: 1, target: 5 },
      { kind: 'version', version: 2, source: 2, target: 6 }
    ])
  })

  it('of a run is what was done, what could not be, and what only the target has', () => {
    const report = new SchemaSyncReport({
      at: new Date(0),
      ms: 12,
      ids: 'preserve',
      compared: 1234,
      configsCompared: 1,
      registered: 2,
      conflicts: [{ subject: 'b', kind: 'read-only', message: 'no' }],
      subjects: [
        { subject: 'a', done: 3 },
        { subject: 'b', done: 0 }
      ],
      extra: [{ subject: 'c', versions: [1, 2] }],
      repaired: 0,
      requests: { source: 5, target: 1000 }
    })
    expect(String(report)).toMatchInlineSnapshot(`
      "3 changes, 1 conflict, 1,234 subjects compared in 12 ms; 5 requests to the source, 1,000 to the target
      subject  what
      -------  --------------------------------
      a        3 changes
      b        read-only: no
      c        only on the target: version 1, 2"
    `)
    expect(JSON.parse(JSON.stringify(report))).toMatchObject({
      at: '1970-01-01T00:00:00.000Z',
      changes: 3,
      registered: 2
    })
  })
})
