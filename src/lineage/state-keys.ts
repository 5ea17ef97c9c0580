/** A lane's identity: partitions by number, topics by id, so that a re-created topic is another lane. */
export interface LaneId {
  sourceTopicId: string
  sourcePartition: number
  targetTopicId: string
  targetPartition: number
}

export type StateKey =
  | { kind: 'link' }
  | { kind: 'producer' }
  | { kind: 'birth'; lane: string }
  | { kind: 'epoch'; lane: string; producerId: bigint; epoch: number }
  | { kind: 'gaps'; lane: string; ordinal: bigint; count: number }
  | { kind: 'checkpoint'; lane: string }
  | { kind: 'gate'; lane: string }
  | { kind: 'group'; groupId: string }

export function laneKey(lane: LaneId): string {
  return `${lane.sourceTopicId}.${lane.sourcePartition}.${lane.targetTopicId}.${lane.targetPartition}`
}

export function formatKey(key: StateKey): string {
  switch (key.kind) {
    case 'link':
    case 'producer':
      return key.kind
    case 'birth':
    case 'checkpoint':
    case 'gate':
      return `lane/${key.lane}/${key.kind}`
    case 'epoch':
      return `lane/${key.lane}/epoch/${key.producerId}/${key.epoch}`
    case 'gaps':
      return `lane/${key.lane}/gaps/${key.ordinal}/${key.count}`
    case 'group':
      return `group/${key.groupId}`
  }
}

/** Undefined for a key of a kind that this version does not know: such entries belong to later versions and are left alone. */
export function parseKey(text: string): StateKey | undefined {
  if (text === 'link' || text === 'producer') return { kind: text }
  if (text.startsWith('group/')) return { kind: 'group', groupId: text.slice('group/'.length) }
  const parts = text.split('/')
  const [room, lane, kind, first, second] = parts
  if (room !== 'lane' || lane === undefined) return undefined
  if (parts.length === 3 && (kind === 'birth' || kind === 'checkpoint' || kind === 'gate')) return { kind, lane }
  if (parts.length !== 5 || !isNumber(first) || !isNumber(second)) return undefined
  if (kind === 'epoch') return { kind, lane, producerId: BigInt(first), epoch: Number(second) }
  if (kind === 'gaps') return { kind, lane, ordinal: BigInt(first), count: Number(second) }
  return undefined
}

/** Lanes and groups are spread over the state topic's partitions; link-wide entries live in partition 0. */
export function statePartition(key: StateKey, partitions: number): number {
  if (key.kind === 'link' || key.kind === 'producer') return 0
  return fnv1a(key.kind === 'group' ? `group/${key.groupId}` : key.lane) % partitions
}

const isNumber = (text: string | undefined): text is string => text !== undefined && /^\d+$/.test(text)

function fnv1a(text: string): number {
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  // A lane's key names its partition twice, which cancels out in the low bits: without this, half of the partitions stay empty.
  return (hash ^ (hash >>> 16)) >>> 0
}
