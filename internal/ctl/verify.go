package ctl

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"
)

// Verdicts of verify; any other is why a replica did not answer.
const (
	verdictSame    = "same"
	verdictDiffers = "differs"
	verdictGone    = "gone"
)

func (p *program) verifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Check that all replicas hold the same registry",
		Long: `verify asks every replica of the cluster for the fingerprint of its registry at one and the same index of
the log. It fails when any differs, or does not answer, or is not alive. It asks at the HTTP
addresses that 'members' shows, so these must be reachable from here.`,
		Example: `  lookupctl verify
  lookupctl -o json verify | jq '.replicas[] | select(.verdict != "same")'`,
		Args: takes(),
		RunE: p.online(p.verify),
	}
}

func (p *program) verify(ctx context.Context, _ []string) error {
	v, tooOld, err := p.compare(ctx)
	if err == nil && tooOld { // some are so far ahead that they have forgotten that index
		v, _, err = p.compare(ctx)
	}
	if err != nil {
		return err
	}
	if err := p.show(v, func(pg *page) { writeVerified(pg, v) }); err != nil {
		return err
	}
	return v.err()
}

// compare asks all replicas once. tooOld means that one has forgotten the index.
func (p *program) compare(ctx context.Context) (v Verified, tooOld bool, err error) {
	s, err := p.askStatus(ctx)
	if err != nil {
		return v, false, err
	}
	if s.Registry.Index == 0 {
		return v, false, fmt.Errorf("%s has applied nothing since its start, so there is nothing to compare; "+
			"wait until it is ready, or give another replica with --addr", s.Name)
	}
	v = Verified{Index: s.Registry.Index, Replicas: []Fingerprint{}}
	var reference string
	errs := make([]error, len(s.Members))
	found := make([]Fingerprint, len(s.Members))
	var wg sync.WaitGroup
	for i, m := range s.Members {
		if m.Role != roleNone {
			wg.Go(func() { found[i], errs[i] = p.fingerprintOf(ctx, s, m) })
		}
	}
	wg.Wait()
	for i, m := range s.Members {
		if m.Role == roleNone {
			continue
		}
		v.Replicas = append(v.Replicas, found[i])
		tooOld = tooOld || isRefusal(errs[i], "INDEX_TOO_OLD")
		if found[i].Fingerprint != "" && (reference == "" || m.Role == roleLeader) {
			reference = found[i].Fingerprint
		}
	}
	v.judge(reference)
	return v, tooOld, nil
}

// judge compares with the leader's fingerprint, or the first if the leader's is not known.
func (v *Verified) judge(reference string) {
	v.Agree = len(v.Replicas) > 0
	for i := range v.Replicas {
		f := &v.Replicas[i]
		switch f.Fingerprint {
		case "":
		case reference:
			f.Verdict = verdictSame
		default:
			f.Verdict = verdictDiffers
		}
		v.Agree = v.Agree && f.Verdict == verdictSame
	}
}

// fingerprintOf asks a member. The replica that gave the status is asked where it gave it.
func (p *program) fingerprintOf(ctx context.Context, s *Status, m Member) (Fingerprint, error) {
	f := Fingerprint{Name: m.Name, ID: m.ID, HTTP: m.Addresses.HTTP}
	base := "http://" + m.Addresses.HTTP
	switch {
	case m.ID == s.ID:
		base = p.client.serving()
	case !m.Alive:
		f.Verdict = verdictGone
		return f, nil
	case m.Addresses.HTTP == "":
		f.Verdict = "no HTTP address is known"
		return f, nil
	}
	var got fingerprint
	_, err := p.client.ask(ctx, http.MethodGet, base, "/cluster/fingerprint",
		url.Values{"index": {strconv.FormatUint(s.Registry.Index, 10)}}, &got)
	switch {
	case err != nil:
		f.Verdict = "no answer: " + briefly(err)
	case got.Index != s.Registry.Index:
		f.Verdict = fmt.Sprintf("answers for index %d", got.Index)
	default:
		f.Index, f.Fingerprint = got.Index, got.Fingerprint
	}
	return f, err
}

// briefly is an error's text without the advice.
func briefly(err error) string {
	var s *silence
	if errors.As(err, &s) {
		return s.why
	}
	var u *unanswered
	if errors.As(err, &u) {
		return u.list
	}
	var r *refusal
	if errors.As(err, &r) {
		return r.what()
	}
	return err.Error()
}

func writeVerified(pg *page, v Verified) {
	rows := [][]cell{head("NAME", "INDEX", "FINGERPRINT", "VERDICT")}
	for _, f := range v.Replicas {
		index := "-"
		if f.Index > 0 {
			index = strconv.FormatUint(f.Index, 10)
		}
		row := texts(f.Name, index, orDash(f.Fingerprint), f.Verdict)
		row[3].style = bad
		if f.Verdict == verdictSame {
			row[3].style = good
		}
		rows = append(rows, row)
	}
	pg.table(rows)
}

// err names those that do not agree.
func (v *Verified) err() error {
	var differ, silent []string
	for _, f := range v.Replicas {
		switch f.Verdict {
		case verdictSame:
		case verdictDiffers:
			differ = append(differ, f.Name+" differs")
		case verdictGone:
			silent = append(silent, f.Name+" is gone")
		default:
			silent = append(silent, f.Name+" gives no fingerprint ("+f.Verdict+")")
		}
	}
	switch list := strings.Join(append(differ, silent...), ", "); {
	case v.Agree:
		return nil
	case list == "":
		return errors.New("there is no member to compare; is the replica part of a cluster? See 'lookupctl status'")
	case len(differ) > 0:
		return fmt.Errorf("not all agree at index %d: %s; stop the one that differs, keep its log for a report, and start it with an empty data path", v.Index, list)
	default:
		return fmt.Errorf("not all agree at index %d: %s; bring it back or see 'lookupctl remove --help', then verify again", v.Index, list)
	}
}
