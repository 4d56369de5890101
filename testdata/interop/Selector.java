import java.util.ArrayList;
import java.util.List;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.leader.Participant;

/** A participant by Curator's LeaderSelector. */
final class Selector extends Program {
    private final LeaderSelector selector;

    Selector(String[] args) throws Exception {
        super(args);
        selector = new LeaderSelector(client, path, new LeaderSelectorListenerAdapter() {
            @Override
            public void takeLeadership(CuratorFramework client) throws Exception {
                leadUntilReleased();
            }
        });
        selector.setId(id);
        selector.autoRequeue();
    }

    public static void main(String[] args) throws Exception {
        new Selector(args).serve();
    }

    @Override
    void join() {
        selector.start();
    }

    @Override
    String leader() throws Exception {
        return selector.getLeader().getId();
    }

    @Override
    List<String> participants() throws Exception {
        List<String> ids = new ArrayList<>();
        for (Participant p : selector.getParticipants()) {
            ids.add(p.getId());
        }
        return ids;
    }
}
