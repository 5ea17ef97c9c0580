import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.AbortTransactionSpec;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.ScramCredentialInfo;
import org.apache.kafka.clients.admin.ScramMechanism;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.admin.UserScramCredentialUpsertion;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;

/** What an operator does to a cluster, by the Java admin client. */
final class Operating {
    interface Work {
        JsonNode with(Admin admin) throws Exception;
    }

    static JsonNode run(String method, JsonNode params) throws Exception {
        Work work = switch (method) {
            case "deleteRecords" -> admin -> deleteRecords(admin, params);
            case "deleteTopic" -> admin -> deleteTopic(admin, params);
            case "createPartitions" -> admin -> createPartitions(admin, params);
            case "alterConfigs" -> admin -> alterConfigs(admin, params);
            case "electLeaders" -> admin -> electLeaders(admin, params);
            case "reassign" -> admin -> reassign(admin, params);
            case "describeTopic" -> admin -> describeTopic(admin, params);
            case "quota" -> admin -> quota(admin, params);
            case "acl" -> admin -> acl(admin, params);
            case "scram" -> admin -> scram(admin, params);
            case "producers" -> admin -> producers(admin, params);
            case "abortTransaction" -> admin -> abortTransaction(admin, params);
            default -> throw new IllegalArgumentException("no such method: " + method);
        };
        Properties properties = Reading.client(params.get("cluster"));
        // Brokers are down on purpose; who waits for one to come back asks again.
        properties.put("request.timeout.ms", "5000");
        properties.put("default.api.timeout.ms", "20000");
        try (Admin admin = Admin.create(properties)) {
            return work.with(admin);
        }
    }

    private static JsonNode deleteRecords(Admin admin, JsonNode params) throws Exception {
        Map<TopicPartition, RecordsToDelete> wanted = new HashMap<>();
        params.get("before").properties().forEach(e ->
            wanted.put(partition(params, Integer.parseInt(e.getKey())), RecordsToDelete.beforeOffset(Long.parseLong(e.getValue().asText()))));
        ObjectNode lowWatermarks = Oracle.JSON.createObjectNode();
        for (var answer : admin.deleteRecords(wanted).lowWatermarks().entrySet()) {
            lowWatermarks.put(String.valueOf(answer.getKey().partition()), answer.getValue().get().lowWatermark());
        }
        return lowWatermarks;
    }

    private static JsonNode deleteTopic(Admin admin, JsonNode params) throws Exception {
        String topic = params.get("topic").asText();
        admin.deleteTopics(List.of(topic)).all().get();
        // Answered when the controller knows; the brokers follow.
        until("topic " + topic + " is gone", () -> !admin.listTopics().names().get().contains(topic));
        return Oracle.JSON.nullNode();
    }

    private static JsonNode createPartitions(Admin admin, JsonNode params) throws Exception {
        admin.createPartitions(Map.of(params.get("topic").asText(), NewPartitions.increaseTo(params.get("partitions").asInt()))).all().get();
        return Oracle.JSON.nullNode();
    }

    private static JsonNode alterConfigs(Admin admin, JsonNode params) throws Exception {
        ConfigResource resource = params.has("topic")
            ? new ConfigResource(ConfigResource.Type.TOPIC, params.get("topic").asText())
            // Without a broker: the dynamic default of all of them.
            : new ConfigResource(ConfigResource.Type.BROKER, params.path("broker").asText(""));
        List<AlterConfigOp> operations = new ArrayList<>();
        params.get("configs").properties().forEach(e -> operations.add(new AlterConfigOp(new ConfigEntry(e.getKey(), e.getValue().asText("")),
            e.getValue().isNull() ? AlterConfigOp.OpType.DELETE : AlterConfigOp.OpType.SET)));
        admin.incrementalAlterConfigs(Map.of(resource, operations)).all().get();
        return Oracle.JSON.nullNode();
    }

    private static JsonNode electLeaders(Admin admin, JsonNode params) throws Exception {
        Set<TopicPartition> partitions = new HashSet<>();
        if (params.has("partitions")) params.get("partitions").forEach(p -> partitions.add(partition(params, p.asInt())));
        else for (TopicPartitionInfo info : describe(admin, params).partitions()) partitions.add(partition(params, info.partition()));
        ElectionType type = params.path("unclean").asBoolean(false) ? ElectionType.UNCLEAN : ElectionType.PREFERRED;
        for (var answer : admin.electLeaders(type, partitions).partitions().get().entrySet()) {
            Throwable error = answer.getValue().orElse(null);
            // The right one leads already.
            if (error != null && !(error instanceof org.apache.kafka.common.errors.ElectionNotNeededException)) {
                throw new IllegalStateException(answer.getKey() + ": " + error, error);
            }
        }
        return Oracle.JSON.nullNode();
    }

    private static JsonNode reassign(Admin admin, JsonNode params) throws Exception {
        Map<TopicPartition, Optional<NewPartitionReassignment>> wanted = new HashMap<>();
        params.get("replicas").properties().forEach(e -> {
            List<Integer> replicas = new ArrayList<>();
            e.getValue().forEach(id -> replicas.add(id.asInt()));
            wanted.put(partition(params, Integer.parseInt(e.getKey())), Optional.of(new NewPartitionReassignment(replicas)));
        });
        admin.alterPartitionReassignments(wanted).all().get();
        until("reassigned " + wanted.keySet(), () -> admin.listPartitionReassignments(wanted.keySet()).reassignments().get().isEmpty());
        return Oracle.JSON.nullNode();
    }

