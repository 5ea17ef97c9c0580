import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.TopicPartition;

/** Two topics, record for record; and where a consumer of the first must resume on the second. */
final class Compare {
    static JsonNode run(JsonNode params) throws Exception {
        var source = CompletableFuture.supplyAsync(() -> lanes(params, "source", params.get("partitions")));
        Map<Integer, Lane> target = lanes(params, "target", params.get("partitions"));
        int limit = params.has("maxDifferences") ? params.get("maxDifferences").asInt() : 20;
        ObjectNode result = Oracle.JSON.createObjectNode();
        Map<String, Long> totals = new TreeMap<>();
        for (String kind : List.of("missing", "extra", "repeated", "order", "altered")) totals.put(kind, 0L);
        ArrayNode partitions = result.putArray("partitions");
        TreeSet<Integer> all = new TreeSet<>(source.join().keySet());
        all.addAll(target.keySet());
        long sourceCount = 0;
        long targetCount = 0;
        for (int partition : all) {
            Lane from = source.join().getOrDefault(partition, new Lane(timestamps(params)));
            Lane to = target.getOrDefault(partition, new Lane(timestamps(params)));
            sourceCount += from.count;
            targetCount += to.count;
            ObjectNode node = partitions.addObject().put("partition", partition);
            node.put("sourceCount", from.count).put("targetCount", to.count);
            ArrayNode differences = node.putArray("differences");
            if (same(from, to)) continue;
            for (var difference : Differences.of(from, to)) {
                totals.merge(difference.kind(), 1L, Long::sum);
                if (differences.size() < limit) differences.add(describe(params, partition, from, to, difference));
            }
        }
        result.put("sourceCount", sourceCount).put("targetCount", targetCount);
        result.put("equal", totals.values().stream().allMatch(n -> n == 0));
        result.put("missing", totals.get("missing")).put("extra", totals.get("extra")).put("repeated", totals.get("repeated"));
        return result.put("outOfOrder", totals.get("order")).put("altered", totals.get("altered"));
    }

    static JsonNode resumeOffsets(JsonNode params) throws Exception {
        int partition = params.get("partition").asInt();
        ArrayNode only = Oracle.JSON.createArrayNode().add(partition);
        Lane source = lanes(params, "source", only).get(partition);
        Lane target = lanes(params, "target", only).get(partition);
        if (!same(source, target)) {
            throw new IllegalStateException("partition " + partition + " is not the same on both sides (" + source.count + " and "
                + target.count + " records): compare() says how; resume offsets would be meaningless");
        }
        ByteBuffer bytes = ByteBuffer.allocate(Math.toIntExact((source.end - source.start + 1) * 8)).order(ByteOrder.LITTLE_ENDIAN);
        long behindLast = source.count == 0 ? target.start : target.offsets[source.count - 1] + 1;
        int index = 0;
        for (long offset = source.start; offset <= source.end; offset++) {
            while (index < source.count && source.offsets[index] < offset) index++;
            bytes.putLong(index < source.count ? target.offsets[index] : behindLast);
        }
        return Oracle.JSON.createObjectNode().put("start", source.start).put("end", source.end).put("records", source.count)
            .put("targets", Base64.getEncoder().encodeToString(bytes.array()));
    }

    private static boolean timestamps(JsonNode params) {
        return params.path("timestamps").asBoolean(true);
    }

    private static String topic(JsonNode params, String side) {
        String source = params.get("sourceTopic").asText();
        return side.equals("source") || !params.has("targetTopic") ? source : params.get("targetTopic").asText();
    }

    private static Map<Integer, Lane> lanes(JsonNode params, String side, JsonNode wanted) {
        Map<Integer, Lane> lanes = new TreeMap<>();
        try (var consumer = Reading.consumer(params.get(side), Reading.isolation(params))) {
            List<TopicPartition> partitions = Reading.partitions(consumer, topic(params, side), wanted);
            partitions.forEach(p -> lanes.put(p.partition(), new Lane(timestamps(params))));
            Reading.toEnd(consumer, partitions, record -> {
                lanes.get(record.partition()).add(record);
                return true;
            }).forEach((p, range) -> {
                lanes.get(p.partition()).start = range[0];
                lanes.get(p.partition()).end = range[1];
            });
            return lanes;
        } catch (Exception error) {
            throw new RuntimeException("reading " + topic(params, side) + " on the " + side + ": " + error.getMessage(), error);
        }
    }

    private static boolean same(Lane a, Lane b) {
        return Arrays.equals(a.digests, 0, a.count, b.digests, 0, b.count);
    }

    private static ObjectNode describe(JsonNode params, int partition, Lane from, Lane to, Differences.Difference difference) {
        ObjectNode node = Oracle.JSON.createObjectNode().put("kind", difference.kind());
        ConsumerRecord<byte[], byte[]> source = null;
        ConsumerRecord<byte[], byte[]> target = null;
        if (difference.source() >= 0) {
            node.put("sourceOffset", from.offsets[difference.source()]);
            source = record(params, "source", partition, from.offsets[difference.source()]);
        }
        if (difference.target() >= 0) {
            node.put("targetOffset", to.offsets[difference.target()]);
            target = record(params, "target", partition, to.offsets[difference.target()]);
        }
        StringBuilder detail = new StringBuilder();
        if (difference.kind().equals("altered")) {
            if (timestamps(params) && source.timestamp() != target.timestamp()) detail.append("timestamp ");
            if (!Arrays.equals(source.key(), target.key())) detail.append("key ");
            if (!Arrays.equals(source.value(), target.value())) detail.append("value ");
            if (!source.headers().equals(target.headers())) detail.append("headers ");
            detail.append("differ: ").append(text(source)).append(" | ").append(text(target));
        } else {
            detail.append(text(source == null ? target : source));
        }
        return node.put("detail", detail.toString());
    }

    private static ConsumerRecord<byte[], byte[]> record(JsonNode params, String side, int partition, long offset) {
        return Reading.one(params.get(side), Reading.isolation(params), new TopicPartition(topic(params, side), partition), offset);
    }

    private static String text(ConsumerRecord<byte[], byte[]> r) {
        return "timestamp " + r.timestamp() + ", key " + text(r.key()) + ", value " + text(r.value()) + ", " + r.headers().toArray().length
            + " headers";
    }

    private static String text(byte[] bytes) {
        if (bytes == null) return "null";
        String text = new String(bytes, 0, Math.min(bytes.length, 40), java.nio.charset.StandardCharsets.ISO_8859_1);
        return "'" + text.replaceAll("[^\\x20-\\x7e]", ".") + "' (" + bytes.length + " B)";
    }
}
