/** What `caughtUp()` proves: for each lane, the source end at the call and the target offset behind the lane's last record. */
export class Watermarks {
  readonly at: Date
  readonly lanes: readonly {
    topic: string
    partition: number
    sourceEnd: bigint
    targetTopic: string
    targetPartition: number
    targetEnd: bigint
  }[]

  constructor(at: Date, lanes: Watermarks['lanes']) {
    this.at = at
    this.lanes = lanes
  }

  toJSON(): object {
    return {
      at: this.at.toISOString(),
      lanes: this.lanes.map(lane => ({
        ...lane,
        sourceEnd: lane.sourceEnd.toString(),
        targetEnd: lane.targetEnd.toString()
      }))
    }
  }
}
