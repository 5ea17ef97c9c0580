import { setTimeout as sleep } from 'node:timers/promises'
import { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import { kafkaError } from '../kafka/protocol-errors.js'
import { type LinkOrigin, LinkRegistry, LINKS_TOPIC } from '../lineage/link-registry.js'

/** `local`: nobody's copy. `skip` and `copy`: a link wrote it, and this one leaves it out or sends it on. */
export type Verdict = 'local' | 'skip' | 'copy'
export type Forward = 'local' | 'all-but-target'

const UNKNOWN_TOPIC = 3
/** Producers that come and go by the hundred must not make a look each; those that wait share the next one. */
const PAUSE_BETWEEN_LOOKS_MS = 20
/** Producers without a transactional id take a new id at each start: over months, more than need to be remembered. */
const LOCALS_KEPT = 20_000

/** What decides about records of other links: pure, by what a link says about itself. */
interface Direction {
  source: { alias: string; clusterId: string }
  target: { alias: string; clusterId: string }
  forward: Forward
}

/**
 * Who wrote a batch on the source: told by its producer id, with what links register there before their first data. Nothing on
 * the records themselves is needed, and nothing is asked while the ids are known.
 */
export class Provenance {
  readonly #source: ClusterClient
  readonly #direction: Direction
  #registry: LinkRegistry
  /** Topic id of the registry that was read; another one is another log. */
  #registryId: string | undefined
  readonly #origins = new Map<bigint, LinkOrigin>()
  readonly #verdicts = new Map<bigint, Verdict>()
  /** Oldest first. */
  readonly #locals = new Set<bigint>()
  readonly #asking = new Map<bigint, Promise<Verdict>>()
  #looking: Promise<void> | undefined
  #next: Promise<void> | undefined
  #lookedAtMs = Number.NEGATIVE_INFINITY

  constructor(o: { source: ClusterClient; target: { alias: string; clusterId: string }; forward: Forward }) {
    this.#source = o.source
    this.#direction = o
    this.#registry = new LinkRegistry(o.source)
  }

  /**
   * At once for an id that is known. An unknown one needs a look at the registry that begins after this call: a link registers
   * before its first data, so for a batch that is at hand such a look is the truth, and the answer holds for ever.
   *
   * @throws TwinlogError TWINLOG_INVALID_OPTION when the records would travel in a circle; TWINLOG_STATE_INVALID
   */
  classify(producerId: bigint): Verdict | Promise<Verdict> {
    return producerId < 0n ? 'local' : (this.#verdicts.get(producerId) ?? this.#ask(producerId))
  }

  /**
   * Reads the registry and answers the clusters whose records may come through this link.
   *
   * @throws TwinlogError TWINLOG_INVALID_OPTION when the records would travel in a circle
   */
  async carries(): Promise<string[]> {
    if (this.#direction.forward === 'local') return [this.#direction.source.clusterId]
    await this.#look()
    assertNoCycle(this.#direction, this.#origins.values())
    return carriedClusters(this.#direction, this.#origins.values())
  }

  /** @throws TwinlogError when the topic may be there and cannot be seen */
  async hasRegistry(): Promise<boolean> {
    return (await this.#findRegistry()) !== undefined
  }

  /** One question an id: the look of the first who asked began after a batch of it was there. */
  #ask(producerId: bigint): Promise<Verdict> {
    let asking = this.#asking.get(producerId)
    if (!asking) {
      asking = this.#decide(producerId).finally(() => this.#asking.delete(producerId))
      // Who only wants to know whether an id is known does not wait for the answer.
      asking.catch(() => undefined)
      this.#asking.set(producerId, asking)
    }
    return asking
  }

  async #decide(producerId: bigint): Promise<Verdict> {
    await this.#look()
    const origin = this.#origins.get(producerId)
    if (origin) assertNoCycle(this.#direction, [origin])
    const verdict = origin ? verdictOn(this.#direction, origin) : 'local'
    this.#remember(producerId, verdict)
    return verdict
  }

  #remember(id: bigint, verdict: Verdict): void {
    this.#verdicts.set(id, verdict)
    if (verdict !== 'local') return
    this.#locals.add(id)
    if (this.#locals.size <= LOCALS_KEPT) return
    const [oldest] = this.#locals
    if (oldest === undefined) return
    this.#locals.delete(oldest)
    this.#verdicts.delete(oldest)
  }

  /** A look that begins after the call, shared by all who came before it began. */
  #look(): Promise<void> {
    if (this.#next) return this.#next
    this.#next = this.#lookAfter(this.#looking)
    return this.#next
  }

  async #lookAfter(before: Promise<void> | undefined): Promise<void> {
    await before?.catch(() => undefined)
    await sleep(Math.max(0, this.#lookedAtMs + PAUSE_BETWEEN_LOOKS_MS - performance.now()))
    this.#looking = this.#next
    this.#next = undefined
    try {
      await this.#read()
    } finally {
      this.#lookedAtMs = performance.now()
    }
  }

  async #read(): Promise<void> {
    const topicId = await this.#findRegistry()
    if (topicId === undefined) {
      if (this.#registryId === undefined) return
      throw new TwinlogError(
        'TWINLOG_STATE_INVALID',
        `${LINKS_TOPIC} is gone from ${this.#source.alias}: without it nobody can tell which records links wrote there. Restart the links that write to ${this.#source.alias}: each one registers again`,
        { cluster: this.#source.alias, topic: LINKS_TOPIC }
      )
    }
    if (this.#registryId !== undefined && this.#registryId !== topicId) this.#registry = new LinkRegistry(this.#source)
    this.#registryId = topicId
    await this.#registry.readToEnd()
    for (const [id, origin] of this.#registry.entries) this.#learn(BigInt(id), origin)
  }

  #learn(id: bigint, origin: LinkOrigin): void {
    // Ids are numbers of one cluster: an entry that came here with a copy of another cluster's registry says nothing.
    if (origin.targetClusterId !== this.#direction.source.clusterId) return
    this.#origins.set(id, origin)
    // A link may carry more than it did: what was right to copy may be part of a circle now.
    if (travelsInCircle(this.#direction, origin)) this.#verdicts.delete(id)
    else this.#remember(id, verdictOn(this.#direction, origin))
  }

  /** Its topic id; undefined when the source has none, which is sure. */
  async #findRegistry(): Promise<string | undefined> {
    const { topics } = await this.#source.metadata({ topics: [LINKS_TOPIC] })
    const topic = topics.get(LINKS_TOPIC)
    const errorCode = topic?.errorCode ?? UNKNOWN_TOPIC
    if (errorCode === UNKNOWN_TOPIC) return undefined
    if (errorCode === 0) return topic?.topicId
    throw kafkaError(
      errorCode,
      `cannot see ${LINKS_TOPIC} on ${this.#source.alias}, which tells the records that links wrote there from those of producers (Describe and Read are needed)`,
      { cluster: this.#source.alias, topic: LINKS_TOPIC }
    )
  }
}

const carriedBy = (origin: LinkOrigin): string[] => [...new Set([origin.sourceClusterId, ...(origin.carries ?? [])])]

/** What was read from the target is there already, wherever it came from first. */
const cameFromTarget = ({ target }: Direction, origin: LinkOrigin): boolean =>
  origin.sourceClusterId === target.clusterId

function verdictOn(direction: Direction, origin: LinkOrigin): Verdict {
  return direction.forward === 'all-but-target' && !cameFromTarget(direction, origin) ? 'copy' : 'skip'
}

/** Records of the target that come by way of another cluster, mixed with that one's: a batch does not say which are which. */
const travelsInCircle = (direction: Direction, origin: LinkOrigin): boolean =>
  verdictOn(direction, origin) === 'copy' && carriedBy(origin).includes(direction.target.clusterId)

/** @throws TwinlogError TWINLOG_INVALID_OPTION */
export function assertNoCycle(direction: Direction, linksIntoSource: Iterable<LinkOrigin>): void {
  for (const origin of linksIntoSource) {
    if (!travelsInCircle(direction, origin)) continue
    const { source, target } = direction
    throw new TwinlogError(
      'TWINLOG_INVALID_OPTION',
      `mirror.forward: link ${origin.link} brings records to ${source.alias} that were first written on ${target.alias}, mixed with those of ${origin.sourceAlias}. With ` +
        `'all-but-target' they would travel in a circle (${target.alias} → … → ${origin.sourceAlias} → ${source.alias} → ${target.alias}) for ever. Use forward: 'local' for one link of the circle`,
      { cluster: source.alias }
    )
  }
}

/** Ids of the clusters whose records may come through a link, sorted. */
export function carriedClusters(direction: Direction, linksIntoSource: Iterable<LinkOrigin>): string[] {
  const clusters = new Set([direction.source.clusterId])
  for (const origin of linksIntoSource) {
    if (verdictOn(direction, origin) === 'copy') for (const cluster of carriedBy(origin)) clusters.add(cluster)
  }
  return [...clusters].sort()
}
