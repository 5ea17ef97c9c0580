import { TwinlogError } from '../errors.js'
import { isNoteThere, removeNote, restoreMode, writeNote } from './import-note.js'
import { ConflictError, isModeFixed, isRefusal } from './refusals.js'
import type { RegistryClient, RegistryMode } from './registry-types.js'

/** How often a repair by another process, or a request without an answer, may come between. */
const ATTEMPTS = 5

/**
 * One scope of the target that is put into IMPORT and taken out again. A note is there for as long as the scope may be in IMPORT by us.
 * None of this can be aborted: a PUT that is given up may still arrive, after everything else was put back.
 */
export class ImportScope {
  readonly scope: string | undefined
  readonly #target: RegistryClient
  readonly #owner: string
  readonly #notes: string[] = []
  /** Nothing more to do in `leave()` than to remove notes: it was not, or is no more, in IMPORT by us. */
  #entered = false
  /** A request had no answer: look before and after. */
  #unsure = false
  #previous: RegistryMode | undefined

  constructor(o: { target: RegistryClient; scope: string | undefined; owner: string }) {
    this.#target = o.target
    this.scope = o.scope
    this.#owner = o.owner
  }

  /** What was set on the scope before. */
  get previousMode(): RegistryMode | undefined {
    return this.#previous
  }

  /**
   * False: it is in IMPORT already, by the operator or by another process; then it is used, and left as it is. Without `force` Confluent
   * checks that the scope has no subjects, and removes softly deleted ones.
   */
  async enter(o: { force: boolean }): Promise<boolean> {
    const previous = await this.#target.mode(this.scope)
    if (previous === 'IMPORT') return false
    if (previous === 'READONLY_OVERRIDE') {
      const message = `registry ${this.#target.name} is in READONLY_OVERRIDE mode: nothing can be written`
      throw new ConflictError('read-only', message)
    }
    this.#previous = previous ?? this.#previous
    await this.#note()
    await this.#put(o.force)
    // A repair that took our note for that of a dead process and came before the PUT: from here on no repair can have missed the IMPORT.
    for (let attempt = 0; !(await this.#isNoted()); attempt++) {
      if (attempt === ATTEMPTS) throw this.#disturbed('its note is removed again and again')
      await this.#note()
    }
    return true
  }

  /** Back to the mode before, then the notes go. What fails leaves the note for the next run. `careful`: with a look before and after. */
  async leave(o: { careful?: boolean } = {}): Promise<void> {
    if (this.#entered) {
      if (o.careful === true || this.#unsure) await this.#leaveCarefully()
      else await restoreMode(this.#target, this.scope, this.#previous)
      this.#entered = false
    }
    for (let note = this.#notes[0]; note !== undefined; note = this.#notes[0]) {
      await removeNote(this.#target, note)
      this.#notes.shift()
    }
  }

  async #note(): Promise<void> {
    const note = { kind: 'import', scope: this.scope, previousMode: this.#previous } as const
    this.#notes.push(await writeNote(this.#target, note, this.#owner))
  }

  async #put(force: boolean): Promise<void> {
    const entered = this.#entered
    this.#entered = true
    try {
      await this.#target.putMode(this.scope, 'IMPORT', { force })
    } catch (error) {
      this.#unsure = true
      if (isRefusal(error)) {
        this.#entered = entered
        if (!entered) await this.leave()
      }
      if (isModeFixed(error)) throw modeFixed(this.#target, error)
      throw error
    }
  }

  #isNoted(): Promise<boolean> {
    const note = this.#notes.at(-1)
    return note === undefined ? Promise.resolve(false) : isNoteThere(this.#target, note)
  }

  async #leaveCarefully(): Promise<void> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const mode = await this.#target.mode(this.scope)
      // Set by somebody else since, and theirs to keep.
      if (mode !== 'IMPORT' && !(mode === 'READONLY_OVERRIDE' && this.scope !== undefined)) return
      await restoreMode(this.#target, this.scope, this.#previous)
      if (mode === 'READONLY_OVERRIDE') return
    }
    throw this.#disturbed(
      'it is in IMPORT again after each request that ends it; GET /mode tells, PUT /mode changes it'
    )
  }

  #disturbed(what: string): TwinlogError {
    const scope = this.scope ?? 'the whole registry'
    const message = `registry ${this.#target.name}: somebody else changes the mode of ${scope} at the same time: ${what}`
    return new TwinlogError('TWINLOG_SCHEMA_REGISTRY', message, { subject: this.scope, retriable: true })
  }
}

function modeFixed(target: RegistryClient, cause: unknown): TwinlogError {
  const message = `registry ${target.name} does not allow its mode to be changed, so ids cannot be preserved: set mode.mutability=true there, put it into IMPORT mode yourself, or use ids: 'translate'`
  return new TwinlogError('TWINLOG_UNSUPPORTED', message, { cause })
}
