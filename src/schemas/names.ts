import { InvalidOptionError } from '../errors.js'
import { type Selector, selectorChoice } from '../util/selector.js'
import type { SchemaReference } from './registry-types.js'

/** Subjects without a context in their name are in this one. */
export const DEFAULT_CONTEXT = '.'
/** Ours: what an import leaves behind until it is over. Never copied. */
export const OWN_CONTEXT = '.twinlog'

export interface SplitSubject {
  context: string
  name: string
}

/** `:.ctx:orders-value` and `orders-value` (default context; also written `:.:orders-value`). */
export function splitSubject(subject: string): SplitSubject {
  const match = /^:(\.[^:]*):(.*)$/s.exec(subject)
  if (!match) return { context: DEFAULT_CONTEXT, name: subject }
  return { context: match[1] ?? DEFAULT_CONTEXT, name: match[2] ?? '' }
}

export function qualify(context: string, name: string): string {
  return context === DEFAULT_CONTEXT ? name : `:${context}:${name}`
}

/** What a context is called where a scope is asked for: the default one has no name of its own. */
export function scopeOf(context: string): string | undefined {
  return context === DEFAULT_CONTEXT ? undefined : `:${context}:`
}

/** A reference is relative to the context of the schema that has it, unless it says otherwise. */
export function absoluteSubject(parent: string, subject: string): string {
  if (/^:\.[^:]*:/.test(subject)) {
    const { context, name } = splitSubject(subject)
    return qualify(context, name)
  }
  return qualify(splitSubject(parent).context, subject)
}

/** Key of one version of one subject. */
export function versionKey(subject: string, version: number): string {
  return `${subject}\n${version}`
}

export interface NameOptions {
  sourceContext?: string | undefined
  targetContext?: string | undefined
  /** @defaultValue all */
  subjects?: Selector | undefined
  rename?: ((subject: string) => string) | undefined
}

/** Which subjects of the source are copied, and what they are called on the target. */
export class NameMap {
  /** The only context that is copied; undefined: all of them, under their own names. */
  readonly sourceContext: string | undefined
  readonly targetContext: string | undefined
  /** A selector was given: what belongs to a whole registry or context is left alone. */
  readonly narrowed: boolean
  readonly #selects: (subject: string) => boolean
  readonly #rename: ((subject: string) => string) | undefined
  readonly #renamed = new Map<string, string>()

  constructor(o: NameOptions) {
    const one = o.sourceContext !== undefined || o.targetContext !== undefined
    this.sourceContext = one ? (o.sourceContext ?? DEFAULT_CONTEXT) : undefined
    this.targetContext = one ? (o.targetContext ?? DEFAULT_CONTEXT) : undefined
    this.#selects = o.subjects === undefined ? () => true : chooser(o.subjects)
    this.narrowed = o.subjects !== undefined
    this.#rename = o.rename
  }

  get renames(): boolean {
    return this.#rename !== undefined
  }

  /** Which ids records carry: those of the context that is copied, else of the default one. */
  get idContext(): string {
    return this.sourceContext ?? DEFAULT_CONTEXT
  }

  get targetIdContext(): string {
    return this.targetContext ?? DEFAULT_CONTEXT
  }

  inSource(subject: string): boolean {
    return inContext(subject, this.sourceContext)
  }

  inTarget(subject: string): boolean {
    return inContext(subject, this.targetContext)
  }

  /** Whether this subject of the source was asked for. */
  selects(subject: string): boolean {
    return this.inSource(subject) && this.#selects(subject)
  }

  /** By which name the target has a subject of the source. What lies outside the copied context keeps its name. */
  toTarget(subject: string): string {
    if (!this.inSource(subject)) return subject
    const { context, name } = splitSubject(subject)
    return qualify(this.targetContext ?? context, this.#renameOf(name))
  }

  /**
   * The subject of the source that a subject of the target would come from, when it can be told from the name alone: with `rename`, only
   * for names that it leaves as they are.
   */
  fromTarget(subject: string): string | undefined {
    if (!this.inTarget(subject)) return undefined
    const { context, name } = splitSubject(subject)
    const source = qualify(this.sourceContext ?? context, name)
    return this.selects(source) && this.#renameOf(name) === name ? source : undefined
  }

  /** The target's context for one of the source's; undefined: it is not copied. */
  contextToTarget(context: string): string | undefined {
    if (context === OWN_CONTEXT) return undefined
    if (this.sourceContext === undefined) return context
    return context === this.sourceContext ? this.targetContext : undefined
  }

  /** References as the target knows them, written relative or qualified as the source wrote them. */
  references(parent: string, references: readonly SchemaReference[]): SchemaReference[] {
    const home = splitSubject(this.toTarget(parent)).context
    return references.map(reference => {
      const target = this.toTarget(absoluteSubject(parent, reference.subject))
      const { context, name } = splitSubject(target)
      const relative = !/^:\.[^:]*:/.test(reference.subject) && context === home
      return { ...reference, subject: relative ? name : `:${context}:${name}` }
    })
  }

  #renameOf(name: string): string {
    if (this.#rename === undefined) return name
    let renamed = this.#renamed.get(name)
    if (renamed === undefined) {
      renamed = this.#rename(name)
      checkRenamed(name, renamed)
      this.#renamed.set(name, renamed)
    }
    return renamed
  }
}

function inContext(subject: string, context: string | undefined): boolean {
  const own = splitSubject(subject).context
  return own !== OWN_CONTEXT && (context === undefined || own === context)
}

function checkRenamed(name: string, renamed: unknown): void {
  if (typeof renamed === 'string' && renamed.length > 0 && !renamed.startsWith(':')) return
  throw new InvalidOptionError(
    'schemas.rename',
    `must answer with the new name of a subject without a context, for ${JSON.stringify(name)} it answered ${JSON.stringify(renamed)}`
  )
}

/** Subjects have no internal names as topics do, so this differs from `matches()`; a pattern may mean the plain or the qualified name. */
function chooser(selector: Selector): (subject: string) => boolean {
  const { include, exclude } = selectorChoice(selector)
  const wanted = include.map(predicate)
  const unwanted = exclude.map(predicate)
  return subject => {
    const { name } = splitSubject(subject)
    const hit = (fits: (text: string) => boolean) => fits(name) || fits(subject)
    return !unwanted.some(hit) && wanted.some(hit)
  }
}

function predicate(pattern: string | RegExp): (text: string) => boolean {
  if (typeof pattern === 'string') return text => text === pattern
  const whole = new RegExp(`^(?:${pattern.source})$`, pattern.flags.replace(/[gy]/g, ''))
  return text => whole.test(text)
}
