import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** What a Java consumer group does, and what it left behind. */
final class Groups {
    /** A member that joins, reads `count` records or to the end, commits as commitSync() does, and leaves. */
    static JsonNode consume(JsonNode params) throws Exception {
        Properties properties = Reading.client(params.get("cluster"));
        properties.put("group.id", params.get("group").asText());
        properties.put("isolation.level", Reading.isolation(params));
        properties.put("auto.offset.reset", "earliest");
        properties.put("enable.auto.commit", "false");
        properties.put("group.protocol", params.path("protocol").asText("classic"));
        long count = params.has("count") ? params.get("count").asLong() : Long.MAX_VALUE;
        if (params.has("count")) properties.put("max.poll.records", "1");
        String topic = params.get("topic").asText();
        long deadline = System.currentTimeMillis() + params.path("timeoutMs").asLong(30_000);
        long records = 0;
        Map<TopicPartition, Long> positions = new HashMap<>();
        try (var consumer = new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of(topic));
            Map<TopicPartition, Long> ends = null;
            while (true) {
                records += consumer.poll(Duration.ofMillis(100)).count();
                if (!consumer.assignment().isEmpty()) {
                    if (ends == null) ends = consumer.endOffsets(consumer.assignment());
                    for (TopicPartition p : consumer.assignment()) positions.put(p, consumer.position(p));
                    if (records >= count || ends.entrySet().stream().allMatch(e -> positions.getOrDefault(e.getKey(), -1L) >= e.getValue())) break;
                }
                if (System.currentTimeMillis() > deadline) throw new IllegalStateException("not done in time: " + records + " records, " + positions);
            }
            if (params.path("commit").asBoolean(true)) consumer.commitSync();
        }
        ObjectNode result = Oracle.JSON.createObjectNode().put("records", records);
        ArrayNode list = result.putArray("positions");
        positions.entrySet().stream().sorted((a, b) -> a.getKey().partition() - b.getKey().partition())
            .forEach(e -> list.addObject().put("partition", e.getKey().partition()).put("offset", e.getValue()));
        return result;
    }

    static JsonNode committed(JsonNode params) throws Exception {
        try (Admin admin = Admin.create(Reading.client(params.get("cluster")))) {
            Map<TopicPartition, OffsetAndMetadata> offsets =
                admin.listConsumerGroupOffsets(params.get("group").asText()).partitionsToOffsetAndMetadata().get();
            ArrayNode result = Oracle.JSON.createArrayNode();
            offsets.entrySet().stream().filter(e -> e.getValue() != null)
                .sorted((a, b) -> a.getKey().toString().compareTo(b.getKey().toString()))
                .forEach(e -> result.addObject().put("topic", e.getKey().topic()).put("partition", e.getKey().partition())
                    .put("offset", e.getValue().offset()).put("metadata", e.getValue().metadata()));
            return result;
        }
    }

    static JsonNode createTopic(JsonNode params) throws Exception {
        Map<String, String> configs = new HashMap<>();
        if (params.has("configs")) params.get("configs").properties().forEach(e -> configs.put(e.getKey(), e.getValue().asText()));
        NewTopic topic = new NewTopic(params.get("topic").asText(), Optional.of(params.path("partitions").asInt(1)),
            params.has("replicationFactor") ? Optional.of((short) params.get("replicationFactor").asInt()) : Optional.empty()).configs(configs);
        try (Admin admin = Admin.create(Reading.client(params.get("cluster")))) {
            var created = admin.createTopics(List.of(topic));
            created.all().get();
            return Oracle.JSON.createObjectNode().put("topicId", created.topicId(topic.name()).get().toString());
        }
    }
}
