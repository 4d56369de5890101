import java.io.File;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;

/**
 * The signs of life of a leader: a file for each time of leadership, with the times of the first
 * and the last of them, in the format that the tests' own commands write.
 */
final class Stamps {
    private final String dir;
    private final String id;
    /** From System.nanoTime to the clock of all other processes: the difference is the time that the host was suspended. */
    private final long offset = Long.getLong("stamps.offset");

    private long begin;
    private RandomAccessFile file;

    Stamps(String dir, String id) {
        this.dir = dir;
        this.id = id;
        Thread beat = new Thread(this::beat, "beat");
        beat.setDaemon(true);
        beat.start();
    }

    synchronized void begin() {
        begin = System.nanoTime() + offset;
        String name = begin + "-" + ProcessHandle.current().pid();
        File made = new File(dir, "new-" + name);
        try {
            file = new RandomAccessFile(made, "rw");
            stamp();
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
        // Whoever sees the file sees a stamp in it.
        if (!made.renameTo(new File(dir, "term-" + name))) {
            throw new IllegalStateException("cannot rename " + made);
        }
        notifyAll();
    }

    synchronized void end() {
        if (file == null) {
            return;
        }
        try {
            stamp();
            file.close();
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
        file = null;
    }

    private synchronized void beat() {
        try {
            while (true) {
                if (file == null) {
                    wait();
                } else {
                    stamp();
                    wait(2);
                }
            }
        } catch (InterruptedException | IOException e) {
            e.printStackTrace();
        }
    }

    private void stamp() throws IOException {
        String line = String.format("%020d %020d %020d %07d %s\n",
                begin, System.nanoTime() + offset, 0, ProcessHandle.current().pid(), id);
        file.seek(0);
        file.write(line.getBytes(StandardCharsets.UTF_8));
    }
}
