/** So many subjects have their configs read in every run. */
export const ALWAYS_READ = 500
/** Of more than that, everything is read once in so many runs. */
const RUNS = 20

/**
 * Which subjects' own configs are read in a run. No registry lists them, so it costs a request each: those that the run changes anyway, and
 * of all others a slice that moves on.
 */
export class ConfigSweep {
  #at = 0

  /** `every`: the user wants all of them in each run. */
  choose(subjects: readonly string[], changed: ReadonlySet<string>, every: boolean): Set<string> {
    if (every || subjects.length <= ALWAYS_READ) return new Set(subjects)
    const size = Math.ceil(subjects.length / RUNS)
    const slice = subjects.slice(this.#at, this.#at + size)
    this.#at = this.#at + size >= subjects.length ? 0 : this.#at + size
    return new Set([...slice, ...changed])
  }
}