    private static JsonNode describeTopic(Admin admin, JsonNode params) throws Exception {
        TopicDescription topic = describe(admin, params);
        ObjectNode result = Oracle.JSON.createObjectNode().put("topicId", topic.topicId().toString());
        ArrayNode partitions = result.putArray("partitions");
        for (TopicPartitionInfo info : topic.partitions()) {
            boolean led = info.leader() != null && !info.leader().isEmpty();
            ObjectNode node = partitions.addObject().put("partition", info.partition()).put("leader", led ? info.leader().id() : -1);
            ArrayNode replicas = node.putArray("replicas");
            info.replicas().forEach(replica -> replicas.add(replica.id()));
            ArrayNode inSync = node.putArray("inSync");
            info.isr().forEach(replica -> inSync.add(replica.id()));
            if (!led) continue;
            TopicPartition partition = partition(params, info.partition());
            try {
                ListOffsetsResultInfo end = admin.listOffsets(Map.of(partition, OffsetSpec.latest()), new ListOffsetsOptions().timeoutMs(2_000))
                    .partitionResult(partition).get();
                node.put("end", end.offset()).put("leaderEpoch", end.leaderEpoch().orElse(-1));
            } catch (ExecutionException unreachable) {
                // The controller still believes in a leader that has just died.
            }
        }
        return result;
    }

    private static JsonNode quota(Admin admin, JsonNode params) throws Exception {
        Map<String, String> entity = new HashMap<>();
        // The empty name is the default entity: everybody without a quota of their own.
        if (params.has("user")) entity.put(ClientQuotaEntity.USER, params.get("user").asText().isEmpty() ? null : params.get("user").asText());
        if (params.has("clientId")) entity.put(ClientQuotaEntity.CLIENT_ID, params.get("clientId").asText().isEmpty() ? null : params.get("clientId").asText());
        List<ClientQuotaAlteration.Op> operations = new ArrayList<>();
        for (var each : Map.of("producerByteRate", "producer_byte_rate", "consumerByteRate", "consumer_byte_rate", "requestPercentage", "request_percentage").entrySet()) {
            if (!params.has(each.getKey())) continue;
            JsonNode value = params.get(each.getKey());
            operations.add(new ClientQuotaAlteration.Op(each.getValue(), value.isNull() ? null : value.asDouble()));
        }
        admin.alterClientQuotas(List.of(new ClientQuotaAlteration(new ClientQuotaEntity(entity), operations))).all().get();
        return Oracle.JSON.nullNode();
    }

    private static JsonNode acl(Admin admin, JsonNode params) throws Exception {
        JsonNode resource = params.get("resource");
        var pattern = new ResourcePattern(ResourceType.fromString(resource.get("type").asText()), resource.path("name").asText("kafka-cluster"),
            PatternType.valueOf(resource.path("pattern").asText("literal").toUpperCase(java.util.Locale.ROOT)));
        List<AclBinding> bindings = new ArrayList<>();
        params.get("operations").forEach(operation -> bindings.add(new AclBinding(pattern, new AccessControlEntry(params.get("principal").asText(), "*",
            AclOperation.fromString(operation.asText()), AclPermissionType.fromString(params.path("permission").asText("allow"))))));
        if (params.get("change").asText().equals("add")) admin.createAcls(bindings).all().get();
        else admin.deleteAcls(bindings.stream().map(AclBinding::toFilter).toList()).all().get();
        return Oracle.JSON.nullNode();
    }

    private static JsonNode scram(Admin admin, JsonNode params) throws Exception {
        // One mechanism at a time: a user may be named once in a request.
        for (ScramMechanism mechanism : List.of(ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512)) {
            ScramCredentialInfo info = new ScramCredentialInfo(mechanism, 4096);
            admin.alterUserScramCredentials(List.of(
                new UserScramCredentialUpsertion(params.get("user").asText(), info, params.get("password").asText()))).all().get();
        }
        return Oracle.JSON.nullNode();
    }

    private static JsonNode producers(Admin admin, JsonNode params) throws Exception {
        ArrayNode result = Oracle.JSON.createArrayNode();
        for (ProducerState state : states(admin, params)) {
            result.addObject().put("producerId", state.producerId()).put("epoch", state.producerEpoch()).put("lastSequence", state.lastSequence())
                .put("openSince", state.currentTransactionStartOffset().orElse(-1));
        }
        return result;
    }

    /** As `kafka-transactions.sh abort` does: ends every open transaction of the partition, whoever began it. */
    private static JsonNode abortTransaction(Admin admin, JsonNode params) throws Exception {
        int aborted = 0;
        for (ProducerState state : states(admin, params)) {
            if (state.currentTransactionStartOffset().isEmpty()) continue;
            admin.abortTransaction(new AbortTransactionSpec(partition(params, params.get("partition").asInt()), state.producerId(),
                (short) state.producerEpoch(), Math.max(0, state.coordinatorEpoch().orElse(0)))).all().get();
            aborted++;
        }
        return Oracle.JSON.createObjectNode().put("aborted", aborted);
    }

    private static List<ProducerState> states(Admin admin, JsonNode params) throws Exception {
        TopicPartition partition = partition(params, params.get("partition").asInt());
        return admin.describeProducers(List.of(partition)).partitionResult(partition).get().activeProducers();
    }

    private static TopicDescription describe(Admin admin, JsonNode params) throws Exception {
        String topic = params.get("topic").asText();
        return admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
    }

    private static TopicPartition partition(JsonNode params, int partition) {
        return new TopicPartition(params.get("topic").asText(), partition);
    }

    private interface Condition {
        boolean holds() throws Exception;
    }

    private static void until(String what, Condition condition) throws Exception {
        long deadline = System.currentTimeMillis() + 30_000;
        while (!condition.holds()) {
            if (System.currentTimeMillis() > deadline) throw new IllegalStateException("not within 30 s: " + what);
            Thread.sleep(30);
        }
    }
}
