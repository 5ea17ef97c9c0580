import { InvalidOptionError } from '../errors.js'

/** Two aliases of one cluster would mirror it into itself, and move a service from it to it. */
export class ClusterIdentities {
  readonly #ids = new Map<string, string>()

  admit(alias: string, clusterId: string): void {
    for (const [other, id] of this.#ids) {
      if (other === alias || id !== clusterId) continue
      throw new InvalidOptionError(
        'failover.clusters',
        `${other} and ${alias} are the same cluster (cluster id ${clusterId})`,
        {
          cluster: alias
        }
      )
    }
    this.#ids.set(alias, clusterId)
  }
}
