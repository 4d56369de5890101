package zkelect

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// recordFormat is the format of the side node's data that this version writes.
const recordFormat = 1

// maxUnclean bounds the list of terms without a clean end. It only grows where
// one leader after the other dies before its term is as old as the lease of
// the one before.
const maxUnclean = 100

// maxLease bounds what is believed of a lease in the record, which may be
// garbage: no Config asks for a longer session.
const maxLease = maxSessionTimeout

// termRecord names a term. A term is named by its leader's queue node, whose
// name holds a UUID that is never used twice.
type termRecord struct {
	Node    string `json:"node"`
	ID      string `json:"id"`
	Host    string `json:"host,omitempty"`
	PID     int    `json:"pid,omitempty"`
	Session string `json:"session,omitempty"`
	// Lease is the negotiated session timeout of the term: how long its
	// processes may live on after its last acknowledged check.
	Lease int64      `json:"lease_ms"`
	Since *time.Time `json:"since,omitempty"` // filled in by the next writer
	Token int64      `json:"token,omitempty"` // likewise
	Clean bool       `json:"clean"`
	Begun *begun     `json:"begun,omitempty"`
}

// begun says that the leader of a term honours a request to resign: from then
// on the term ends, whoever dies.
type begun struct {
	Request string `json:"request"` // the name of the request's node
	By      string `json:"by,omitempty"`
	To      string `json:"to,omitempty"` // the successor's queue node
}

// endRecord is how the last term ended.
type endRecord struct {
	ID       string     `json:"id"`
	Cause    Cause      `json:"cause"`
	ExitCode *int       `json:"exit_code,omitempty"`
	Since    *time.Time `json:"since,omitempty"`
	Until    *time.Time `json:"until,omitempty"` // filled in by the next writer
}

// record is the data of the side node. Fields that this version does not know
// are kept by all writers.
type record struct {
	Format  int          `json:"format"`
	Recipe  string       `json:"recipe"`
	Term    *termRecord  `json:"term,omitempty"`
	Last    *endRecord   `json:"last,omitempty"`
	Unclean []termRecord `json:"unclean,omitempty"`
	Runs    *runsRecord  `json:"runs,omitempty"`
	// Hold keeps terms from being opened: an opening leaves none that is over. One that
	// came later than the opening of the record's term ends that.
	Hold *holdRecord `json:"hold,omitempty"`
	// Missing tells that there was no record when a term was opened, and that
	// none has waited since: there may have been terms that nobody knows of.
	Missing bool `json:"missing,omitempty"`

	unknown map[string]json.RawMessage
}

// parseRecord reads the side node's data, of an election of the recipe. Empty data
// is a fresh record: no term was ever opened.
func parseRecord(data []byte, recipe Recipe, path string) (*record, error) {
	if len(data) == 0 {
		return &record{Format: recordFormat, Recipe: recipe.String()}, nil
	}
	r, err := parseAnyRecord(data, path)
	if err == nil && r.Recipe != recipe.String() {
		return nil, fmt.Errorf("%w: the election of %s is of recipe %q, not %q; use --recipe %s, or another --path", ErrUnsafe, path, r.Recipe, recipe, r.Recipe)
	}
	return r, err
}

// parseAnyRecord is the same for an election of any recipe.
func parseAnyRecord(data []byte, path string) (*record, error) {
	if len(data) == 0 {
		return &record{Format: recordFormat}, nil
	}
	type plain record
	var r record
	err := json.Unmarshal(data, (*plain)(&r))
	if err == nil {
		err = json.Unmarshal(data, &r.unknown)
	}
	if err != nil || r.Format == 0 {
		return nil, fmt.Errorf("%w: %s does not hold a record of zkelect (it begins with %.40q); if nobody uses it, delete it and run again", ErrNode, path, data)
	}
	if r.Format != recordFormat {
		return nil, fmt.Errorf("%w: %s has format %d and this zkelect knows %d; run the same version on all hosts", ErrUnsafe, path, r.Format, recordFormat)
	}
	for _, known := range []string{"format", "recipe", "term", "last", "unclean", "missing", "runs", "hold"} {
		delete(r.unknown, known)
	}
	return &r, nil
}

// encode is the reverse of parseRecord.
func (r *record) encode() []byte {
	type plain record
	data, err := json.Marshal((*plain)(r))
	if err == nil && len(r.unknown) > 0 {
		all := maps.Clone(r.unknown)
		if err = json.Unmarshal(data, &all); err == nil {
			data, err = json.Marshal(all)
		}
	}
	if err != nil {
		panic("zkelect: a record that cannot be encoded: " + err.Error()) // strings, numbers and what was JSON before
	}
	return data
}

