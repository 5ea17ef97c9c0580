import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '../logger.js'
import type { LinkTranslator } from '../offsets/link-translator.js'
import type { LocalParticipants } from './fleet-participants.js'

const TRIM_MS = 2_000

/** The way to every standby cluster; `undefined` where it does not answer. */
export interface Standbys {
  from: string
  to: ReadonlyMap<string, Pick<LinkTranslator, 'reached'> | undefined>
}

/**
 * How far every standby cluster is. One that does not answer counts with what was last known of it, one without a lane has
 * nothing: a failover to any of them must still name everything that is lost there.
 */
export class StandbyProgress {
  readonly #known = new Map<string, bigint>()

  /** The position that no standby is behind; `undefined` when one of them may have nothing. */
  async reachedByAll({ from, to }: Standbys, topic: string, partition: number): Promise<bigint | undefined> {
    const positions = await Promise.all(
      [...to].map(async ([alias, translator]) => {
        const key = JSON.stringify([from, alias, topic, partition])
        if (!translator) return this.#known.get(key)
        const reached = await translator.reached(topic, partition)
        if (reached === undefined) this.#known.delete(key)
        else this.#known.set(key, reached)
        return reached
      })
    )
    let lowest = positions[0]
    for (const position of positions) {
      if (position === undefined || lowest === undefined) return undefined
      if (position < lowest) lowest = position
    }
    return lowest
  }
}

interface TrimOptions {
  local: LocalParticipants
  logger: Logger
  signal: AbortSignal
  standbys: () => Standbys
}

/** Lets producers forget what every standby cluster has: a ledger needs only the rest. */
export class TrimLoop {
  readonly #o: TrimOptions
  readonly #progress = new StandbyProgress()

  constructor(o: TrimOptions) {
    this.#o = o
  }

  start(): void {
    void this.#run()
  }

  async #run(): Promise<void> {
    const { local, logger, signal } = this.#o
    while (!signal.aborted) {
      await sleep(TRIM_MS, undefined, { signal, ref: false }).catch(() => undefined)
      if (signal.aborted || local.away) continue
      try {
        const standbys = this.#o.standbys()
        await local.trim((topic, partition) => this.#progress.reachedByAll(standbys, topic, partition))
      } catch (error) {
        logger.debug({ error: String(error) }, 'could not ask how far the standby clusters are')
      }
    }
  }
}
