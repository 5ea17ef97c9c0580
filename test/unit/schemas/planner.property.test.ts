import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { NameMap, qualify, splitSubject, versionKey } from '../../../src/schemas/names.js'
import type { Plan } from '../../../src/schemas/plan.js'
import { type PlanInput, planSync } from '../../../src/schemas/planner.js'
import { Answers } from '../../../src/schemas/questions.js'
import type { SchemaContent } from '../../../src/schemas/registry-types.js'
import { applyTo, RegistryModel } from './registry-model.js'

/** Half of them with a context, so that references cross contexts. */
const SUBJECTS = ['a', 'b', 'c', ':.x:a', ':.x:d']
const LEVELS = ['BACKWARD', 'FULL', 'NONE']

type Act =
  | { kind: 'register'; subject: number; text: number; refs: number[] }
  | { kind: 'delete' | 'destroy'; subject: number; version: number }
  | { kind: 'config' | 'unset-config' | 'mode' | 'unset-mode'; subject: number; value: number }

const act: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('register' as const),
      subject: fc.nat(SUBJECTS.length - 1),
      text: fc.nat(3),
      refs: fc.array(fc.nat(20), { maxLength: 2 })
    })
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('delete' as const, 'destroy' as const),
      subject: fc.nat(SUBJECTS.length - 1),
      version: fc.nat(5)
    })
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom('config' as const, 'unset-config' as const, 'mode' as const, 'unset-mode' as const),
      subject: fc.nat(SUBJECTS.length - 1),
      value: fc.nat(2)
    })
  }
)

/** What a user does to a registry. What it would refuse does not happen. */
function perform(model: RegistryModel, acts: readonly Act[]): void {
  for (const one of acts) {
    const subject = SUBJECTS[one.subject]!
    const versions = [...(model.subjects.get(subject)?.keys() ?? [])]
    try {
      if (one.kind === 'register') model.register(subject, content(model, subject, one.text, one.refs))
      else if (one.kind === 'delete' || one.kind === 'destroy') {
        const version = versions[one.version % Math.max(1, versions.length)]
        // A version number that is used again changes what deleted versions refer to: nobody could tell any more what they were.
        const forGood = one.kind === 'destroy' && !model.isReferred(subject, version ?? 0)
        if (version !== undefined) model.deleteVersion(subject, version, forGood)
      } else if (versions.length === 0) continue
      else if (one.kind === 'config') model.configs.set(subject, { compatibilityLevel: LEVELS[one.value]! })
      else if (one.kind === 'unset-config') model.configs.delete(subject)
      else if (one.kind === 'mode') model.modes.set(subject, one.value === 0 ? 'READONLY' : 'READWRITE')
      else model.modes.delete(subject)
    } catch (error) {
      if (!/^422/.test((error as Error).message)) throw error
    }
  }
}

function content(model: RegistryModel, subject: string, text: number, refs: number[]): SchemaContent {
  const live = [...model.subjects].flatMap(([other, versions]) =>
    [...versions].filter(([, { deleted }]) => !deleted).map(([version]) => ({ other, version }))
  )
  const references = refs.flatMap((pick, index) => {
    const to = live[pick % Math.max(1, live.length)]
    if (!to) return []
    const { context, name } = splitSubject(to.other)
    const relative = context === splitSubject(subject).context
    return [{ name: `r${index}`, subject: relative ? name : `:${context}:${name}`, version: to.version }]
  })
  return { schemaType: 'AVRO', schema: JSON.stringify({ type: 'fixed', name: 'F', size: text + 1 }), references }
}

interface Setup {
  ids: 'preserve' | 'translate'
  syncDeletes: boolean
  rename: boolean
}

class Bed {
  readonly source = new RegistryModel()
  readonly target: RegistryModel
  readonly names: NameMap
  readonly #settled = new Map<string, number>()
  readonly #o: Setup

  constructor(o: Setup) {
    this.#o = o
    this.target = new RegistryModel({ firstId: o.ids === 'translate' ? 100 : 1 })
    this.names = new NameMap({ rename: o.rename ? name => `east.${name}` : undefined })
  }

  plan(): Plan {
    const answers = new Answers()
    for (let round = 0; round < 10; round++) {
      const { plan } = planSync(this.#input(answers))
      const open = answers.takeOpen()
      if (open.length === 0) return plan
      for (const question of open) {
        if (question.kind === 'lookup')
          answers.answerLookup(question.key, this.target.lookup(question.subject, question.content))
        if (question.kind === 'versions') {
          const versions = this.source.subjects.get(question.subject)
          answers.answerVersions(question.key, versions ? [...versions.keys()] : null)
        }
      }
    }
    throw new Error('questions without end')
  }

  sync(): Plan {
    const plan = this.plan()
    for (const [key, id] of applyTo(this.target, plan)) this.#settled.set(key, id)
    return plan
  }

  #input(answers: Answers): PlanInput {
    const source = this.source.table()
    const target = this.target.table()
    return {
      ids: this.#o.ids,
      names: this.names,
      source,
      target,
      subjects: [...source.keys()],
      answers,
      settled: from => this.#settled.get(`${from.subject}\n${from.version}\n${from.id}`),
      settings: {
        source: this.source.settings(SUBJECTS),
        target: this.target.settings(SUBJECTS.map(subject => this.names.toTarget(subject)))
      },
      syncMode: this.#o.ids === 'preserve',
      syncDeletes: this.#o.syncDeletes,
      importScope: 'auto',
      droppedConfig: new Set(),
      targetNames: new Set(target.keys()),
      targetIsWhole: true,
      whole: true,
      formerly: new Map(SUBJECTS.map(subject => [this.names.toTarget(subject), subject])),
      guessed: () => false
    }
  }

