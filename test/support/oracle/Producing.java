import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Properties;
import java.util.SplittableRandom;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Writes deterministic records with the Java producer, at full speed or at a rate, until the count or a stop. */
final class Producing {
    private static final Map<Integer, Producing> JOBS = new ConcurrentHashMap<>();
    private final AtomicLong acknowledged = new AtomicLong();
    private final AtomicLong failed = new AtomicLong();
    private volatile String firstError;
    private volatile boolean stopped;
    private long sent;
    private long committed;
    private long aborted;

    static JsonNode run(int id, JsonNode params) throws Exception {
        Producing job = new Producing();
        JOBS.put(id, job);
        try {
            return job.produce(params);
        } finally {
            JOBS.remove(id);
        }
    }

    static JsonNode progress(int id) {
        Producing job = JOBS.get(id);
        return job == null ? Oracle.JSON.nullNode() : Oracle.JSON.createObjectNode().put("acknowledged", job.acknowledged.get());
    }

    static JsonNode stop(int id) {
        Producing job = JOBS.get(id);
        if (job != null) job.stopped = true;
        return Oracle.JSON.createObjectNode();
    }

    private JsonNode produce(JsonNode params) throws Exception {
        Properties properties = Reading.client(params.get("cluster"));
        boolean transactional = params.has("recordsPerTransaction");
        int perTransaction = transactional ? params.get("recordsPerTransaction").asInt() : 0;
        int abortEvery = params.path("abortEvery").asInt(0);
        String topic = params.get("topic").asText();
        properties.put("acks", "all");
        properties.put("compression.type", params.path("compression").asText("none"));
        properties.put("linger.ms", params.path("lingerMs").asText("5"));
        properties.put("batch.size", params.path("batchBytes").asText("65536"));
        if (params.path("onePerBatch").asBoolean(false)) {
            properties.put("linger.ms", "0");
            properties.put("batch.size", "0");
        }
        if (transactional) properties.put("transactional.id", params.path("transactionalId").asText("oracle-" + topic));
        long count = params.has("count") ? params.get("count").asLong() : Long.MAX_VALUE;
        double rate = params.path("ratePerSecond").asDouble(0);
        long began = System.nanoTime();
        try (var producer = new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer())) {
            if (transactional) producer.initTransactions();
            int[] partitions = params.has("partitions")
                ? Oracle.JSON.convertValue(params.get("partitions"), int[].class)
                : producer.partitionsFor(topic).stream().mapToInt(info -> info.partition()).sorted().toArray();
            Content content = new Content(params);
            long transaction = 0;
            for (long i = 0; i < count && !stopped; i++) {
                if (transactional && i % perTransaction == 0) producer.beginTransaction();
                if (rate > 0) waitUntil(began + (long) (i * 1e9 / rate));
                producer.send(content.record(topic, partitions[(int) (i % partitions.length)], i), (metadata, error) -> {
                    if (error == null) acknowledged.incrementAndGet();
                    else {
                        failed.incrementAndGet();
                        if (firstError == null) firstError = error.toString();
                    }
                });
                sent++;
                boolean last = i + 1 == count || stopped;
                if (!transactional || (!last && (i + 1) % perTransaction != 0)) continue;
                if (abortEvery > 0 && ++transaction % abortEvery == 0) {
                    producer.flush();
                    producer.abortTransaction();
                    aborted++;
                } else {
                    producer.commitTransaction();
                    committed++;
                }
            }
            producer.flush();
        }
        ObjectNode result = Oracle.JSON.createObjectNode().put("sent", sent).put("acknowledged", acknowledged.get());
        result.put("failed", failed.get()).put("committed", committed).put("aborted", aborted).put("error", firstError);
        return result.put("seconds", (System.nanoTime() - began) / 1e9);
    }

    private static void waitUntil(long nanos) {
        for (long left = nanos - System.nanoTime(); left > 0; left = nanos - System.nanoTime()) LockSupport.parkNanos(left);
    }

    /** Record number i of a seed is always the same, its timestamp too when timestampFrom is given. */
    private static final class Content {
        private final long seed;
        private final int valueBytes;
        private final int keys;
        private final boolean mixed;
        private final long timestampFrom;
        private final byte[] pool = new byte[1 << 16];

        Content(JsonNode params) {
            seed = params.path("seed").asLong(1);
            valueBytes = params.path("valueBytes").asInt(100);
            keys = params.path("keys").asInt(100);
            mixed = params.path("mixed").asBoolean(false);
            timestampFrom = params.path("timestampFrom").asLong(-1);
            SplittableRandom random = new SplittableRandom(seed);
            // Text of 32 letters: compresses, but not to nothing.
            for (int i = 0; i < pool.length; i++) pool[i] = (byte) (65 + random.nextInt(32));
        }

        ProducerRecord<byte[], byte[]> record(String topic, int partition, long i) {
            SplittableRandom random = new SplittableRandom(seed * 31 + i);
            byte[] key = keys == 0 ? null : ("key-" + random.nextInt(keys)).getBytes(StandardCharsets.UTF_8);
            byte[] value = value(random, i);
            RecordHeaders headers = new RecordHeaders();
            if (mixed) {
                int shape = random.nextInt(16);
                if (shape == 0) key = null;
                if (shape == 1) value = null;
                if (shape == 2) key = new byte[0];
                if (shape == 3) value = new byte[0];
                if (shape < 4 || shape == 8) headers.add("index", Long.toString(i).getBytes(StandardCharsets.UTF_8));
                if (shape >= 12) headers.add("twice", new byte[] {1}).add("\u00fcml\u00e4ut", null).add("twice", new byte[0]);
            }
            Long timestamp = timestampFrom < 0 ? null : Long.valueOf(timestampFrom + i);
            return new ProducerRecord<>(topic, partition, timestamp, key, value, headers);
        }

        private byte[] value(SplittableRandom random, long i) {
            byte[] head = (seed + ":" + i + ":").getBytes(StandardCharsets.UTF_8);
            int length = mixed ? random.nextInt(valueBytes * 2 + 1) : valueBytes;
            byte[] value = new byte[Math.max(head.length, length)];
            System.arraycopy(head, 0, value, 0, head.length);
            for (int at = head.length; at < value.length; ) {
                int part = Math.min(value.length - at, 4096);
                System.arraycopy(pool, random.nextInt(pool.length - 4096), value, at, part);
                at += part;
            }
            return value;
        }
    }
}
