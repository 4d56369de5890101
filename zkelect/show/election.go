package show

import (
	"zkelect/zkelect"
	"zkelect/zkelect/cmdline"
)

// The views shadow the fields whose form is fixed: times in UTC with
// milliseconds, an empty list rather than null. Every other field goes through.
type participantView struct {
	zkelect.Participant
	Since cmdline.Stamp `json:"since"`
}

type lastView struct {
	*zkelect.LastTerm
	Since *cmdline.Stamp `json:"since,omitempty"`
	Until *cmdline.Stamp `json:"until,omitempty"`
}

type uncleanView struct {
	zkelect.UncleanTerm
	Since *cmdline.Stamp `json:"since,omitempty"`
}

// Election is one in JSON.
type Election struct {
	*zkelect.Election
	Leader       *participantView  `json:"leader"`
	Participants []participantView `json:"participants"`
	Last         *lastView         `json:"last,omitempty"`
	Runs         *Runs             `json:"runs,omitempty"`
	Hold         *HoldView         `json:"hold,omitempty"`
	Unclean      []uncleanView     `json:"unclean,omitempty"`
}

// ElectionJSON is what status writes of an election.
func ElectionJSON(e *zkelect.Election) Election {
	view := Election{Election: e, Runs: RunsJSON(e.Runs), Hold: HoldJSON(e.Hold), Participants: []participantView{}}
	if e.Leader != nil {
		view.Leader = &participantView{*e.Leader, cmdline.Stamp(e.Leader.Since)}
	}
	for _, x := range e.Participants {
		view.Participants = append(view.Participants, participantView{x, cmdline.Stamp(x.Since)})
	}
	if l := e.Last; l != nil {
		view.Last = &lastView{l, (*cmdline.Stamp)(l.Since), (*cmdline.Stamp)(l.Until)}
	}
	for _, u := range e.Unclean {
		view.Unclean = append(view.Unclean, uncleanView{u, (*cmdline.Stamp)(u.Since)})
	}
	return view
}
