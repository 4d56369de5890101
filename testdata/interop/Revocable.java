/** A participant by Curator's InterProcessMutex that releases when somebody revokes it. */
final class Revocable extends Mutex {
    Revocable(String[] args) throws Exception {
        super(args);
    }

    public static void main(String[] args) throws Exception {
        new Revocable(args).serve();
    }

    /** A release takes it back. */
    @Override
    void prepare() {
        mutex.makeRevocable(m -> {
            try {
                release();
            } catch (Exception e) {
                e.printStackTrace();
            }
        });
    }
}
