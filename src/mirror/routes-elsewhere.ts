import type { BirthEntry } from '../lineage/state-values.js'
import { keyOf } from './lane-factory.js'
import { type LaneSpec, type LaneTopic, shareIdOf } from './lane-types.js'
import type { MirrorSession } from './mirror-session.js'

type Place = Pick<LaneSpec, 'source' | 'target'>

/**
 * Lanes that transforms have opened in other processes: this one knows their source partitions, the state topic tells the rest. Lanes to
 * topics that were deleted since are left out.
 */
export async function routesElsewhere(session: MirrorSession): Promise<Place[]> {
  const { set } = session.lanes
  const sources = new Map<string, LaneTopic>()
  for (const { source } of set.elsewhere())
    if (session.isTransformed(source.topic)) sources.set(shareIdOf(source), source)
  const state = session.binding.opened?.state
  if (sources.size === 0 || !state) return []
  await state.refresh()
  const places: Place[] = []
  for (const { birth } of state.lanes) {
    const source = birth && sources.get(shareIdOf(sourceOf(birth)))
    if (source) places.push({ source, target: targetOf(birth) })
  }
  const topics = [...new Set(places.map(({ target }) => target.topic))]
  if (topics.length === 0) return []
  const metadata = await session.target.metadata({ topics })
  return places.filter(
    place => !set.knows(place) && metadata.topics.get(place.target.topic)?.topicId === place.target.topicId
  )
}

/** Whether the lane's source partition is still another process's to copy. */
export function isElsewhere(session: MirrorSession, place: Place): boolean {
  const id = shareIdOf(place.source)
  return (
    !session.lanes.lanes.has(keyOf(place)) && session.lanes.set.elsewhere().some(spec => shareIdOf(spec.source) === id)
  )
}

const sourceOf = ({ sourceTopic, sourceTopicId, sourcePartition }: BirthEntry): LaneTopic => ({
  topic: sourceTopic,
  topicId: sourceTopicId,
  partition: sourcePartition
})

const targetOf = ({ targetTopic, targetTopicId, targetPartition }: BirthEntry): LaneTopic => ({
  topic: targetTopic,
  topicId: targetTopicId,
  partition: targetPartition
})
