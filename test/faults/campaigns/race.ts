import { setTimeout as sleep } from 'node:timers/promises'
import type { MirrorProcess } from '../../support/mirror-process.js'
import { type CampaignOptions, runCampaign } from './campaign.js'
import { shuffled } from './random.js'
import type { Report } from './report.js'

export interface RaceOptions extends Omit<CampaignOptions, 'mirrors'> {
  /** SIGKILLs in total, each with a restart at once. */
  kills: number
  /** SIGSTOP for a while, while the other process overtakes. */
  freezes: number
  /** Shortest and longest freeze. Default 1 to 4 seconds. */
  freezeMs?: readonly [number, number] | undefined
}

const KILLED_WHILE_STARTING = 0.2
/** Of the acts against lanes with one owner: most hit the owner. */
const OWNER_HIT = 0.75

/** Two processes copy the same lanes; one or the other is killed or frozen at random moments. */
export function race(o: RaceOptions): Promise<Report> {
  const [shortest, longest] = o.freezeMs ?? [1_000, 4_000]
  return runCampaign({ ...o, mirrors: 2 }, async ({ mirrors, timeline, random, recovered }) => {
    const [a, b] = mirrors as [MirrorProcess, MirrorProcess]
    const ready = async (...those: MirrorProcess[]) => {
      if (o.exclusive) await recovered()
      else await Promise.all(those.map(mirror => mirror.copying(o.partitions)))
    }
    const acts = shuffled(
      [...Array<'kill'>(o.kills).fill('kill'), ...Array<'freeze'>(o.freezes).fill('freeze')],
      random
    )
    for (const act of acts) {
      if (o.exclusive) await recovered()
      const [victim, other] = o.exclusive ? byOwnership(a, b, random) : random() < 0.5 ? [a, b] : [b, a]
      await ready(other)
      if (act === 'kill') {
        // Now and then it is hit while it starts.
        if (random() >= KILLED_WHILE_STARTING) await ready(victim)
        else await sleep(random() * 500)
        timeline.inject(`SIGKILL of ${nameOf(victim)}`)
        await victim.kill()
        victim.start()
        await sleep(random() * 1_500)
      } else {
        await ready(victim)
        const ms = shortest + Math.round(random() * (longest - shortest))
        timeline.inject(`${nameOf(victim)} frozen for ${ms} ms`)
        victim.freeze()
        await sleep(ms)
        victim.thaw()
        await sleep(random() * 500)
      }
    }
  })
}

function byOwnership(a: MirrorProcess, b: MirrorProcess, random: () => number): [MirrorProcess, MirrorProcess] {
  const lanesOf = ({ sample }: MirrorProcess) => sample.lanes.filter(({ state }) => state !== 'waiting').length
  const [owner, other] = lanesOf(a) >= lanesOf(b) ? [a, b] : [b, a]
  return random() < OWNER_HIT ? [owner, other] : [other, owner]
}

function nameOf(mirror: MirrorProcess): string {
  return `mirror ${mirror.name.at(-1)}`
}
