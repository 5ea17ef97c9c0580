import { unlessGone } from './refusals.js'
import type { CallOptions, RegistryClient, RegistryLevelConfig, RegistryMode, SchemaContent } from './registry-types.js'
import { sameValue } from './same-content.js'

/** What a registration led to. */
export interface Added {
  content: SchemaContent
  id: number
  /** As far as it is known. */
  version: number | undefined
}

/** What a subject of the target was before we wrote to it, and the way back. */
export class SubjectUndo {
  readonly #target: RegistryClient
  readonly #subject: string
  readonly #added: Added[] = []
  /** Undefined: the subject had none. */
  #before: ReadonlySet<number> | undefined
  /** Were softly deleted, and are alive again by us. */
  readonly #dead = new Set<number>()
  #config: { was: RegistryLevelConfig | undefined } | undefined

  constructor(target: RegistryClient, subject: string) {
    this.#target = target
    this.#subject = subject
  }

  /** All versions that are there now, deleted ones and ours included. */
  async lookAtVersions(o: CallOptions): Promise<ReadonlySet<number>> {
    const there = new Set((await this.#target.versions(this.#subject, { deleted: true, ...o })) ?? [])
    if (this.#added.length === 0) this.#before = there
    return there
  }

  /** Before it is registered again. */
  rememberDeleted(version: number): void {
    this.#dead.add(version)
  }

  /** Before the first change of it. */
  async rememberConfig(o: CallOptions): Promise<void> {
    this.#config ??= { was: await this.#target.config(this.#subject, o) }
  }

  /** The registry clears them with the last live version. */
  async keepSettings(work: () => Promise<void>): Promise<void> {
    const config = await this.#target.config(this.#subject)
    const mode = await this.#target.mode(this.#subject)
    await work()
    await this.#putBack(config, mode)
  }

  added(added: Added): void {
    this.#added.push(added)
  }

  /**
   * Not to be aborted: half of it would be the half-done subject that it is there to prevent. `write` makes a request, however often that
   * takes. `keepsMode`: somebody else puts the mode back.
   */
  async takeBack(o: { write: (request: () => Promise<void>) => Promise<void>; keepsMode: boolean }): Promise<void> {
    const target = this.#target
    const subject = this.#subject
    const versions = await this.#ours()
    if (versions.length === 0 && this.#config === undefined) return
    // Deleting the last live version clears both.
    const config = this.#config === undefined ? await target.config(subject) : this.#config.was
    const mode = o.keepsMode ? undefined : await target.mode(subject)
    for (const version of versions) {
      await o.write(() => unlessGone(target.deleteVersion(subject, version)))
      if (this.#dead.has(version)) continue
      await o.write(() => unlessGone(target.deleteVersion(subject, version, { permanent: true })))
    }
    await o.write(() => this.#putBack(config, mode))
    this.#added.length = 0
  }

  /** Newest first: a version may refer to one before it. */
  async #ours(): Promise<number[]> {
    const versions = new Set<number>()
    for (const { content, version } of this.#added) {
      const found = version ?? (await this.#target.lookup(this.#subject, content, { deleted: true }))?.version
      if (found !== undefined && (this.#before?.has(found) !== true || this.#dead.has(found))) versions.add(found)
    }
    return [...versions].sort((a, b) => b - a)
  }

  /** `mode`: undefined leaves what is there. */
  async #putBack(was: RegistryLevelConfig | undefined, mode: RegistryMode | undefined): Promise<void> {
    const target = this.#target
    const now = await target.config(this.#subject)
    if (!sameValue(now, was)) {
      // PUT leaves what it does not name.
      if (now !== undefined) await setConfig(target, this.#subject, undefined)
      if (was !== undefined) await setConfig(target, this.#subject, was)
    }
    if (mode !== undefined && (await target.mode(this.#subject)) !== mode) await target.putMode(this.#subject, mode)
  }
}

/** `undefined` removes what is set. */
export async function setConfig(
  target: RegistryClient,
  scope: string | undefined,
  config: RegistryLevelConfig | undefined,
  o: CallOptions = {}
): Promise<void> {
  if (config === undefined) await unlessGone(target.deleteConfig(scope, o))
  else await target.putConfig(scope, config, o)
}
