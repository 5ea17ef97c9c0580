import { type ControlView, givenUpMoves } from '../control/moves.js'
import { openLanes } from '../lineage/promotion.js'
import { linkOf, type MoveContext } from './move-context.js'
import { linkName } from './options.js'

type Reach = Pick<MoveContext, 'links' | 'options'>

/** Gives the lanes that this move closed back to their Mirror; for a move that did not come to be. */
export async function reopenLanes(
  { links, options }: Reach,
  { from, to, epoch }: { from: string; to: string; epoch: number }
): Promise<void> {
  const { service, logger } = options
  const link = linkName(options, from, to)
  await openLanes({ target: linkOf({ links }, to).client, link, move: { service, epoch }, logger })
}

/** Whoever drove a move that was given up may have died before it opened the lanes again, and nothing is copied until somebody does. */
export class LaneReopener {
  readonly #reach: Reach
  readonly #done = new Set<number>()

  constructor(reach: Reach) {
    this.#reach = reach
  }

  /** In the background; what can't be done yet is tried again with the next call. */
  follow(views: ReadonlyMap<string, ControlView>): void {
    const { links, options } = this.#reach
    for (const { epoch, from, to } of givenUpMoves(views)) {
      if (this.#done.has(epoch) || !links.get(to)?.healthy) continue
      this.#done.add(epoch)
      reopenLanes(this.#reach, { from, to, epoch }).catch((error: unknown) => {
        this.#done.delete(epoch)
        const fields = { epoch, cluster: to, error: String(error) }
        options.logger.warn(fields, 'the lanes of a move that was given up could not be opened yet, trying again')
      })
    }
  }
}
