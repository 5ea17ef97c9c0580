import type { SchemaConflict } from './plan-types.js'

type Sync = (subjects: string[]) => Promise<readonly SchemaConflict[]>

/** Subjects that are wanted while a sync runs are copied together by the next one. */
export class SyncBatches {
  readonly #sync: Sync
  #running: Promise<unknown> | undefined
  #next: { subjects: Set<string>; done: Promise<readonly SchemaConflict[]> } | undefined

  constructor(sync: Sync) {
    this.#sync = sync
  }

  /** What could not be done, of all that was copied together. */
  sync(subjects: readonly string[]): Promise<readonly SchemaConflict[]> {
    this.#next ??= this.#batch()
    for (const subject of subjects) this.#next.subjects.add(subject)
    return this.#next.done
  }

  #batch() {
    const subjects = new Set<string>()
    const before = this.#running ?? Promise.resolve()
    const done = before.then(noop, noop).then(() => {
      this.#next = undefined
      return this.#sync([...subjects])
    })
    this.#running = done
    return { subjects, done }
  }
}

function noop(): void {}