// stamped fills in what only the answer to the last write told: the server's
// time of it. Every writer does so before it changes anything.
func (r *record) stamped(mtime time.Time, zxid int64) {
	if r.Hold != nil && r.Hold.Since == nil {
		hold := *r.Hold
		hold.Since = &mtime
		r.Hold = &hold
	}
	switch {
	case r.Term != nil && !r.Term.Clean && r.Term.Since == nil:
		r.Term.Since, r.Term.Token = &mtime, zxid
	case r.Term != nil && r.Term.Clean && r.Last != nil && r.Last.Until == nil:
		r.Last.Until = &mtime
		r.Runs.stamped(r.Term.Token, mtime)
	}
}

// open is the record of a new term. A term before it that was not closed goes
// to the list of the unclean.
func (r *record) open(t termRecord) *record {
	next := *r
	next.Unclean = slices.Clone(r.Unclean)
	next.Missing = r.Missing || r.Term == nil
	next.Hold = nil // it is over
	if old := r.Term; old != nil && !old.Clean {
		next.Unclean = append(next.Unclean, *old)
		next.Last = &endRecord{ID: old.ID, Cause: CauseUnclean, Since: old.Since}
		if cut := len(next.Unclean) - maxUnclean; cut > 0 {
			// What is dropped may have had the longest lease to wait for.
			next.Unclean[cut].Lease = slices.MaxFunc(next.Unclean[:cut+1], func(a, b termRecord) int { return int(a.Lease - b.Lease) }).Lease
			next.Unclean = next.Unclean[cut:]
		}
	}
	next.Term = &t
	return &next
}

// outlived is how long the processes of the term may live on after it was
// superseded, by the clock of another host: its lease and what the two clocks
// may differ by. A term whose lease is not known counts with the one given.
func (t termRecord) outlived(unknown time.Duration) time.Duration {
	if lease := t.lease(); lease > 0 {
		return bothRates(lease)
	}
	return bothRates(unknown)
}

// lease is the term's session timeout as far as it is believed, 0 where it is not.
func (t termRecord) lease() time.Duration {
	return time.Duration(min(max(t.Lease, 0), maxLease.Milliseconds())) * time.Millisecond
}

// close is the record of a term that ended cleanly. What it carried from terms
// before it stays, unless its work ran, and it waited them out since it saw
// itself first: then they are over, whatever became of them. waited is 0 where
// no work ran: a term without a child clears nothing.
func (r *record) close(end endRecord, waited time.Duration) *record {
	next := *r
	term := *r.Term
	term.Clean = true
	next.Term = &term
	next.Last = &end
	own := time.Duration(term.Lease) * time.Millisecond
	next.Unclean = nil
	for _, t := range r.Unclean {
		if t.outlived(own) >= waited {
			next.Unclean = append(next.Unclean, t)
		}
	}
	next.Missing = r.Missing && term.outlived(own) >= waited
	return &next
}

// concluded is the record without the terms whose ends are known, by their queue
// node: their work was dead before anybody tried to say so.
func (r *record) concluded(ends map[string]conclusion) *record {
	next := *r
	next.Unclean = slices.DeleteFunc(slices.Clone(r.Unclean), func(t termRecord) bool {
		end, known := ends[t.Node]
		// Others may have run since.
		if run := end.run; run != nil && (next.Runs == nil || next.Runs.Last == nil || next.Runs.Last.Token < run.Token) {
			next.Runs = next.Runs.with(run)
		}
		return known
	})
	if next.Term != nil && !next.Term.Clean {
		if end, known := ends[next.Term.Node]; known {
			return next.end(end)
		}
	}
	return &next
}

// fenced is the record after the fencing of the term of the queue node.
func (r *record) fenced(node string) *record {
	next := *r
	next.Unclean = slices.DeleteFunc(slices.Clone(r.Unclean), func(t termRecord) bool { return t.Node == node })
	return &next
}

// carries tells whether the term of the queue node is among the unclean.
func (r *record) carries(node string) bool {
	return slices.ContainsFunc(r.Unclean, func(t termRecord) bool { return t.Node == node })
}

// begin is the record of a term that is being resigned.
func (r *record) begin(b begun) *record {
	next := *r
	term := *r.Term
	term.Begun = &b
	next.Term = &term
	return &next
}

// names tells whether the record's term is the one of the queue node.
func (r *record) names(node string) bool { return r.Term != nil && r.Term.Node == node }
