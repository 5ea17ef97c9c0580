import type { ClusterClient } from '../kafka/cluster.js'

/** Longer than a healthy answer takes, short against any time-out. */
const SILENCE_MS = 1_000

/**
 * A frozen broker refuses nothing and answers nobody, and time-outs are long because slow answers are legitimate. So while a
 * leader is silent, the rest of the cluster is asked whether somebody else leads by now; `moved` is called once if so.
 * Answers a function that ends the watch.
 */
export function watchLeaders(o: {
  cluster: ClusterClient
  nodeId: number
  partitions: readonly { topic: string; partition: number }[]
  moved: () => void
  silenceMs?: number | undefined
}): () => void {
  const topics = [...new Set(o.partitions.map(({ topic }) => topic))]
  let timer: NodeJS.Timeout
  let ended = false
  const look = async () => {
    // Nobody answers: the time-out of the request that is waited for will say so.
    await o.cluster.metadata({ topics }).catch(() => undefined)
    if (ended) return
    const leads = ({ topic, partition }: { topic: string; partition: number }) => {
      const leader = o.cluster.leaderOf(topic, partition)
      return leader === undefined || leader.nodeId < 0 || leader.nodeId === o.nodeId
    }
    if (o.partitions.every(leads)) schedule(SILENCE_MS)
    else o.moved()
  }
  const schedule = (ms: number) => {
    timer = setTimeout(() => void look(), ms)
    timer.unref()
  }
  schedule(o.silenceMs ?? SILENCE_MS)
  return () => {
    ended = true
    clearTimeout(timer)
  }
}
