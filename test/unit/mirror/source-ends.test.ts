import { expect, it } from 'vitest'
import { sourceEnds } from '../../../src/mirror/source-ends.js'
import { dataBatch } from '../lineage/fake-partition.js'
import { FakeAdmin } from './fake-admin.js'

it('ends are last stable offsets or high watermarks, as the isolation demands, in the order asked', async () => {
  const east = new FakeAdmin('east')
  east.topic('orders', 2)
  east.topic('invoices', 1)
  east.partition('orders', 0).append(dataBatch(7))
  east.partition('orders', 1).append(dataBatch(5))
  east.partition('orders', 1).openFrom = 2n
  const asked = [
    { topic: 'orders', partition: 1 },
    { topic: 'invoices', partition: 0 },
    { topic: 'orders', partition: 0 }
  ]
  expect(await sourceEnds(east.client, asked, 'read_committed')).toEqual([2n, 0n, 7n])
  expect(east.requests()).toEqual(['ListOffsets'])
  expect(await sourceEnds(east.client, asked, 'read_uncommitted')).toEqual([5n, 0n, 7n])
  expect(await sourceEnds(east.client, [], 'read_committed')).toEqual([])
})
