import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/**
 * The oracle's main loop: one JSON object per line in ({id, method, params}) and out ({id, result} or {id, error}). Requests run
 * concurrently. It uses Kafka's own Java clients and nothing of twinlog.
 */
public final class Oracle {
    static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] args) throws Exception {
        PrintStream out = System.out;
        System.setOut(System.err);
        ExecutorService pool = Executors.newCachedThreadPool(task -> {
            Thread thread = new Thread(task, "oracle");
            thread.setDaemon(true);
            return thread;
        });
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        out.println("{\"ready\":true}");
        out.flush();
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            JsonNode request = JSON.readTree(line);
            pool.execute(() -> {
                ObjectNode answer = JSON.createObjectNode();
                answer.set("id", request.get("id"));
                try {
                    answer.set("result", call(request));
                } catch (Throwable error) {
                    error.printStackTrace();
                    answer.put("error", explain(error));
                }
                synchronized (out) {
                    out.println(answer);
                    out.flush();
                }
            });
        }
        // Our parent is gone. Producers in the background must not go on.
        Runtime.getRuntime().halt(0);
    }

    private static String explain(Throwable error) {
        String message = error.getMessage() == null ? error.toString() : error.getMessage();
        // Java often repeats the cause in the message.
        boolean more = error.getCause() != null && !message.contains(String.valueOf(error.getCause().getMessage()));
        return more ? message + " <- " + explain(error.getCause()) : message;
    }

    private static JsonNode call(JsonNode request) throws Exception {
        JsonNode params = request.get("params");
        switch (request.get("method").asText()) {
            case "compare": return Compare.run(params);
            case "resumeOffsets": return Compare.resumeOffsets(params);
            case "offsets": return Reading.offsets(params);
            case "count": return Reading.count(params);
            case "read": return Reading.read(params);
            case "produce": return Producing.run(request.get("id").asInt(), params);
            case "progress": return Producing.progress(params.get("job").asInt());
            case "stopProduce": return Producing.stop(params.get("job").asInt());
            case "consumeGroup": return Groups.consume(params);
            case "committed": return Groups.committed(params);
            case "createTopic": return Groups.createTopic(params);
            case "write": return Writing.run(params);
            default: return Operating.run(request.get("method").asText(), params);
        }
    }
}
