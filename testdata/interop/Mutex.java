import java.util.Collection;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;

/** A participant by Curator's InterProcessMutex. */
class Mutex extends Program {
    final InterProcessMutex mutex;

    Mutex(String[] args) throws Exception {
        super(args);
        mutex = new InterProcessMutex(client, path);
    }

    public static void main(String[] args) throws Exception {
        new Mutex(args).serve();
    }

    @Override
    void join() {
        Thread holder = new Thread(() -> { // the mutex belongs to the thread that took it
            try {
                while (true) {
                    prepare();
                    mutex.acquire();
                    leadUntilReleased();
                    mutex.release();
                }
            } catch (Exception e) {
                e.printStackTrace();
                Runtime.getRuntime().halt(1);
            }
        }, "holder");
        holder.start();
    }

    /** What is to be done before each time. */
    void prepare() {}

    /** A mutex has no ids: the paths of the nodes. */
    @Override
    Collection<String> participants() throws Exception {
        return mutex.getParticipantNodes();
    }
}
