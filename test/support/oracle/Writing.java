import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.lang.reflect.Field;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Writes exactly these records in exactly these batches: a list of steps (send, begin, commit, abort) by one plain producer and any number
 * of transactional ones. A transaction that is open at the end stays open; a later call with the same transactional id may end it.
 */
final class Writing {
    private static final Map<String, Writing> OPEN = new HashMap<>();
    private final KafkaProducer<byte[], byte[]> producer;
    private boolean inTransaction;

    private Writing(JsonNode params, String transactionalId) {
        Properties properties = Reading.client(params.get("cluster"));
        properties.put("acks", params.path("acks").asText("all"));
        if (!params.path("acks").asText("all").equals("all")) properties.put("enable.idempotence", "false");
        properties.put("compression.type", params.path("compression").asText("none"));
        // Each step is flushed: its records are one batch a partition, unless it grows over batch.size.
        properties.put("linger.ms", "20000");
        properties.put("batch.size", params.path("batchBytes").asText("262144"));
        properties.put("max.request.size", String.valueOf(32 << 20));
        properties.put("buffer.memory", String.valueOf(64 << 20));
        properties.put("delivery.timeout.ms", "60000");
        if (transactionalId != null) {
            properties.put("transactional.id", transactionalId);
            properties.put("transaction.timeout.ms", params.path("transactionTimeoutMs").asText("900000"));
        }
        producer = new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer());
        if (transactionalId != null) producer.initTransactions();
    }

    static JsonNode run(JsonNode params) throws Exception {
        Map<String, Writing> writers = new HashMap<>();
        Set<Writing> kept = new HashSet<>();
        ObjectNode result = Oracle.JSON.createObjectNode();
        ArrayNode offsets = result.putArray("offsets");
        try {
            for (JsonNode step : params.get("steps")) {
                String name = step.path("producer").asText("");
                Writing writer = writers.get(name);
                if (writer == null) writers.put(name, writer = take(params, name));
                ArrayNode list = offsets.addArray();
                switch (step.get("what").asText()) {
                    case "begin": writer.producer.beginTransaction(); writer.inTransaction = true; break;
                    case "commit": writer.producer.commitTransaction(); writer.inTransaction = false; break;
                    case "abort": writer.producer.flush(); writer.producer.abortTransaction(); writer.inTransaction = false; break;
                    case "send": writer.send(params.get("topic").asText(), step).forEach(list::add); break;
                    default: throw new IllegalArgumentException("no such step: " + step);
                }
            }
            synchronized (OPEN) {
                writers.forEach((name, writer) -> {
                    if (!writer.inTransaction) return;
                    OPEN.put(key(params, name), writer);
                    kept.add(writer);
                });
            }
            return result;
        } finally {
            for (Writing writer : writers.values()) if (!kept.contains(writer)) writer.producer.close();
        }
    }

    private static Writing take(JsonNode params, String name) {
        if (name.isEmpty()) return new Writing(params, null);
        Writing open;
        synchronized (OPEN) {
            open = OPEN.remove(key(params, name));
        }
        return open == null ? new Writing(params, name) : open;
    }

    private static String key(JsonNode params, String name) {
        return params.get("cluster").get("bootstrap").asText() + " " + name;
    }

    private List<Long> send(String topic, JsonNode step) throws Exception {
        List<Future<RecordMetadata>> answers = new ArrayList<>();
        for (JsonNode record : step.get("records")) {
            answers.add(producer.send(record(topic, step.path("partition").asInt(0), record)));
            if (step.path("onePerBatch").asBoolean(false)) producer.flush();
        }
        producer.flush();
        List<Long> offsets = new ArrayList<>();
        for (Future<RecordMetadata> answer : answers) offsets.add(answer.get().offset());
        return offsets;
    }

    private static ProducerRecord<byte[], byte[]> record(String topic, int partition, JsonNode node) throws Exception {
        RecordHeaders headers = new RecordHeaders();
        for (int i = node.path("bareHeaders").asInt(0); i > 0; i--) headers.add("", null);
        for (JsonNode header : node.path("headers")) headers.add(header.get(0).asText(), bytes(header.get(1)));
        Long timestamp = node.has("timestamp") ? Long.valueOf(node.get("timestamp").asText()) : null;
        boolean negative = timestamp != null && timestamp < 0;
        var record = new ProducerRecord<>(topic, partition, negative ? Long.valueOf(0) : timestamp, bytes(node.get("key")), bytes(node.get("value")), headers);
        if (negative) {
            // The constructor refuses what the protocol allows: −1, "no timestamp".
            Field field = ProducerRecord.class.getDeclaredField("timestamp");
            field.setAccessible(true);
            field.set(record, timestamp);
        }
        return record;
    }

    private static byte[] bytes(JsonNode node) {
        if (node == null || node.isNull()) return null;
        if (node.isTextual()) return Base64.getDecoder().decode(node.asText());
        byte[] bytes = new byte[node.get("bytes").asInt()];
        // Without a seed: zeros, which compress to nothing.
        if (node.has("seed")) new SplittableRandom(node.get("seed").asLong()).nextBytes(bytes);
        return bytes;
    }
}
