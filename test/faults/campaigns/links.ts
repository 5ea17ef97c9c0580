import { setTimeout as sleep } from 'node:timers/promises'
import type { Proxy } from '../../support/proxy.js'
import { type CampaignOptions, runCampaign } from './campaign.js'
import type { Report } from './report.js'

export interface SourceKillOptions extends CampaignOptions {
  downMs: number
}

/** The source dies under live load and comes back with what it had. */
export function sourceKill(o: SourceKillOptions): Promise<Report> {
  return runCampaign(o, async ({ timeline, progress }) => {
    const broker = o.bed.east.brokers[0]
    if (!broker) throw new Error('the source has no broker')
    await sleep(1_500)
    timeline.inject(`SIGKILL of the source, back after ${o.downMs} ms`)
    await broker.kill()
    await sleep(o.downMs)
    await broker.start()
    timeline.inject('source is back')
    await progress()
    await sleep(2_000)
  })
}

export interface BadLinkOptions extends Omit<CampaignOptions, 'mirrors' | 'targetLatencyMs' | 'proxied'> {
  /** Which links are bad. Default: the one to the target. */
  sides?: readonly ('source' | 'target')[] | undefined
  /** How often each of them happens. */
  rounds: number
  /** How long a half-open, slow or throttled stretch lasts. */
  stretchMs: number
}

/** One mirror process reaches the clusters through proxies that end, reset, swallow, delay and throttle its connections. */
export function badLink(o: BadLinkOptions): Promise<Report> {
  const sides = o.sides ?? ['target']
  return runCampaign({ ...o, mirrors: 1, proxied: true }, async ({ timeline, random, progress }) => {
    for (let round = 0; round < o.rounds; round++) {
      for (const side of sides) {
        for (const { what, on, off } of faultsOf(side === 'source' ? o.bed.sourceProxies : o.bed.proxies)) {
          timeline.inject(`${side}: ${what}`)
          on()
          await sleep(off ? o.stretchMs : 300 + random() * 1_000)
          off?.()
          await progress()
          await sleep(random() * 500)
        }
      }
    }
  })
}

function faultsOf(proxies: readonly Proxy[]): { what: string; on: () => void; off?: () => void }[] {
  const all = (action: (proxy: Proxy) => void) => () => proxies.forEach(action)
  return [
    { what: 'connections end (FIN)', on: all(proxy => proxy.cut()) },
    { what: 'connections break (RST)', on: all(proxy => proxy.reset()) },
    { what: 'RST in the middle of a request', on: all(proxy => proxy.cutAfterBytes(5_000)) },
    {
      what: 'half-open, never answered',
      on: all(proxy => proxy.halfOpen(true)),
      off: all(proxy => proxy.halfOpen(false))
    },
    { what: '100 ms each way', on: all(proxy => proxy.setLatency(100)), off: all(proxy => proxy.setLatency(0)) },
    { what: '200 kB/s', on: all(proxy => proxy.setThrottle(200_000)), off: all(proxy => proxy.setThrottle(null)) }
  ]
}
