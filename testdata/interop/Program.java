import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.concurrent.Semaphore;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.retry.ExponentialBackoffRetry;

/**
 * What the programs on Curator have in common: started as KIND SERVERS PATH ID SESSION_MS STAMPS,
 * each stands in one election, tells on standard output what becomes of it, and takes commands
 * from standard input, with one line that begins with "= " for each answer:
 *
 * <pre>
 * release       give leadership up as users of the recipe do, and queue again
 * leader        who leads, as the recipe tells it
 * participants  who stands in the queue, in its order, as the recipe tells it
 * </pre>
 *
 * At the end of its input it exits, without a farewell.
 */
abstract class Program {
    final CuratorFramework client;
    final String path;
    final String id;
    private final Stamps stamps;
    private final Semaphore released = new Semaphore(0);

    Program(String[] args) throws Exception {
        path = args[1];
        id = args[2];
        int sessionMs = Integer.parseInt(args[3]);
        stamps = new Stamps(args[4], id);
        client = CuratorFrameworkFactory.newClient(args[0], sessionMs, 15000, new ExponentialBackoffRetry(100, 3));
        client.getConnectionStateListenable().addListener((c, state) -> {
            say("connection " + state);
            // A program that may have lost leadership has to stop working, whatever the
            // recipe does about it.
            if (!state.isConnected()) {
                stamps.end();
            }
        });
        client.start();
    }

    /** Stands in the queue from now on. */
    abstract void join() throws Exception;

    /** Ends leadership, which has been asked for on standard input, and queues again. */
    void release() throws Exception {
        released.release();
    }

    String leader() throws Exception {
        return "";
    }

    Iterable<String> participants() throws Exception {
        return java.util.List.of();
    }

    /** Leadership has begun. */
    final void leads() {
        stamps.begin();
        say("leading");
    }

    /** Nothing is done as the leader any more; to be called before leadership is given up. */
    final void rests() {
        stamps.end();
        say("released");
    }

    /** For recipes that call: leads until it is told to release. */
    final void leadUntilReleased() throws InterruptedException {
        released.drainPermits();
        leads();
        try {
            released.acquire();
        } finally {
            rests();
        }
    }

    final void serve() throws Exception {
        join();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null; ) {
            try {
                say("= " + answer(line));
            } catch (Exception e) {
                e.printStackTrace();
                say("= error " + e);
            }
        }
        Runtime.getRuntime().halt(0);
    }

    private String answer(String command) throws Exception {
        switch (command) {
            case "release":
                release();
                return "";
            case "leader":
                return leader();
            case "participants":
                return String.join(" ", participants());
            default:
                return "error unknown command " + command;
        }
    }

    private static void say(String line) {
        System.out.println(line);
        System.out.flush();
    }
}
