import com.amazon.randomcutforest.RandomCutForest;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * AWS's open Random Cut Forest on the rows of benchmarks/randomcutforest.py.
 *
 * Arguments: file of float32 rows, features, training rows, trees, rows of a tree, threads, repeats. For each
 * way to call the library a line: its name, the best seconds of scoring the rows after the training rows, and
 * their mean score.
 */
public class Forest {
    private interface Scorer {
        double run() throws Exception;
    }

    public static void main(String[] given) throws Exception {
        int width = Integer.parseInt(given[1]);
        float[][] rows = read(Path.of(given[0]), width);
        int training = Integer.parseInt(given[2]);
        int threads = Integer.parseInt(given[5]);
        int repeats = Integer.parseInt(given[6]);
        RandomCutForest alone = grow(given, rows, width, training, false, threads);
        RandomCutForest parallel = grow(given, rows, width, training, true, threads);
        measure("one thread", repeats, rows.length - training, () -> sum(alone, rows, training, rows.length));
        measure("its own threads", repeats, rows.length - training,
                () -> sum(parallel, rows, training, rows.length));
        ExecutorService pool = Executors.newFixedThreadPool(threads);
        measure("callers' threads", repeats, rows.length - training, () -> {
            List<Future<Double>> parts = new ArrayList<>();
            int count = rows.length - training;
            for (int thread = 0; thread < threads; thread++) {
                int start = training + (int) ((long) count * thread / threads);
                int stop = training + (int) ((long) count * (thread + 1) / threads);
                parts.add(pool.submit(() -> sum(alone, rows, start, stop)));
            }
            double total = 0;
            for (Future<Double> part : parts) {
                total += part.get();
            }
            return total;
        });
        pool.shutdown();
        System.exit(0);
    }

    private static RandomCutForest grow(String[] given, float[][] rows, int width, int training, boolean parallel,
            int threads) {
        RandomCutForest.Builder<?> builder = RandomCutForest.builder().dimensions(width)
                .numberOfTrees(Integer.parseInt(given[3])).sampleSize(Integer.parseInt(given[4])).timeDecay(0)
                .boundingBoxCacheFraction(1.0).randomSeed(0).parallelExecutionEnabled(parallel);
        if (parallel) {
            builder.threadPoolSize(threads);
        }
        RandomCutForest forest = builder.build();
        for (int row = 0; row < training; row++) {
            forest.update(rows[row]);
        }
        return forest;
    }

    private static double sum(RandomCutForest forest, float[][] rows, int start, int stop) {
        double total = 0;
        for (int row = start; row < stop; row++) {
            total += forest.getAnomalyScore(rows[row]);
        }
        return total;
    }

    private static void measure(String name, int repeats, int rows, Scorer scorer) throws Exception {
        double best = Double.POSITIVE_INFINITY;
        double total = 0;
        for (int repeat = 0; repeat < repeats; repeat++) {
            long start = System.nanoTime();
            total = scorer.run();
            best = Math.min(best, (System.nanoTime() - start) / 1e9);
        }
        System.out.printf("%s,%.6f,%.6f%n", name, best, total / rows);
    }

    private static float[][] read(Path path, int width) throws IOException {
        FloatBuffer values = ByteBuffer.wrap(Files.readAllBytes(path)).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer();
        float[][] rows = new float[values.remaining() / width][width];
        for (float[] row : rows) {
            values.get(row);
        }
        return rows;
    }
}
