import java.io.File;
import java.util.ArrayList;
import java.util.List;
import java.util.Arrays;

/**
 * One Kafka node. Arguments: cluster id, properties file, then SCRAM credentials for the format. Formatting happens in the same JVM,
 * because a JVM of its own would double the start time. The node dies with the process that holds our stdin.
 */
public final class Broker {
    public static void main(String[] args) throws Exception {
        Thread watcher = new Thread(() -> {
            try {
                while (System.in.read() >= 0) { }
            } catch (Exception ignored) {
                // A broken pipe means the same as its end.
            }
            Runtime.getRuntime().halt(75);
        }, "parent-watcher");
        watcher.setDaemon(true);
        watcher.start();

        String clusterId = args[0];
        String properties = args[1];
        if (!new File(new File(properties).getParentFile(), "data/meta.properties").exists()) {
            List<String> format = new ArrayList<>(List.of("format", "-t", clusterId, "-c", properties));
            for (String scram : Arrays.asList(args).subList(2, args.length)) {
                format.add("--add-scram");
                format.add(scram);
            }
            int code = kafka.tools.StorageTool.execute(format.toArray(new String[0]), System.err);
            if (code != 0) System.exit(code);
        }
        kafka.Kafka.main(new String[] {properties});
    }
}
