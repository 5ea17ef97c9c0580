import { TwinlogError } from '../../errors.js'
import { kafkaError } from '../../kafka/protocol-errors.js'
import { describeGroupsRequest } from '../../kafka/requests/describe-groups.js'
import { offsetFetchRequest } from '../../kafka/requests/offset-fetch.js'
import type { CoordinatorWire } from './coordinator-wire.js'
import { PROTOCOL_TYPE } from './share-protocol.js'

export const INCONSISTENT_GROUP_PROTOCOL = 23
/** Coordinator loading, not available, moved. */
const NOT_YET: ReadonlySet<number> = new Set([14, 15, 16])
const ASK_TIMEOUT_MS = 10_000

/**
 * Who is in the group, asked without touching it. One that is not ours is an error: a member that joined an empty group of consumers
 * would take the name from them.
 */
export async function lookAtGroup(wire: CoordinatorWire, group: string): Promise<'nobody' | 'mirrors' | 'not yet'> {
  const described = (await wire.ask(describeGroupsRequest({ groups: [group] }), ASK_TIMEOUT_MS)).groups[0]
  if (described === undefined || NOT_YET.has(described.errorCode)) return 'not yet'
  assertAllowed(wire, group, described.errorCode)
  const { protocolType, state } = described
  if (protocolType !== '' && protocolType !== PROTOCOL_TYPE) {
    throw foreignGroup(wire.alias, group, `consumers are or were in it (protocol "${protocolType}")`)
  }
  if (state !== 'Empty' && state !== 'Dead') return 'mirrors'
  // A group without members of the new consumer protocol (KIP-848) can't be told from an absent one, except by this.
  const offsets = await wire.ask(offsetFetchRequest({ groupId: group }), ASK_TIMEOUT_MS)
  if (NOT_YET.has(offsets.errorCode)) return 'not yet'
  assertAllowed(wire, group, offsets.errorCode)
  const committed = offsets.partitions.find(({ offset }) => offset >= 0n)
  if (committed === undefined) return 'nobody'
  throw foreignGroup(wire.alias, group, `it holds offsets of consumers (of topic "${committed.topic}")`)
}

/** The group belongs to somebody else, most likely to consumers. */
export function foreignGroup(alias: string, group: string, evidence: string): TwinlogError {
  const message = `${alias}: group "${group}" can't be the mirrors' group: ${evidence}; name one of their own`
  return new TwinlogError('TWINLOG_INVALID_STATE', message, { cluster: alias, kafkaCode: INCONSISTENT_GROUP_PROTOCOL })
}

function assertAllowed({ alias }: CoordinatorWire, group: string, errorCode: number): void {
  if (errorCode === 0) return
  throw kafkaError(errorCode, `${alias}: can't look at group "${group}"`, { cluster: alias })
}
