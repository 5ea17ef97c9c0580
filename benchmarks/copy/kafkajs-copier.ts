import kafkajs from 'kafkajs'
import lz4 from 'lz4-napi'
import { type KafkajsJob, orders, report } from './copier-process.js'
import { Meter } from './meter.js'

const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = kafkajs

const job = orders<KafkajsJob>()
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: (encoder: { buffer: Buffer }) => Promise.resolve(lz4.compressFrameSync(encoder.buffer)),
  decompress: (data: Buffer) => Promise.resolve(lz4.decompressFrameSync(data))
})

// What one writes on a Friday afternoon: consume, hand to the producer, let kafkajs commit.
const consumer = new Kafka({ clientId: 'naive', brokers: job.source, logLevel: logLevel.NOTHING }).consumer({
  groupId: job.targetTopic
})
const producer = new Kafka({ clientId: 'naive', brokers: job.target, logLevel: logLevel.NOTHING }).producer({
  allowAutoTopicCreation: false
})
const compression = job.codec === 'lz4' ? CompressionTypes.LZ4 : CompressionTypes.None
const meter = new Meter()
let copied = 0
let finish: () => void
const finished = new Promise<void>(resolve => {
  finish = resolve
})

await Promise.all([consumer.connect(), producer.connect()])
await consumer.subscribe({ topic: job.sourceTopic, fromBeginning: true })
await consumer.run({
  eachBatch: async ({ batch }) => {
    meter.start()
    // kafkajs hands over a whole answer, and its encoder's cost grows faster than the batch: batches as large as the source's serve it best.
    const messages = batch.messages.map(({ key, value, headers, timestamp }) => ({
      key,
      value,
      timestamp,
      partition: batch.partition,
      ...(headers === undefined ? {} : { headers })
    }))
    for (let start = 0; start < messages.length; start += job.recordsABatch) {
      const slice = messages.slice(start, start + job.recordsABatch)
      await producer.sendBatch({ topicMessages: [{ topic: job.targetTopic, messages: slice }], compression })
    }
    copied += messages.length
    if (copied >= job.records) finish()
  }
})
await finished
const measured = meter.stop()
await Promise.all([consumer.disconnect(), producer.disconnect()])
await report({ kind: 'done', measured })
process.exit(0)
