import { setTimeout as sleep } from 'node:timers/promises'
import type { MirrorProcess } from '../../support/mirror-process.js'
import { type CampaignOptions, runCampaign } from './campaign.js'
import type { Report } from './report.js'
import { Visibility } from './visibility.js'

export interface SharingOptions extends CampaignOptions {
  /** How long members are killed, frozen, thawed, added and taken away. */
  forMs: number
}

export interface SharingReport extends Report {
  acts: Act[]
}

interface Act {
  what: string
  /** Lanes of the process that it happened to. */
  concerned: number
  /** Longest time from the source to the target, of the lanes of the process concerned and of the others; ms. */
  theirsMs: number
  othersMs: number
}

/** Longer than the session of a member lasts that nobody hears of. */
const SETTLE_MS = 9_000
/** A record that came just before something happened may be held back by it. */
const BEFORE_MS = 500
const FREEZES_MS = [2_000, 9_000] as const

/** Processes of one group share many lanes; some are killed, some frozen beyond their session and thawed, some come and go. */
export async function sharing(o: SharingOptions): Promise<SharingReport> {
  const moments: { what: string; at: number; until: number; lanes: ReadonlySet<number> }[] = []
  let visibility: Visibility | undefined
  const report = await runCampaign({ ...o, exclusive: true }, async stage => {
    const { mirrors, another, timeline, random, recovered, topic } = stage
    const watch = new Visibility({ bed: o.bed, topic, partitions: o.partitions })
    visibility = watch
    watch.start()
    try {
      const members = [...mirrors]
      let names = 0
      const act = async (what: string, lanes: readonly number[], doing: () => Promise<void>) => {
        timeline.inject(`${what} (${lanes.length} lanes)`)
        const moment = { what, at: Date.now(), until: 0, lanes: new Set(lanes) }
        moments.push(moment)
        await doing()
        await recovered()
        await sleep(SETTLE_MS)
        moment.until = Date.now()
      }
      const come = () => {
        const member = another(`m${names++}`)
        member.start()
        members.push(member)
      }
      const pick = (): MirrorProcess => members[Math.floor(random() * members.length)] as MirrorProcess
      const turns: (() => Promise<void>)[] = [
        async () => {
          const victim = pick()
          const lanes = lanesOf(victim)
          await act(`SIGKILL of ${nameOf(victim)}`, lanes, () => victim.kill())
          await act(`${nameOf(victim)} comes back`, [], async () => victim.start())
        },
        async () => {
          const victim = pick()
          for (const ms of FREEZES_MS) {
            await act(`${nameOf(victim)} frozen for ${ms} ms`, lanesOf(victim), async () => {
              victim.freeze()
              await sleep(ms)
              victim.thaw()
            })
          }
        },
        () => act('a member comes', [], async () => come()),
        async () => {
          const leaver = pick()
          members.splice(members.indexOf(leaver), 1)
          await act(`${nameOf(leaver)} leaves in good order`, lanesOf(leaver), () => leaver.stop())
        }
      ]
      const deadline = Date.now() + o.forMs
      for (let turn = 0; Date.now() < deadline; turn++) await turns[turn % turns.length]?.()
    } finally {
      await watch.stop()
    }
  })
  return { ...report, acts: moments.map(moment => judged(moment, visibility)) }
}

function judged(
  moment: { what: string; at: number; until: number; lanes: ReadonlySet<number> },
  visibility: Visibility | undefined
): Act {
  const delays = visibility?.longest(moment.at - BEFORE_MS, moment.until - BEFORE_MS) ?? []
  const most = (those: readonly number[]) => those.reduce((a, b) => Math.max(a, b), 0)
  return {
    what: moment.what,
    concerned: moment.lanes.size,
    theirsMs: most(delays.filter((_ms, lane) => moment.lanes.has(lane))),
    othersMs: most(delays.filter((_ms, lane) => !moment.lanes.has(lane)))
  }
}

function lanesOf(mirror: MirrorProcess): number[] {
  return mirror.sample.lanes.filter(({ state }) => state !== 'waiting').map(({ partition }) => partition)
}

const nameOf = (mirror: MirrorProcess) => `mirror ${mirror.name.split('-').at(-1)}`

export function printActs(report: SharingReport): void {
  const lines = ['what happened                                 lanes  theirs stood still ms  others ms']
  for (const { what, concerned, theirsMs, othersMs } of report.acts)
    lines.push(
      `${what.padEnd(44)} ${String(concerned).padStart(6)}  ${String(concerned > 0 ? theirsMs : '').padStart(21)}  ${String(othersMs).padStart(9)}`
    )
  console.log(`${lines.join('\n')}\n`)
}
