import java.util.Arrays;
import java.util.concurrent.CountDownLatch;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.retry.ExponentialBackoffRetry;

/**
 * Runs a command as the leader by Curator, as the shortest program that somebody would write:
 * latch|selector SERVERS PATH SESSION_MS CMD [ARG...]
 */
final class Run {
    private static String[] command;
    private static volatile int code;

    public static void main(String[] args) throws Exception {
        command = Arrays.copyOfRange(args, 4, args.length);
        CuratorFramework client = CuratorFrameworkFactory.newClient(
                args[1], Integer.parseInt(args[3]), 15000, new ExponentialBackoffRetry(100, 3));
        client.start();
        if (args[0].equals("latch")) {
            latch(client, args[2]);
        } else {
            selector(client, args[2]);
        }
        client.close();
        System.exit(code);
    }

    private static void latch(CuratorFramework client, String path) throws Exception {
        LeaderLatch latch = new LeaderLatch(client, path);
        latch.start();
        latch.await();
        run();
        latch.close();
    }

    private static void selector(CuratorFramework client, String path) throws Exception {
        CountDownLatch done = new CountDownLatch(1);
        LeaderSelector selector = new LeaderSelector(client, path, new LeaderSelectorListenerAdapter() {
            @Override
            public void takeLeadership(CuratorFramework client) throws Exception {
                run();
                done.countDown();
            }
        });
        selector.start();
        done.await();
        selector.close();
    }

    private static void run() throws Exception {
        code = new ProcessBuilder(command).inheritIO().start().waitFor();
    }
}
