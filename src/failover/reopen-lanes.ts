import { openLanes } from '../lineage/promotion.js'
import { linkOf, type MoveContext } from './move-context.js'
import { linkName } from './options.js'

/** Gives the lanes that these moves closed back to their Mirror; for moves that did not come to be. */
export async function reopenLanes(
  { links, options }: Pick<MoveContext, 'links' | 'options'>,
  { from, to, epochs }: { from: string; to: string; epochs: readonly number[] }
): Promise<void> {
  const { service, logger } = options
  const link = linkName(options, from, to)
  await openLanes({ target: linkOf({ links }, to).client, link, service, epochs, logger })
}
