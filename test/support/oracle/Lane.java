import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;

/** What is kept of one partition: per record its offset and a 64-bit digest of everything that must be equal. */
final class Lane {
    private static final VarHandle LONG = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
    private final boolean timestamps;
    long[] offsets = new long[64];
    long[] digests = new long[64];
    int count;
    long start;
    long end;

    /** Without time stamps: the target keeps its own (LogAppendTime). */
    Lane(boolean timestamps) {
        this.timestamps = timestamps;
    }

    void add(ConsumerRecord<byte[], byte[]> record) {
        if (count == offsets.length) {
            offsets = Arrays.copyOf(offsets, count * 2);
            digests = Arrays.copyOf(digests, count * 2);
        }
        offsets[count] = record.offset();
        digests[count++] = digest(record);
    }

    private long digest(ConsumerRecord<byte[], byte[]> record) {
        long h = mix(0x9E3779B97F4A7C15L, timestamps ? record.timestamp() : 0);
        h = bytes(h, record.key());
        h = bytes(h, record.value());
        for (Header header : record.headers()) {
            h = bytes(h, header.key().getBytes(StandardCharsets.UTF_8));
            h = bytes(h, header.value());
        }
        return h;
    }

    /** The length goes in first and null is length −1: null, empty and shifted boundaries all differ. */
    private static long bytes(long h, byte[] data) {
        if (data == null) return mix(h, -1);
        h = mix(h, data.length);
        int i = 0;
        for (; i + 8 <= data.length; i += 8) h = mix(h, (long) LONG.get(data, i));
        long rest = 0;
        for (; i < data.length; i++) rest = (rest << 8) | (data[i] & 0xff);
        return mix(h, rest);
    }

    private static long mix(long h, long v) {
        h = (h ^ v) * 0xBF58476D1CE4E5B9L;
        return h ^ (h >>> 29);
    }
}
