import { LinkTranslator } from '../offsets/link-translator.js'
import type { ClusterLink } from './cluster-link.js'
import { linkOf } from './move-context.js'
import { linkName, type ResolvedFailoverOptions } from './options.js'
import type { Standbys } from './trim-loop.js'

/** One translator per link, on the connection that is there anyway; a new one when that connection was replaced. */
export class Translators {
  readonly #options: ResolvedFailoverOptions
  readonly #links: ReadonlyMap<string, ClusterLink>
  readonly #known = new Map<string, { client: unknown; translator: LinkTranslator }>()

  constructor(options: ResolvedFailoverOptions, links: ReadonlyMap<string, ClusterLink>) {
    this.#options = options
    this.#links = links
  }

  get(from: string, to: string): LinkTranslator {
    const { client } = linkOf({ links: this.#links }, to)
    const key = `${from}>${to}`
    const known = this.#known.get(key)
    if (known?.client === client) return known.translator
    const translator = new LinkTranslator(client, {
      link: linkName(this.#options, from, to),
      logger: this.#options.logger
    })
    this.#known.set(key, { client, translator })
    return translator
  }

  /** To every other cluster; `undefined` for those that do not answer. */
  standbys(from: string): Standbys {
    const others = [...this.#links.values()].filter(link => link.alias !== from)
    const routes = others.map(link => [link.alias, link.healthy ? this.get(from, link.alias) : undefined] as const)
    return { from, to: new Map(routes) }
  }
}
