/** A lane's identity: partitions by number, topics by id, so that a re-created topic is another lane. */
export interface LaneId {
  sourceTopicId: string
  sourcePartition: number
  targetTopicId: string
  targetPartition: number
}

/**
 * Who wrote down what only counts until a later identity begins. Part of the key, so that the late words of an owner who was fenced
 * never take the place of the new owner's in compaction. Absent for the first identity of an ordinary lane, which shares its plan.
 */
export interface WriterIdentity {
  producerId: bigint
  epoch: number
}

export type StateKey =
  | { kind: 'link' }
  | { kind: 'producer' }
  | { kind: 'start' }
  | { kind: 'birth'; lane: string }
  | { kind: 'epoch'; lane: string; producerId: bigint; epoch: number }
  | { kind: 'gaps'; lane: string; ordinal: bigint; count: number; identity?: WriterIdentity | undefined }
  | { kind: 'era'; lane: string; ordinal: bigint; identity: WriterIdentity }
  | { kind: 'checkpoint'; lane: string }
  | { kind: 'gate'; lane: string }
  | { kind: 'group'; groupId: string }
  | { kind: 'schema'; sourceId: number }

export function laneKey(lane: LaneId): string {
  return `${lane.sourceTopicId}.${lane.sourcePartition}.${lane.targetTopicId}.${lane.targetPartition}`
}

export function formatKey(key: StateKey): string {
  switch (key.kind) {
    case 'link':
    case 'producer':
    case 'start':
      return key.kind
    case 'birth':
    case 'checkpoint':
    case 'gate':
      return `lane/${key.lane}/${key.kind}`
    case 'epoch':
      return `lane/${key.lane}/epoch/${key.producerId}/${key.epoch}`
    case 'gaps':
      return `lane/${key.lane}/gaps/${key.ordinal}/${key.count}${key.identity ? `/${formatIdentity(key.identity)}` : ''}`
    case 'era':
      return `lane/${key.lane}/era/${key.ordinal}/${formatIdentity(key.identity)}`
    case 'group':
      return `group/${key.groupId}`
    case 'schema':
      return `schema/${key.sourceId}`
  }
}

/** Undefined for a key of a kind that this version does not know: such entries belong to later versions and are left alone. */
export function parseKey(text: string): StateKey | undefined {
  if (text === 'link' || text === 'producer' || text === 'start') return { kind: text }
  if (text.startsWith('group/')) return { kind: 'group', groupId: text.slice('group/'.length) }
  const parts = text.split('/')
  const [room, lane, kind, ...numbers] = parts
  if (room === 'schema' && parts.length === 2 && lane !== undefined && isNumber(lane))
    return { kind: 'schema', sourceId: Number(lane) }
  if (room !== 'lane' || lane === undefined) return undefined
  if (parts.length === 3 && (kind === 'birth' || kind === 'checkpoint' || kind === 'gate')) return { kind, lane }
  if (!numbers.every(isNumber)) return undefined
  const [first, second, third, fourth] = numbers.map(BigInt)
  if (first === undefined || second === undefined) return undefined
  if (kind === 'epoch' && numbers.length === 2) return { kind, lane, producerId: first, epoch: Number(second) }
  if (kind === 'era' && numbers.length === 3 && third !== undefined)
    return { kind, lane, ordinal: first, identity: { producerId: second, epoch: Number(third) } }
  if (kind !== 'gaps') return undefined
  const gaps = { kind, lane, ordinal: first, count: Number(second) } as const
  if (numbers.length === 2) return gaps
  if (numbers.length !== 4 || third === undefined || fourth === undefined) return undefined
  return { ...gaps, identity: { producerId: third, epoch: Number(fourth) } }
}

/** Lanes and groups are spread over the state topic's partitions; link-wide entries live in partition 0. */
export function statePartition(key: StateKey, partitions: number): number {
  if (key.kind === 'link' || key.kind === 'producer' || key.kind === 'start' || key.kind === 'schema') return 0
  return fnv1a(key.kind === 'group' ? `group/${key.groupId}` : key.lane) % partitions
}

const isNumber = (text: string) => /^\d+$/.test(text)

const formatIdentity = ({ producerId, epoch }: WriterIdentity) => `${producerId}/${epoch}`

function fnv1a(text: string): number {
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  // A lane's key names its partition twice, which cancels out in the low bits: without this, half of the partitions stay empty.
  return (hash ^ (hash >>> 16)) >>> 0
}
