import java.util.ArrayList;
import java.util.List;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderLatchListener;
import org.apache.curator.framework.recipes.leader.Participant;

/** A participant by Curator's LeaderLatch. */
final class Latch extends Program {
    private LeaderLatch latch;

    Latch(String[] args) throws Exception {
        super(args);
    }

    public static void main(String[] args) throws Exception {
        new Latch(args).serve();
    }

    @Override
    void join() throws Exception {
        latch = new LeaderLatch(client, path, id);
        latch.addListener(new LeaderLatchListener() {
            @Override
            public void isLeader() {
                leads();
            }

            @Override
            public void notLeader() {
                rests();
            }
        });
        latch.start();
    }

    /** A latch that is closed is done with: its users make a new one. */
    @Override
    void release() throws Exception {
        rests();
        latch.close();
        join();
    }

    @Override
    String leader() throws Exception {
        return latch.getLeader().getId();
    }

    @Override
    List<String> participants() throws Exception {
        List<String> ids = new ArrayList<>();
        for (Participant p : latch.getParticipants()) {
            ids.add(p.getId());
        }
        return ids;
    }
}
