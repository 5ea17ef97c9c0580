import { ContentComparer } from './content-comparer.js'
import { absoluteSubject, type NameMap, versionKey } from './names.js'
import type { Answers } from './questions.js'
import type { SchemaReference, SchemaVersion } from './registry-types.js'
import { sameText } from './same-content.js'
import type { SubjectTable } from './snapshot.js'
import { type Topology, topology } from './topology.js'

export type VersionState =
  | 'alike'
  /** The target does not have it. */
  | 'missing'
  /** Softly deleted on the target, live on the source. */
  | 'dead'
  /** Live on the target, softly deleted on the source. */
  | 'live'
  /** The target has the same content as this version under another id. */
  | 'id-differs'
  /** The target has another content as this version. */
  | 'content-differs'
  /** An answer of a registry is needed first. */
  | 'unsure'

export interface ComparedVersion {
  from: SchemaVersion
  state: VersionState
  /** Its counterpart. With `preserve` the version of the same number, with `translate` the one of the same content. */
  at: SchemaVersion | undefined
}

export interface ComparedSubject {
  from: string
  subject: string
  versions: ComparedVersion[]
  /** Versions of the target that stand for none of the source's. */
  extra: SchemaVersion[]
}

export interface Comparison {
  /** By the source's names. */
  subjects: ReadonlyMap<string, ComparedSubject>
  /** What of the source is on the target, by `versionKey`. */
  known: ReadonlyMap<string, { subject: string; version: number; id: number }>
  topology: Topology
  contents: ContentComparer
}

export interface CompareInput {
  ids: 'preserve' | 'translate'
  names: NameMap
  source: SubjectTable
  target: SubjectTable
  /** Subjects of the source that are compared. Whatever they refer to should be among them. */
  subjects: Iterable<string>
  answers: Answers
  /** The id under which the target took this version, if this process has registered it. It is there, whatever its text looks like there. */
  settled: (from: SchemaVersion, subject: string) => number | undefined
}

/** What both sides have. No requests are made: what only a registry can say is asked of `answers`. */
export function compare(input: CompareInput): Comparison {
  const { names, source, target } = input
  const order = topology(input.subjects, source)
  const contents = new ContentComparer(input)
  const subjects = new Map<string, ComparedSubject>()
  const known = new Map<string, { subject: string; version: number; id: number }>()
  for (const subject of input.subjects)
    subjects.set(subject, { from: subject, subject: names.toTarget(subject), versions: [], extra: [] })
  // Versions of cycles are compared too, in whatever order.
  for (const { from, key } of new Set([...order.order, ...order.nodes.values()])) {
    const compared = subjects.get(from.subject)
    if (!compared) continue
    const judge = input.ids === 'preserve' ? preserved : translated
    const version = judge(from, compared.subject, { ...input, contents, known })
    compared.versions.push(version)
    if (version.at && (version.state === 'alike' || version.state === 'live'))
      known.set(key, { subject: compared.subject, version: version.at.version, id: version.at.id })
  }
  for (const compared of subjects.values()) {
    compared.versions.sort((a, b) => a.from.version - b.from.version)
    if (input.ids === 'translate') joinTwins(compared.versions)
    const matched = new Set(compared.versions.map(({ at }) => at))
    compared.extra = (target.get(compared.subject) ?? []).filter(version => !matched.has(version))
  }
  return { subjects, known, topology: order, contents }
}

type JudgeInput = CompareInput & { contents: ContentComparer; known: Comparison['known'] }

function preserved(from: SchemaVersion, subject: string, o: JudgeInput): ComparedVersion {
  const at = o.target.get(subject)?.find(({ version }) => version === from.version)
  if (!at) return { from, state: 'missing', at: undefined }
  const references = o.names.references(from.subject, from.references)
  const same = o.contents.same(from, references, at)
  if (at.id !== from.id) return { from, state: same ? 'id-differs' : 'content-differs', at }
  if (same || o.settled(from, subject) === at.id) return alive(from, at)
  const found = o.contents.find(from, references, subject)
  if (found === undefined) return { from, state: 'unsure', at }
  // The same content can be there as two versions; the registry names one of them.
  if (found !== null && (found.version === at.version || found.id === at.id)) return alive(from, at)
  return { from, state: 'content-differs', at }
}

function translated(from: SchemaVersion, subject: string, o: JudgeInput): ComparedVersion {
  const held = o.target.get(subject) ?? []
  const missing = { from, state: 'missing', at: undefined } as const
  if (held.length === 0) return missing
  const settled = o.settled(from, subject)
  const references = translatedReferences(from, o)
  const at = best(
    from,
    held.filter(there => there.id === settled || (references && o.contents.same(from, references, there)))
  )
  if (at) return alive(from, at)
  // With a reference that is not there its content cannot be there either.
  if (references === undefined) return missing
  const found = o.contents.find(from, references, subject)
  if (found === undefined) return { from, state: 'unsure', at: undefined }
  const there = held.find(({ version }) => version === found?.version) ?? held.find(({ id }) => id === found?.id)
  return there ? alive(from, there) : missing
}

/** References as the target would have them; undefined: it lacks one. */
function translatedReferences(from: SchemaVersion, { names, known }: JudgeInput): SchemaReference[] | undefined {
  const written = names.references(from.subject, from.references)
  const references: SchemaReference[] = []
  for (const [index, { subject, version }] of from.references.entries()) {
    const there = known.get(versionKey(absoluteSubject(from.subject, subject), version))
    const reference = written[index]
    if (!there || !reference) return undefined
    references.push({ ...reference, version: there.version })
  }
  return references
}

function alive(from: SchemaVersion, at: SchemaVersion): ComparedVersion {
  const state = from.deleted === at.deleted ? 'alike' : at.deleted ? 'dead' : 'live'
  return { from, state, at }
}

/** One that lives as the source's does, then a live one, then the one of the same number, then the first. */
function best(from: SchemaVersion, fits: readonly SchemaVersion[]): SchemaVersion | undefined {
  const rank = (at: SchemaVersion) =>
    (at.deleted === from.deleted ? 0 : 4) + (at.deleted ? 2 : 0) + (at.version === from.version ? 0 : 1)
  return [...fits].sort((a, b) => rank(a) - rank(b) || a.version - b.version)[0]
}

/** Several versions of the source can be one of the target: it lives as long as one of them does. */
function joinTwins(versions: ComparedVersion[]): void {
  const lives = versions.filter(({ from }) => !from.deleted)
  if (lives.length === versions.length) return
  const wanted = new Set(lives.filter(({ state }) => state === 'alike').map(({ at }) => at))
  for (const version of versions) {
    if (version.state === 'live' && wanted.has(version.at)) version.state = 'alike'
    if (version.state !== 'missing' || !version.from.deleted) continue
    const twin = lives.find(({ from }) => from.id === version.from.id && sameText(from, version.from))
    if (twin) Object.assign(version, { state: 'alike', at: twin.at })
  }
}