  /** Subjects that no conflict excuses. */
  check(plan: Plan): void {
    const excused = new Set(plan.conflicts.map(({ subject }) => subject))
    if (excused.has('*')) return
    for (const subject of SUBJECTS) {
      const target = this.names.toTarget(subject)
      if (excused.has(target)) continue
      if (this.#o.ids === 'preserve') this.#alike(subject, target)
      else this.#sameContents(subject, target)
      if (!this.source.subjects.has(subject) && !this.#o.syncDeletes) continue
      expect(this.target.configs.get(target), `config of ${subject}`).toEqual(this.source.configs.get(subject))
      if (this.#o.ids === 'preserve') expect(this.target.modes.get(target)).toBe(this.source.modes.get(subject))
    }
  }

  #alike(subject: string, target: string): void {
    const held = this.target.subjects.get(target)
    for (const [version, stored] of this.source.subjects.get(subject) ?? []) {
      const at = held?.get(version)
      const where = versionKey(subject, version)
      expect({ id: at?.id, schema: at?.schema }, where).toEqual({ id: stored.id, schema: stored.schema })
      if (this.#o.syncDeletes || !stored.deleted) expect(at?.deleted, where).toBe(stored.deleted)
      if (!this.#o.rename) expect(at?.references).toEqual(stored.references)
    }
    if (this.#o.syncDeletes) expect(held?.size ?? 0).toBe(this.source.subjects.get(subject)?.size ?? 0)
  }

  #sameContents(subject: string, target: string): void {
    const side = (model: RegistryModel, name: string, lives: boolean) => {
      const naming = (other: string) => (model === this.source ? this.names.toTarget(other) : other)
      const versions = [...(model.subjects.get(name) ?? [])].filter(([, { deleted }]) => deleted !== lives)
      // What refers to something that is gone cannot be told any more.
      return versions.map(([version]) => model.deep(name, version, naming)).filter(text => !text.includes('nothing'))
    }
    const live = side(this.source, subject, true)
    const liveThere = side(this.target, target, true)
    for (const text of live) expect(liveThere).toContain(text)
    const deleted = side(this.source, subject, false).filter(text => !live.includes(text))
    const deletedThere = side(this.target, target, false)
    if (!this.#o.syncDeletes) deletedThere.push(...liveThere)
    for (const text of deleted) expect(deletedThere).toContain(text)
    if (!this.#o.syncDeletes) return
    expect(new Set(liveThere)).toEqual(new Set(live))
    const dangles = [...(this.source.subjects.get(subject) ?? [])].some(([version]) =>
      this.source.deep(subject, version, String).includes('nothing')
    )
    if (!dangles) for (const text of deletedThere) expect(deleted).toContain(text)
  }
}

const setups: Setup[] = [
  { ids: 'preserve', syncDeletes: true, rename: false },
  { ids: 'preserve', syncDeletes: false, rename: true },
  { ids: 'translate', syncDeletes: true, rename: false },
  { ids: 'translate', syncDeletes: false, rename: true }
]

describe('a plan, carried out on a model of a registry', () => {
  it.each(setups)('makes it like the source, again and again, and leaves nothing to plan: %j', setup => {
    const histories = fc.array(fc.array(act, { maxLength: 12 }), { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(histories, rounds => {
        const bed = new Bed(setup)
        for (const acts of rounds) {
          perform(bed.source, acts)
          const plan = bed.sync()
          bed.check(plan)
          const again = bed.plan()
          expect(`${String(again)} <- ${String(plan)}`).toMatch(/^0 changes/)
        }
      }),
      { numRuns: Number(process.env['RUNS'] ?? 150) }
    )
  })

  it.each(setups)('finds conflicts with what others registered there, and still brings all the rest: %j', setup => {
    fc.assert(
      fc.property(fc.array(act, { maxLength: 15 }), fc.array(act, { maxLength: 8 }), (mine, theirs) => {
        const bed = new Bed(setup)
        perform(bed.source, mine)
        perform(bed.target, theirs)
        const before = [...bed.target.table()]
        const plan = bed.sync()
        bed.check(plan)
        if (setup.syncDeletes) return
        // Nothing that stood there was changed.
        const after = bed.target.table()
        for (const [subject, versions] of before)
          for (const version of versions) {
            const now = after.get(subject)?.find(other => other.version === version.version)
            if (now || !version.deleted) expect({ ...now, deleted: false }).toEqual({ ...version, deleted: false })
          }
      }),
      { numRuns: Number(process.env['RUNS'] ?? 150) }
    )
  })
})

it('names of the model are what the test thinks', () => {
  expect(qualify('.x', 'a')).toBe(':.x:a')
})
