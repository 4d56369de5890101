package zkelect

import (
	"fmt"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The defaults of a Config's fields.
const (
	DefaultServers        = "127.0.0.1:2181"
	DefaultPath           = "/zkelect/default"
	DefaultSessionTimeout = 30 * time.Second
	DefaultConnectTimeout = 10 * time.Second
	DefaultStopTimeout    = 5 * time.Second
	DefaultRequeueDelay   = time.Second
)

// maxSessionTimeout is the longest session that may be asked for.
const maxSessionTimeout = 24 * time.Hour

// maxRequeueDelay is where the doubling of RequeueDelay ends.
const maxRequeueDelay = 30 * time.Second

// maxIDLen bounds a participant's name in bytes: it stands in every listing.
const maxIDLen = 512

// ACLMode says which access list the nodes that zkelect creates carry.
type ACLMode int

// The access lists. The zero value is creator with credentials, else open.
const (
	ACLAuto    ACLMode = iota
	ACLOpen            // everyone may do everything
	ACLCreator         // the creator may do everything, everyone may read
	ACLPrivate         // the creator may do everything, nobody else anything
)

// Config names an election and the way to its servers.
type Config struct {
	// Servers is ZooKeeper's connect string, host:port,host:port/chroot;
	// port 2181 if missing, IPv6 in brackets. Default 127.0.0.1:2181.
	Servers string
	// Path is the latch path, absolute within the chroot.
	Path string
	// Recipe says how nodes are named and ordered. Default RecipeLatch.
	Recipe Recipe
	// SessionTimeout is asked of the server, which may grant another.
	// Default 30 s.
	SessionTimeout time.Duration
	// ConnectTimeout is the longest wait for the first usable connection;
	// 0 waits for ever.
	ConnectTimeout time.Duration
	// Auth, if not nil, is given to the servers on every connection.
	Auth *Auth
	// TLS, if not nil, has all connections made by TLS, to the secure client
	// ports of the servers. Default: in the clear.
	TLS *TLS
	// ACL is set on what is created.
	ACL ACLMode
	// Observer, if not nil, is called with each event, one at a time, from
	// goroutines of this package. It must return at once.
	Observer func(Event)
}

// Requeue says when a candidate contends again after a term.
type Requeue int

// The ways to requeue; Curator's LeaderLatch contends again after a loss, its
// LeaderSelector with autoRequeue always.
const (
	RequeueNever  Requeue = iota // one term
	RequeueLost                  // again after leadership was lost or resigned
	RequeueAlways                // also after the work ended by itself
)

// TakeoverAuto is the TakeoverDelay that is as long as the record demands.
const TakeoverAuto time.Duration = -1

// OnSuspend says what becomes of the work while the connection is lost and the
// session may be alive.
type OnSuspend int

// The ways to meet a lost connection. The zero value relies on the lease alone.
const (
	SuspendContinue OnSuspend = iota // the work goes on until the lease demands the stop
	SuspendFreeze                    // it is frozen until the session is proved to live
	SuspendKill                      // it is killed at once
)

// CandidateConfig is what contending needs beyond a Config.
type CandidateConfig struct {
	Config
	// ID is the participant's name, which others see. Default HOST:PID.
	ID string
	// NoWait gives up with ErrNotLeader when someone else leads.
	NoWait bool
	// Wait, if not 0, bounds the wait for each term, connecting included.
	Wait time.Duration
	// Requeue says when to contend again. Default RequeueNever.
	Requeue Requeue
	// RequeueDelay is the pause after work that failed, doubling to 30 s.
	// Default 1 s.
	RequeueDelay time.Duration
	// StopTimeout is the grace between asking the work to stop and killing
	// it, shortened where the lease does not hold it. 0 kills at once.
	StopTimeout time.Duration
	// TickTime is the ensemble's tickTime; 0 asks the servers.
	TickTime time.Duration
	// TakeoverDelay, if not 0, has a new leader wait where a term before it
	// did not end cleanly, or no record is there: from the moment it saw itself
	// first, for this long and no shorter than the leases of those terms. Then
	// nothing of them is alive even where the servers ended their sessions
	// early. TakeoverAuto waits for the leases alone. Default 0, no wait.
	TakeoverDelay time.Duration
	// SkipIfRunWithin, if not 0, ends Run with CauseSkipped instead of a term where
	// work of this election has run lately: where it began later than this
	// candidate joined the queue for the first time in this Run, less this
	// duration, both by the servers' clock. SkipAfter says which runs count. A run
	// that the record has more than this duration in the future is told of and
	// ignored. For work that has to be done once in a while, by whom doesn't
	// matter; a Latch refuses it. Default 0, off.
	SkipIfRunWithin time.Duration
	SkipAfter       SkipAfter // default SkipAfterSuccess
	// Fence, if not nil, starts what makes sure that a term before, which did
	// not end cleanly, does no more harm: once for each such term, the oldest
	// first, one after the other, before the work of the new term. Where one
	// ends with another code than 0, or cannot be started, the term ends with
	// CauseFenceFailed.
	Fence func(Term, Previous) (Work, error)
	// Pulse, if not nil, is received from by the goroutine of Run wherever it waits,
	// for the servers too: whoever can send knows that it does not hang. In between it
	// may be busy for a few seconds. For a watchdog.
	Pulse <-chan struct{}
	// OnSuspend says what becomes of the work, and of a fence's, while the
	// connection is lost. Default SuspendContinue.
	OnSuspend OnSuspend
}

func (c *Config) setDefaults() {
	if c.Servers == "" {
		c.Servers = DefaultServers
	}
	if c.Path == "" {
		c.Path = DefaultPath
	}
	if c.SessionTimeout == 0 {
		c.SessionTimeout = DefaultSessionTimeout
	}
	if c.TLS != nil {
		c.TLS = c.TLS.absolute()
	}
	if c.ACL == ACLAuto {
		c.ACL = ACLOpen
		if c.Auth != nil {
			c.ACL = ACLCreator
		}
	}
}

func (c *CandidateConfig) setDefaults() {
	c.Config.setDefaults()
	if c.RequeueDelay == 0 {
		c.RequeueDelay = DefaultRequeueDelay
	}
}

// DefaultID is HOST:PID of this process, the default of CandidateConfig.ID.
func DefaultID() string { return fmt.Sprintf("%s:%d", hostname(), os.Getpid()) }

func hostname() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		return "localhost"
	}
	return host
}

