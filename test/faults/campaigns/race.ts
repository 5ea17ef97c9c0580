import { setTimeout as sleep } from 'node:timers/promises'
import type { MirrorProcess } from '../../support/mirror-process.js'
import { type CampaignOptions, runCampaign } from './campaign.js'
import type { Report } from './report.js'

export interface RaceOptions extends Omit<CampaignOptions, 'mirrors'> {
  /** SIGKILLs in total, each with a restart at once. */
  kills: number
  /** SIGSTOP for 1 to 4 seconds, while the other process overtakes. */
  freezes: number
}

/** Two processes copy the same lanes; one or the other is killed or frozen at random moments. */
export function race(o: RaceOptions): Promise<Report> {
  return runCampaign({ ...o, mirrors: 2 }, async ({ mirrors, timeline, random }) => {
    const [a, b] = mirrors as [MirrorProcess, MirrorProcess]
    const acts = shuffled(
      [...Array<'kill'>(o.kills).fill('kill'), ...Array<'freeze'>(o.freezes).fill('freeze')],
      random
    )
    for (const act of acts) {
      const [victim, other] = random() < 0.5 ? [a, b] : [b, a]
      await other.copying(o.partitions)
      if (act === 'kill') {
        // Now and then it is hit while it starts.
        if (random() < 0.8) await victim.copying(o.partitions)
        else await sleep(random() * 500)
        timeline.inject(`SIGKILL of ${nameOf(victim)}`)
        await victim.kill()
        victim.start()
        await sleep(random() * 1_500)
      } else {
        await victim.copying(o.partitions)
        const ms = 1_000 + Math.round(random() * 3_000)
        timeline.inject(`${nameOf(victim)} frozen for ${ms} ms`)
        victim.freeze()
        await sleep(ms)
        victim.thaw()
        await sleep(random() * 500)
      }
    }
  })
}

function nameOf(mirror: MirrorProcess): string {
  return `mirror ${mirror.name.at(-1)}`
}

function shuffled<T>(values: T[], random: () => number): T[] {
  return values
    .map(value => ({ value, place: random() }))
    .sort((x, y) => x.place - y.place)
    .map(({ value }) => value)
}
