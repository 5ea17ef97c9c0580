import { faults } from './registry-fault.js'
import type { RegistrySettings } from './registry-settings.js'
import type { RegistryState, StoredVersion } from './registry-state.js'

export class Deletion {
  readonly #state: RegistryState
  readonly #settings: RegistrySettings

  constructor(state: RegistryState, settings: RegistrySettings) {
    this.#state = state
    this.#settings = settings
  }

  /** `asked`: the version as the path has it; `-1` is the latest. */
  deleteVersion(subject: string, version: number, asked: string, o: { permanent: boolean }): number {
    const entry = version === -1 ? this.#state.latest(subject) : this.#state.get(subject, version)
    if (entry?.deleted === true && !o.permanent) throw faults.versionSoftDeleted(subject, asked)
    if (entry === undefined) {
      if (!this.#state.hasSubject(subject, { deleted: true })) throw faults.subjectNotFound(subject)
      throw faults.versionNotFound(version)
    }
    this.#refuseReadOnly(subject)
    this.#refuseReferred(entry)
    if (o.permanent) {
      if (!entry.deleted) throw faults.versionNotSoftDeleted(subject, entry.version)
      this.#state.remove(subject, entry.version)
    } else {
      this.#state.put({ ...entry, deleted: true })
      if (this.#state.latest(subject) === undefined) this.#settings.forget(subject)
    }
    return entry.version
  }

  deleteSubject(subject: string, o: { permanent: boolean }): number[] {
    if (!this.#state.hasSubject(subject, { deleted: true })) throw faults.subjectNotFound(subject)
    if (!o.permanent && !this.#state.hasSubject(subject, { deleted: false })) throw faults.subjectSoftDeleted(subject)
    this.#refuseReadOnly(subject)
    const entries = this.#state.versionsOf(subject).filter(entry => o.permanent || !entry.deleted)
    for (const entry of entries) {
      this.#refuseReferred(entry)
      if (o.permanent && !entry.deleted) throw faults.subjectNotSoftDeleted(subject)
    }
    for (const entry of entries) {
      if (o.permanent) this.#state.remove(subject, entry.version)
      else this.#state.put({ ...entry, deleted: true })
    }
    if (!o.permanent) this.#settings.forget(subject)
    return entries.map(entry => entry.version)
  }

  #refuseReadOnly(subject: string): void {
    if (this.#settings.isReadOnly(subject)) throw faults.notPermitted(`Subject ${subject} is in read-only mode`)
  }

  #refuseReferred({ subject, version }: StoredVersion): void {
    if (this.#state.referrers(subject, version).length > 0) throw faults.referenceExists(subject, version)
  }
}