// Validate tells what is wrong with the configuration, with the next step. It
// reads the files of TLS. Every error wraps ErrConfig.
func (c Config) Validate() error {
	c.setDefaults()
	if _, err := ParseConnectString(c.Servers); err != nil {
		return err
	}
	if err := ValidatePath(c.Path); err != nil {
		return err
	}
	if c.Recipe < 0 || int(c.Recipe) >= len(recipeNames) {
		return fmt.Errorf("%w: unknown recipe %d", ErrConfig, c.Recipe)
	}
	if c.SessionTimeout < time.Millisecond {
		return fmt.Errorf("%w: session timeout %v is too short; give at least a second", ErrConfig, c.SessionTimeout)
	}
	if c.SessionTimeout > maxSessionTimeout {
		return fmt.Errorf("%w: session timeout %v is longer than a day; servers grant at most 20 ticks (40s by default)", ErrConfig, c.SessionTimeout)
	}
	if c.ConnectTimeout < 0 {
		return fmt.Errorf("%w: connect timeout %v is negative; 0 waits for ever", ErrConfig, c.ConnectTimeout)
	}
	if c.Auth == nil && (c.ACL == ACLCreator || c.ACL == ACLPrivate) {
		return fmt.Errorf("%w: an ACL for the creator alone needs credentials; give an auth file, or the ACL open", ErrConfig)
	}
	if c.TLS != nil {
		return c.TLS.Check()
	}
	return nil
}

// Validate tells what is wrong with the configuration, with the next step.
func (c CandidateConfig) Validate() error {
	if err := c.Config.Validate(); err != nil {
		return err
	}
	if err := validateID(c.ID); err != nil {
		return err
	}
	for _, d := range []struct {
		name string
		d    time.Duration
	}{{"wait", c.Wait}, {"requeue delay", c.RequeueDelay}, {"stop timeout", c.StopTimeout}, {"tick time", c.TickTime}, {"skip if run within", c.SkipIfRunWithin}} {
		if d.d < 0 {
			return fmt.Errorf("%w: %s %v is negative", ErrConfig, d.name, d.d)
		}
	}
	if c.TakeoverDelay < 0 && c.TakeoverDelay != TakeoverAuto {
		return fmt.Errorf("%w: takeover delay %v is negative", ErrConfig, c.TakeoverDelay)
	}
	if c.SkipAfter != SkipAfterSuccess && c.SkipAfter != SkipAfterAny {
		return fmt.Errorf("%w: unknown way %d to count runs", ErrConfig, c.SkipAfter)
	}
	if c.OnSuspend < SuspendContinue || c.OnSuspend > SuspendKill {
		return fmt.Errorf("%w: unknown way %d to meet a lost connection", ErrConfig, c.OnSuspend)
	}
	return nil
}

// validateID refuses names that would break a table, a log line or a record.
func validateID(id string) error {
	switch {
	case len(id) > maxIDLen:
		return fmt.Errorf("%w: id of %d bytes; give at most %d", ErrConfig, len(id), maxIDLen)
	case !utf8.ValidString(id):
		return fmt.Errorf("%w: id %q is not UTF-8", ErrConfig, id)
	case strings.ContainsFunc(id, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("%w: id %q has a character that cannot be printed", ErrConfig, id)
	}
	return nil
}
