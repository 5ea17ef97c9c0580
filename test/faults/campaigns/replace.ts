import { setTimeout as sleep } from 'node:timers/promises'
import type { ChildOptions } from '../../support/mirror-process.js'
import { type CampaignOptions, runCampaign } from './campaign.js'
import type { Report } from './report.js'

export interface ReplaceOptions extends CampaignOptions {
  /** What the processes that come do differently. */
  next: Partial<ChildOptions>
  pauseMs: number
}

/** One process after the other is replaced, as a deployment does it: some end in good order, some are killed. */
export function replaceAll(o: ReplaceOptions): Promise<Report> {
  return runCampaign(o, async ({ mirrors, another, timeline, recovered, progress }) => {
    await sleep(o.pauseMs)
    for (const [index, old] of mirrors.entries()) {
      const orderly = index % 2 === 0
      timeline.inject(`mirror ${old.name.at(-1)} ${orderly ? 'stops' : 'is killed'}, another comes`)
      if (orderly) await old.stop()
      else await old.kill()
      another('uvwxyz'[index] ?? `n${index}`, o.next).start()
      await recovered()
      await progress()
      await sleep(o.pauseMs)
    }
  })
}
