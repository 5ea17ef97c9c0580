import { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import type { ApiRequest } from '../kafka/types.js'
import { watchLeaders } from './leader-watch.js'

/** Sends to the node that leads this partition; rejects (retriable) as soon as it is silent and another one leads. */
export function askLeader<T>(
  cluster: ClusterClient,
  where: { topic: string; partition: number; node: number },
  request: ApiRequest<T>
): Promise<T> {
  return new Promise((resolve, reject) => {
    const { topic, partition, node } = where
    const stop = watchLeaders({
      cluster,
      nodeId: node,
      partitions: [{ topic, partition }],
      moved: () => {
        const message = `${cluster.alias}: broker ${node} did not answer ${request.apiName} and no longer leads ${topic}-${partition}`
        reject(
          new TwinlogError('TWINLOG_UNREACHABLE', message, {
            cluster: cluster.alias,
            topic,
            partition,
            retriable: true
          })
        )
      }
    })
    cluster.send({ node }, request).finally(stop).then(resolve, reject)
  })
}
