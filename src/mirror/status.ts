import type { LaneStatus } from './lane-status.js'

/** An immutable picture of a Mirror. `toJSON()` has decimal strings for offsets. */
export class MirrorStatus {
  readonly link: string
  readonly at: Date
  readonly lanes: readonly LaneStatus[]
  readonly totals: { lagRecords: bigint; lagMs: number; recordsPerSecond: number; bytesPerSecond: number }
  readonly groups: readonly { groupId: string; freshnessMs: number }[]
  /** Processes that share the link's lanes, this one included; `lanes` are this one's. 0: not running. */
  readonly members: number
  /** Since the Mirror was made: losses found in logs, records left out, answers held back by quotas. */
  readonly counters: { lost: number; dropped: number; throttled: number }

  constructor(o: {
    link: string
    lanes: LaneStatus[]
    groups: { groupId: string; freshnessMs: number }[]
    members: number
    counters: { lost: number; dropped: number; throttled: number }
  }) {
    this.link = o.link
    this.at = new Date()
    this.lanes = Object.freeze(o.lanes.map(lane => Object.freeze(lane)))
    this.groups = Object.freeze(o.groups)
    this.members = o.members
    this.counters = Object.freeze({ ...o.counters })
    this.totals = Object.freeze({
      lagRecords: o.lanes.reduce((sum, lane) => sum + lane.lagRecords, 0n),
      lagMs: o.lanes.reduce((most, lane) => Math.max(most, lane.lagMs), 0),
      recordsPerSecond: o.lanes.reduce((sum, lane) => sum + lane.recordsPerSecond, 0),
      bytesPerSecond: o.lanes.reduce((sum, lane) => sum + lane.bytesPerSecond, 0)
    })
    Object.freeze(this)
  }

  toJSON(): object {
    return JSON.parse(
      JSON.stringify(
        {
          link: this.link,
          at: this.at,
          lanes: this.lanes,
          totals: this.totals,
          groups: this.groups,
          members: this.members,
          counters: this.counters
        },
        (_name, value: unknown) => (typeof value === 'bigint' ? value.toString() : value)
      )
    ) as object
  }
}
