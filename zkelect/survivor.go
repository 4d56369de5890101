package zkelect

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-zookeeper/zk"

	"zkelect/zkelect/internal/child"
)

// A survivor closes the term of an elector that died. It is the program's own
// binary, started again by the term's guard in its own place once nothing of the
// term's tree is alive, and is told all it has to know over a descriptor: what
// stands in its arguments or its environment, others can read.
const (
	survivorName = "zkelect-survivor" // argv[0]; there are no other arguments
	survivorFD   = 3                  // where its will is read from
)

// maxWill bounds a will in bytes: what a pipe holds, so that nobody has to wait
// while it is written.
const maxWill = 64 << 10

const (
	// survivorSession is the longest session that a survivor asks for. Nothing
	// hangs on it, but the shorter it is the sooner is a server given up that is
	// silent: see handshakeTimeout and budget.unanswered.
	survivorSession = 6 * time.Second
	// willBound is how long a survivor waits for its will.
	willBound = 2 * time.Second
)

// will is what a survivor has to know. Its encoding holds the credentials.
type will struct {
	Servers string        `json:"servers"`
	Path    string        `json:"path"`
	Recipe  string        `json:"recipe"`
	Auth    *Auth         `json:"auth,omitempty"`
	TLS     *TLS          `json:"tls,omitempty"` // names of files, not their content
	Timeout time.Duration `json:"timeout"`       // of the elector's session
	// Node is the name of its queue node; or the beginning, without the number, where the
	// node was made together with the opening.
	Node string `json:"node"`
}

// will is the will, encoded, of a candidate that is about to open a term under
// the name of its queue node; nil where it is too large to be handed over, and
// then the servers end the term with the session. It holds the credentials.
func (c *Candidate) will(name string) []byte {
	data, err := json.Marshal(will{
		Servers: c.cfg.Servers, Path: c.cfg.Path, Recipe: c.cfg.Recipe.String(), Auth: c.cfg.Auth, TLS: c.cfg.TLS,
		Timeout: c.sess.timeout(), Node: name,
	})
	if err != nil || len(data) > maxWill {
		return nil
	}
	return data
}

// init is where a survivor's life begins and ends: of the program that it was
// it runs nothing but what this package imports.
func init() {
	if len(os.Args) > 0 && os.Args[0] == survivorName {
		child.SetName(survivorName) // else it is "exe"
		survive()
		os.Exit(0)
	}
}

// survive executes the will that is handed over. It says nothing to anybody, and
// is over with the elector's session at the latest: then the servers have
// deleted what it was to delete.
func survive() {
	late := time.AfterFunc(willBound, func() { os.Exit(0) })
	// What is sent to a whole job or session means the elector and its tree, and
	// those are dead. To end this too would only delay the next leader.
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2,
		syscall.SIGPIPE, syscall.SIGALRM, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU)
	f := os.NewFile(survivorFD, "will")
	_, _ = f.Seek(0, io.SeekStart) // a file stands where its writer left it; a pipe has no place
	w, err := readWill(f)
	_ = f.Close()
	if err != nil {
		return
	}
	late.Stop()
	time.AfterFunc(w.Timeout+time.Second, func() { os.Exit(0) })
	ctx, cancel := context.WithTimeout(context.Background(), w.Timeout)
	defer cancel()
	_ = execute(ctx, w) // nobody is left to be told
}

func readWill(r io.Reader) (will, error) {
	var w will
	// One JSON value: no need to wait for the end of a pipe.
	err := json.NewDecoder(io.LimitReader(r, maxWill)).Decode(&w)
	if err == nil && (w.Timeout <= 0 || w.Node == "") {
		err = os.ErrInvalid
	}
	return w, err
}

// execute closes the term that the will is for, or makes sure that it will
// never be opened, over sessions of its own. It tries until ctx is done.
func execute(ctx context.Context, w will) error {
	recipe, err := ParseRecipe(w.Recipe)
	if err != nil {
		return err
	}
	if recipe == RecipePlain {
		return nil // its node has no name that would tell it from the next leader's
	}
	cfg := Config{
		Servers: w.Servers, Path: w.Path, Recipe: recipe, Auth: w.Auth, TLS: w.TLS,
		SessionTimeout: min(w.Timeout, survivorSession),
	}
	for {
		s, err := newSession(ctx, &cfg)
		if err == nil {
			err = w.close(ctx, s, recipe)
			s.close(500 * time.Millisecond)
		}
		if !errors.Is(err, errSessionLost) && !errors.Is(err, ErrUnreachable) {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// complete finds the number of the queue node, if the elector did not know it yet, by
// the one node whose name has its UUID. Node is "" where there is none.
func (w *will) complete(ctx context.Context, p place, s prompt) error {
	if parseNode(w.Node).sequence >= 0 {
		return nil
	}
	q, err := p.list(ctx, s)
	i := slices.IndexFunc(q, func(n nodeName) bool { return strings.HasPrefix(n.name, w.Node) })
	if err != nil || i >= 0 {
		if i >= 0 {
			w.Node = q[i].name
		}
		return err
	}
	// Deleted by others; its term may be open all the same.
	rec, _, err := p.readRecord(ctx, s)
	if err == nil && rec.Term != nil && strings.HasPrefix(rec.Term.Node, w.Node) {
		w.Node = rec.Term.Node
		return nil
	}
	w.Node = ""
	if errors.Is(err, zk.ErrNoNode) {
		err = nil // there is no side node either
	}
	return err
}

// close is execute in one session. The tree of the term is dead, and its elector
// sends nothing more; but an opening that it has sent may still be under way.
func (w will) close(ctx context.Context, sess session, recipe Recipe) error {
	p, s := placeOf(w.Path, recipe), prompt{sess, budget{timeout: sess.timeout()}.unanswered()}
	if err := w.complete(ctx, p, s); err != nil || w.Node == "" {
		return err
	}
	unqueued := false
	unqueue := func(ctx context.Context) (again bool, err error) {
		if unqueued {
			return false, nil
		}
		// The term is not open, or not any more. The name of the queue node was
		// never another's. Without the node an opening fails; one that was executed
		// before is seen by another look, since this session has seen the deletion.
		_, err = read(ctx, s, func() (struct{}, error) { return struct{}{}, s.remove(ctx, p.node(w.Node)) })
		if err != nil && !errors.Is(err, zk.ErrNoNode) {
			return false, denied(err, "delete", p.node(w.Node))
		}
		unqueued = true
		return true, nil
	}
	e := ending{
		place: p, sess: s, name: w.Node, unnamed: unqueue,
		close: func(rec *record) *record {
			// What this term carried it has neither waited out nor fenced.
			return rec.close(endRecord{ID: rec.Term.ID, Cause: CauseDied, Since: rec.Term.Since}, 0)
		},
	}
	// Read without a sync before: where the server is behind, the version does
	// not match, or the deletion makes it catch up.
	rec, version, err := p.readRecord(ctx, s)
	for {
		if err == nil {
			err = e.run(ctx, rec, version)
		}
		if !errors.Is(err, zk.ErrNoNode) {
			return err
		}
		// There is no side node, so nothing below it either: it was deleted by
		// hand, or this server has not heard of it yet.
		if again, err := unqueue(ctx); err != nil || !again {
			return err
		}
		rec, err = nil, nil
	}
}
