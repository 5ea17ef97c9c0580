import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '../logger.js'
import type { LinkTranslator } from '../offsets/link-translator.js'
import type { LocalParticipants } from './fleet-participants.js'

const TRIM_MS = 2_000

interface TrimOptions {
  local: LocalParticipants
  logger: Logger
  signal: AbortSignal
  /** The standby clusters that answer, by alias. */
  translators: () => ReadonlyMap<string, Pick<LinkTranslator, 'reached'>>
}

/**
 * Lets producers forget what every standby cluster has: a ledger needs only the rest. A standby that does not answer counts with
 * what was last known of it, so that a failover to it still names everything.
 */
export class TrimLoop {
  readonly #o: TrimOptions
  readonly #known = new Map<string, Map<string, bigint>>()

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
        const translators = this.#o.translators()
        await local.trim((topic, partition) => this.#reached(translators, topic, partition))
      } catch (error) {
        logger.debug({ error: String(error) }, 'could not ask how far the standby clusters are')
      }
    }
  }

  async #reached(
    translators: ReadonlyMap<string, Pick<LinkTranslator, 'reached'>>,
    topic: string,
    partition: number
  ): Promise<bigint | undefined> {
    const place = `${topic} ${partition}`
    for (const [alias, translator] of translators) {
      const reached = await translator.reached(topic, partition)
      if (reached === undefined) continue
      const known = this.#known.get(alias) ?? new Map<string, bigint>()
      this.#known.set(alias, known.set(place, reached))
    }
    const all = [...this.#known.values()].flatMap(known => known.get(place) ?? [])
    return all.length === 0 ? undefined : all.reduce((a, b) => (a < b ? a : b))
  }
}
