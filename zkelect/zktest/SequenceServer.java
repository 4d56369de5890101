package org.apache.zookeeper.server;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;

/**
 * A server that stands alone, started as QuorumPeerMain starts one, whose sequence
 * counters can be set: nobody makes two thousand million nodes to see what comes then.
 * Its arguments are QuorumPeerMain's, and it reads lines from standard input:
 *
 *     N PATH      the next sequential child of PATH gets the number N
 *
 * It is in the server's package because what it needs is not public.
 */
public class SequenceServer {
    public static void main(String[] args) throws Exception {
        ZooKeeperServerMain main = new ZooKeeperServerMain();
        Thread lines = new Thread(() -> serve(main), "sequences");
        lines.setDaemon(true);
        lines.start();
        main.initializeAndRun(args);
    }

    private static void serve(ZooKeeperServerMain main) {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        try {
            for (String line; (line = in.readLine()) != null; ) {
                String[] words = line.split(" ", 2);
                try {
                    set(main.getCnxnFactory().getZooKeeperServer(), words[1], Integer.parseInt(words[0]));
                } catch (Exception e) { // into the log: whoever asked looks at the node
                    System.err.println("cannot set the sequence, " + line + ": " + e);
                }
            }
        } catch (IOException e) {
            e.printStackTrace();
        }
    }

    /**
     * The counter is the node's cversion; the server lets it only rise.
     *
     * While requests for the path are under way, it is their change record that counts
     * and not the tree, so this waits for a moment between two. The lock is the one
     * under which the server executes a request and drops its record.
     */
    private static void set(ZooKeeperServer server, String path, int next) throws Exception {
        DataTree tree = server.getZKDatabase().getDataTree();
        while (true) {
            synchronized (server.outstandingChanges) {
                if (!server.outstandingChangesForPath.containsKey(path)) {
                    DataNode node = tree.getNode(path);
                    if (node == null) {
                        throw new IllegalArgumentException("no such node");
                    }
                    tree.setCversionPzxid(path, next, node.stat.getPzxid());
                    return;
                }
            }
            Thread.sleep(1);
        }
    }
}
