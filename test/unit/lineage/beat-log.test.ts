import { describe, expect, it } from 'vitest'
import { BeatLog } from '../../../src/lineage/beat-log.js'
import { FakeCluster } from './fake-cluster.js'

describe('signs of life', () => {
  it('the last word of each owner counts, for readers that come later too', async () => {
    const cluster = new FakeCluster('west')
    cluster.createTopic('twinlog.beats.internal')
    const [one, other] = [new BeatLog(cluster.client), new BeatLog(cluster.client)]
    await one.write({ link: 'l', owner: 'a', atMs: 5 })
    await one.write({ link: 'l', owner: 'a', atMs: 6 })
    await one.write({ link: 'l', owner: 'b', atMs: 7, stopped: true })
    expect(other.beat('a')).toBeUndefined()
    await other.refresh()
    expect(other.beat('a')).toMatchObject({ atMs: 6 })
    expect(other.beat('a')?.stopped).toBeUndefined()
    expect(other.beat('b')).toMatchObject({ atMs: 7, stopped: true })
  })

  it('a cluster without the topic has no owners', async () => {
    const log = new BeatLog(new FakeCluster('west').client)
    await log.refresh()
    expect(log.beat('a')).toBeUndefined()
  })
})
