import { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import type { TopicMetadata } from '../kafka/types.js'
import { readableConfigs, type TopicConfigs } from '../topics/target-topics.js'
import type { TargetKeeper } from './target-keeper.js'
import { sourceTraits, targetTraits, type TopicTraits, traitsOf } from './topic-traits.js'

const TOPICS_AT_ONCE = 8

export type Outcome =
  | { kind: 'copy'; source: TopicMetadata; target: TopicMetadata; traits: TopicTraits }
  | { kind: 'refuse'; source: TopicMetadata; error: TwinlogError }

interface Candidate {
  source: TopicMetadata
  existing: TopicMetadata | undefined
}

type Ensured = { source: TopicMetadata; target: TopicMetadata; configs: TopicConfigs }

/** Takes topics to where lanes can begin: seen, allowed, on the target, configs known. What is wrong with one becomes its refusal. */
export class TopicJudge {
  readonly #source: ClusterClient
  readonly #target: ClusterClient
  readonly #keeper: TargetKeeper
  readonly #beforeWriting: () => Promise<void>

  constructor(o: {
    source: ClusterClient
    target: ClusterClient
    keeper: TargetKeeper
    beforeWriting: () => Promise<void>
  }) {
    this.#source = o.source
    this.#target = o.target
    this.#keeper = o.keeper
    this.#beforeWriting = o.beforeWriting
  }

  /** `targets`: what the target answered for their names. */
  async outcomes(topics: readonly TopicMetadata[], targets: Map<string, TopicMetadata>): Promise<Outcome[]> {
    const refusals: Outcome[] = []
    const candidates = await each(topics, refusals, same, source => ({
      source,
      existing: this.#keeper.judge(source, targets.get(source.name))
    }))
    const configs = await this.#sourceConfigs(candidates)
    const readable = await each(candidates, refusals, sourceOf, candidate => ({
      ...candidate,
      configs: given(configs.get(candidate.source.name))
    }))
    if (readable.length === 0) return refusals
    await this.#beforeWriting()
    const ensured = await each(
      readable,
      refusals,
      sourceOf,
      async ({ source, configs, existing }): Promise<Ensured> => ({
        source,
        configs,
        target: await this.#keeper.ensure(source, configs, existing)
      })
    )
    const ofTargets = await targetTraits(this.#target, ensured.map(nameOf))
    const copied = await each(ensured, refusals, sourceOf, ({ source, target, configs }) => ({
      kind: 'copy' as const,
      source,
      target,
      traits: traitsOf(configs, given(ofTargets.get(source.name)))
    }))
    return [...refusals, ...copied]
  }

  /** A topic that is to be created needs all configs of its original. */
  async #sourceConfigs(candidates: Candidate[]): Promise<Map<string, TopicConfigs | TwinlogError>> {
    const there = candidates.filter(({ existing }) => existing !== undefined)
    const missing = candidates.filter(({ existing }) => existing === undefined)
    const [some, all] = await Promise.all([
      sourceTraits(this.#source, there.map(nameOf)),
      readableConfigs(this.#source, missing.map(nameOf))
    ])
    return new Map([...some, ...all])
  }
}

const same = (topic: TopicMetadata) => topic
const sourceOf = ({ source }: { source: TopicMetadata }) => source
const nameOf = ({ source }: { source: TopicMetadata }) => source.name

function given(configs: TopicConfigs | TwinlogError | undefined): TopicConfigs {
  if (configs instanceof TwinlogError) throw configs
  return configs ?? (new Map() as TopicConfigs)
}

/** Some at a time, results in the order of the items. */
async function each<T, R>(
  items: readonly T[],
  refusals: Outcome[],
  sourceOf: (item: T) => TopicMetadata,
  work: (item: T) => R | Promise<R>
): Promise<R[]> {
  const results: (R | undefined)[] = []
  const queue = [...items.entries()]
  const worker = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const [index, item] = next
      try {
        results[index] = await work(item)
      } catch (error) {
        if (!(error instanceof TwinlogError)) throw error
        refusals.push({ kind: 'refuse', source: sourceOf(item), error })
      }
    }
  }
  await Promise.all(Array.from({ length: TOPICS_AT_ONCE }, worker))
  return results.filter(result => result !== undefined)
}
