import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Names what differs between two lanes whose digests are not the same sequence. Indexes are positions in the lanes, −1 for none. */
final class Differences {
    record Difference(String kind, int source, int target) {}

    static List<Difference> of(Lane source, Lane target) {
        Map<Long, ArrayDeque<Integer>> wanted = new HashMap<>();
        Set<Long> known = new HashSet<>();
        for (int i = 0; i < source.count; i++) {
            known.add(source.digests[i]);
            wanted.computeIfAbsent(source.digests[i], d -> new ArrayDeque<>()).add(i);
        }
        // The n-th appearance of a content on the target is the mate of its n-th on the source.
        int[] mateOfSource = new int[source.count];
        int[] mateOfTarget = new int[target.count];
        Arrays.fill(mateOfSource, -1);
        Arrays.fill(mateOfTarget, -1);
        for (int t = 0; t < target.count; t++) {
            ArrayDeque<Integer> candidates = wanted.get(target.digests[t]);
            Integer s = candidates == null ? null : candidates.poll();
            if (s == null) continue;
            mateOfSource[s] = t;
            mateOfTarget[t] = s;
        }
        List<Difference> result = new ArrayList<>();
        boolean[] explained = new boolean[target.count];
        int expected = 0;
        for (int s = 0; s < source.count; s++) {
            if (mateOfSource[s] >= 0) {
                expected = mateOfSource[s] + 1;
                continue;
            }
            boolean replaced = expected < target.count && mateOfTarget[expected] < 0 && !explained[expected]
                && !known.contains(target.digests[expected]);
            if (replaced) {
                explained[expected] = true;
                result.add(new Difference("altered", s, expected++));
            } else {
                result.add(new Difference("missing", s, -1));
            }
        }
        for (int t = 0; t < target.count; t++) {
            if (mateOfTarget[t] < 0 && !explained[t]) {
                result.add(new Difference(known.contains(target.digests[t]) ? "repeated" : "extra", -1, t));
            }
        }
        outOfOrder(mateOfTarget, result);
        return result;
    }

    /** Everything outside a longest increasing run of source positions is out of order. */
    private static void outOfOrder(int[] mateOfTarget, List<Difference> result) {
        int n = mateOfTarget.length;
        int[] tails = new int[n];
        int[] previous = new int[n];
        int length = 0;
        for (int t = 0; t < n; t++) {
            if (mateOfTarget[t] < 0) continue;
            int low = 0;
            int high = length;
            while (low < high) {
                int middle = (low + high) >>> 1;
                if (mateOfTarget[tails[middle]] < mateOfTarget[t]) low = middle + 1;
                else high = middle;
            }
            previous[t] = low == 0 ? -1 : tails[low - 1];
            tails[low] = t;
            if (low == length) length++;
        }
        boolean[] inOrder = new boolean[n];
        for (int t = length == 0 ? -1 : tails[length - 1]; t >= 0; t = previous[t]) inOrder[t] = true;
        for (int t = 0; t < n; t++) {
            if (mateOfTarget[t] >= 0 && !inOrder[t]) result.add(new Difference("order", mateOfTarget[t], t));
        }
    }
}
