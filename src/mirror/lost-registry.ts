import { CONTROL_TOPIC } from '../control/control-records.js'
import { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import { LINKS_TOPIC } from '../lineage/link-registry.js'
import { LinkState } from '../lineage/link-state.js'
import type { Logger } from '../logger.js'
import type { Provenance } from './provenance.js'

/** Of twinlog's topics those that are no link's state. */
const OTHERS = new Set([LINKS_TOPIC, CONTROL_TOPIC, 'twinlog.presence.internal'])
const STATE_TOPIC = /^twinlog\.(.+)\.internal$/

/**
 * Links wrote to this cluster, but the registry of their producer ids is gone: their records would look like everybody's and be
 * sent on, perhaps back to where they came from.
 *
 * @throws TwinlogError TWINLOG_STATE_INVALID
 */
export async function assertRegistered(source: ClusterClient, provenance: Provenance, logger: Logger): Promise<void> {
  if (await provenance.hasRegistry()) return
  const { topics } = await source.metadata()
  for (const [name, topic] of topics) {
    const link = OTHERS.has(name) || topic.errorCode !== 0 ? undefined : STATE_TOPIC.exec(name)?.[1]
    if (link === undefined || !(await hasWritten(source, link, logger))) continue
    throw new TwinlogError(
      'TWINLOG_STATE_INVALID',
      `${name} on ${source.alias} says that link ${link} copied records to this cluster, but ${LINKS_TOPIC}, which tells them from those of producers, is missing. ` +
        `Restart link ${link}, which registers again, or delete ${name} if that link and its records are gone`,
      { cluster: source.alias, topic: LINKS_TOPIC }
    )
  }
}

/** A link creates the registry before it begins a lane: without a lane there is no data of it. */
async function hasWritten(cluster: ClusterClient, link: string, logger: Logger): Promise<boolean> {
  const state = await LinkState.open({ cluster, link, logger, create: false })
  if (!state) return false
  await state.refresh()
  return (
    state.linkEntry?.targetClusterId === cluster.clusterId && [...state.lanes].some(lane => lane.birth !== undefined)
  )
}
