import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Reading topics to their ends with the Java consumer. */
final class Reading {
    interface Sink {
        /** False: enough. */
        boolean take(ConsumerRecord<byte[], byte[]> record) throws Exception;
    }

    static Properties client(JsonNode cluster) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", cluster.get("bootstrap").asText());
        properties.put("reconnect.backoff.ms", "50");
        properties.put("retry.backoff.ms", "20");
        JsonNode extra = cluster.get("properties");
        if (extra != null) extra.properties().forEach(e -> properties.put(e.getKey(), e.getValue().asText()));
        return properties;
    }

    static KafkaConsumer<byte[], byte[]> consumer(JsonNode cluster, String isolation) {
        Properties properties = client(cluster);
        properties.put("isolation.level", isolation);
        properties.put("auto.offset.reset", "none");
        properties.put("enable.auto.commit", "false");
        properties.put("max.poll.records", "20000");
        properties.put("max.partition.fetch.bytes", String.valueOf(8 << 20));
        properties.put("fetch.max.wait.ms", "100");
        properties.put("allow.auto.create.topics", "false");
        return new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    static String isolation(JsonNode params) {
        return params.has("isolation") ? params.get("isolation").asText() : "read_committed";
    }

    static List<TopicPartition> partitions(KafkaConsumer<?, ?> consumer, String topic, JsonNode wanted) {
        List<TopicPartition> result = new ArrayList<>();
        if (wanted != null && wanted.isArray()) {
            wanted.forEach(p -> result.add(new TopicPartition(topic, p.asInt())));
            return result;
        }
        long deadline = System.currentTimeMillis() + 3_000;
        while (result.isEmpty()) {
            var infos = consumer.partitionsFor(topic);
            if (infos != null) infos.forEach(info -> result.add(new TopicPartition(topic, info.partition())));
            if (result.isEmpty() && System.currentTimeMillis() > deadline) {
                throw new IllegalStateException("topic " + topic + " does not exist");
            }
        }
        result.sort((a, b) -> a.partition() - b.partition());
        return result;
    }

    /** Reads every partition from its start to the end it has now. Returns {start, end} per partition. */
    static Map<TopicPartition, long[]> toEnd(KafkaConsumer<byte[], byte[]> consumer, List<TopicPartition> partitions, Sink sink)
            throws Exception {
        Map<TopicPartition, long[]> bounds = bounds(consumer, partitions);
        Set<TopicPartition> open = new HashSet<>(partitions);
        consumer.assign(partitions);
        bounds.forEach((partition, range) -> consumer.seek(partition, range[0]));
        long moved = System.currentTimeMillis();
        while (true) {
            for (TopicPartition partition : List.copyOf(open)) {
                if (consumer.position(partition) >= bounds.get(partition)[1]) {
                    open.remove(partition);
                    consumer.pause(List.of(partition));
                }
            }
            if (open.isEmpty()) return bounds;
            long before = open.stream().mapToLong(consumer::position).sum();
            ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(200));
            for (ConsumerRecord<byte[], byte[]> record : records) {
                long end = bounds.get(new TopicPartition(record.topic(), record.partition()))[1];
                if (record.offset() < end && !sink.take(record)) return bounds;
            }
            if (open.stream().mapToLong(consumer::position).sum() != before) moved = System.currentTimeMillis();
            else if (System.currentTimeMillis() - moved > 30_000) {
                throw new IllegalStateException("no progress for 30 s at " + open);
            }
        }
    }

    static Map<TopicPartition, long[]> bounds(KafkaConsumer<?, ?> consumer, List<TopicPartition> partitions) {
        Map<TopicPartition, Long> starts = consumer.beginningOffsets(partitions);
        Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
        Map<TopicPartition, long[]> result = new java.util.HashMap<>();
        for (TopicPartition p : partitions) result.put(p, new long[] {starts.get(p), ends.get(p)});
        return result;
    }

    static JsonNode offsets(JsonNode params) {
        try (var consumer = consumer(params.get("cluster"), isolation(params))) {
            var partitions = partitions(consumer, params.get("topic").asText(), params.get("partitions"));
            var bounds = bounds(consumer, partitions);
            ArrayNode result = Oracle.JSON.createArrayNode();
            for (TopicPartition p : partitions) {
                result.addObject().put("partition", p.partition()).put("start", bounds.get(p)[0]).put("end", bounds.get(p)[1]);
            }
            return result;
        }
    }

    static JsonNode count(JsonNode params) throws Exception {
        try (var consumer = consumer(params.get("cluster"), isolation(params))) {
            var partitions = partitions(consumer, params.get("topic").asText(), params.get("partitions"));
            long[] total = new long[1];
            Map<Integer, Long> counts = new java.util.TreeMap<>();
            partitions.forEach(p -> counts.put(p.partition(), 0L));
            toEnd(consumer, partitions, record -> {
                total[0]++;
                counts.merge(record.partition(), 1L, Long::sum);
                return true;
            });
            ObjectNode result = Oracle.JSON.createObjectNode().put("total", total[0]);
            ArrayNode each = result.putArray("partitions");
            counts.forEach((partition, count) -> each.addObject().put("partition", partition).put("count", count));
            return result;
        }
    }

    static JsonNode read(JsonNode params) throws Exception {
        ArrayNode result = Oracle.JSON.createArrayNode();
        long max = params.has("max") ? params.get("max").asLong() : Long.MAX_VALUE;
        long from = params.has("from") ? params.get("from").asLong() : 0;
        try (var consumer = consumer(params.get("cluster"), isolation(params))) {
            var partition = new TopicPartition(params.get("topic").asText(), params.get("partition").asInt());
            if (max > 0) toEnd(consumer, List.of(partition), record -> {
                if (record.offset() < from) return true;
                result.add(json(record));
                return result.size() < max;
            });
        }
        return result;
    }

    static ConsumerRecord<byte[], byte[]> one(JsonNode cluster, String isolation, TopicPartition partition, long offset) {
        try (var consumer = consumer(cluster, isolation)) {
            consumer.assign(List.of(partition));
            consumer.seek(partition, offset);
            long deadline = System.currentTimeMillis() + 10_000;
            while (System.currentTimeMillis() < deadline) {
                for (var record : consumer.poll(Duration.ofMillis(200))) return record;
            }
            throw new IllegalStateException("no record at " + partition + " offset " + offset);
        }
    }

    private static ObjectNode json(ConsumerRecord<byte[], byte[]> record) {
        ObjectNode node = Oracle.JSON.createObjectNode().put("offset", record.offset()).put("timestamp", record.timestamp())
            .put("key", base64(record.key())).put("value", base64(record.value()));
        ArrayNode headers = node.putArray("headers");
        for (Header header : record.headers()) headers.addArray().add(header.key()).add(base64(header.value()));
        return node;
    }

    private static String base64(byte[] bytes) {
        return bytes == null ? null : Base64.getEncoder().encodeToString(bytes);
    }
}
