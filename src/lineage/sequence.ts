/** Sequence numbers are int32 without sign and wrap from 2^31 - 1 to 0. */
const SEQUENCE_SPACE = 1n << 31n

/** One producer identity that has written to a lane: ordinal `base` carried sequence `firstSequence`. */
export interface LaneEpoch {
  producerId: bigint
  epoch: number
  base: bigint
  firstSequence: number
  /** Digest of the plan this identity writes under; absent: as before. */
  plan?: string | undefined
  /** The process that alone writes under this identity; absent: whoever knows it may. */
  owner?: string | undefined
  /** The producer id belongs to the lane's own transactional id. */
  own?: boolean | undefined
  /** Target offset behind the lane's last record when this identity began. */
  targetEnd?: bigint | undefined
  /** The log between `targetEnd` and here held nothing of the lane: markers, and what others wrote. */
  seenTo?: bigint | undefined
}

export function sequenceOf(ordinal: bigint, epoch: LaneEpoch): number {
  return Number(mod(ordinal - epoch.base + BigInt(epoch.firstSequence)))
}

/** The ordinal with this sequence that lies nearest to `near`; unique as long as the guess is less than 2^30 off. */
export function ordinalOf(sequence: number, epoch: LaneEpoch, near: bigint): bigint {
  const distance = mod(BigInt(sequence) - BigInt(epoch.firstSequence) + epoch.base - near)
  return distance < SEQUENCE_SPACE / 2n ? near + distance : near + distance - SEQUENCE_SPACE
}

/** Ordinary lanes write at epoch 0 with sequence = ordinal, so nothing has to be remembered to read them. */
export function birthEpoch(producerId: bigint): LaneEpoch {
  return { producerId, epoch: 0, base: 0n, firstSequence: 0 }
}

function mod(value: bigint): bigint {
  const rest = value % SEQUENCE_SPACE
  return rest < 0n ? rest + SEQUENCE_SPACE : rest
}
