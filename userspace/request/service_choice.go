// SPDX-License-Identifier: Apache-2.0

package request

import (
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/fairway-project/fairway/userspace/model"
)

// What a service has where nothing is said.
const (
	defaultAffinity = 3 * time.Hour
	defaultDrain    = 30 * time.Second
	defaultInterval = 5 * time.Second
	defaultTimeout  = 2 * time.Second
	defaultRise     = 2
	defaultFall     = 3
)

// The bounds of durations and counts.
const (
	minAffinity, maxAffinity = time.Second, 7 * 24 * time.Hour
	maxDrain                 = 24 * time.Hour
	minInterval, maxInterval = 100 * time.Millisecond, time.Hour
	minTimeout, maxTimeout   = 10 * time.Millisecond, time.Minute
	maxInARow                = 100
)

// changeChoice puts what r says of how backends are chosen and judged into s.
func (r *ServiceUpdate) changeChoice(s *model.Service) (err error) {
	if r.Scheduler != nil {
		switch *r.Scheduler {
		case "":
			s.Scheduler = model.SchedulerMaglev
		case model.SchedulerMaglev, model.SchedulerRandom:
			s.Scheduler = *r.Scheduler
		default:
			return Errorf(ErrInvalid, "scheduler %q: want %s or %s", *r.Scheduler, model.SchedulerMaglev, model.SchedulerRandom)
		}
	}
	if r.Affinity != nil {
		if s.Affinity, err = parseAffinity(*r.Affinity); err != nil {
			return err
		}
	}
	if r.Health != nil {
		if s.Health, err = parseHealth(*r.Health); err != nil {
			return err
		}
	}
	if r.Passive != nil {
		s.Passive = r.Passive
	}
	if r.Drain != nil {
		if s.Drain, err = parseDrain(*r.Drain); err != nil {
			return err
		}
	}
	return r.changeSources(s)
}

func parseAffinity(text string) (a model.Affinity, err error) {
	kind, options, _ := strings.Cut(text, ",")
	switch a.Kind = model.AffinityKind(kind); a.Kind {
	case "", model.AffinityNone:
		if options != "" {
			return a, Errorf(ErrInvalid, "affinity %q: %s has no options", text, model.AffinityNone)
		}
		a.Kind = model.AffinityNone
		return a, nil
	case model.AffinityClientIP:
	default:
		return a, Errorf(ErrInvalid, "affinity %q: want %s or %s[,timeout=DURATION]", text, model.AffinityNone, model.AffinityClientIP)
	}
	a.Timeout = defaultAffinity
	for key, value := range fields(options) {
		if key != "timeout" {
			return a, Errorf(ErrInvalid, "affinity %q: option %q: want timeout=DURATION", text, key)
		}
		if a.Timeout, err = duration(value, minAffinity, maxAffinity); err != nil {
			return a, Errorf(ErrInvalid, "affinity %q: timeout %w", text, err)
		}
	}
	return a, nil
}

// parseHealth reads none, tcp or http:PATH, with [,port=,interval=,timeout=,rise=,fall=].
func parseHealth(text string) (h model.Health, err error) {
	kind, options, _ := strings.Cut(text, ",")
	if path, is := strings.CutPrefix(kind, string(model.HealthHTTP)+":"); is {
		kind, h.Path = string(model.HealthHTTP), path
	}
	switch h.Kind = model.HealthKind(kind); h.Kind {
	case "", model.HealthNone:
		if options != "" {
			return h, Errorf(ErrInvalid, "health %q: %s has no options", text, model.HealthNone)
		}
		h.Kind = model.HealthNone
		return h, nil
	case model.HealthTCP:
	case model.HealthHTTP:
		if _, err := url.Parse("http://backend" + h.Path); err != nil || !strings.HasPrefix(h.Path, "/") || strings.ContainsFunc(h.Path, blank) {
			return h, Errorf(ErrInvalid, "health %q: want http:PATH with a path like /healthz", text)
		}
	default:
		return h, Errorf(ErrInvalid, "health %q: want none, tcp or http:PATH", text)
	}
	h.Interval, h.Timeout, h.Rise, h.Fall = defaultInterval, defaultTimeout, defaultRise, defaultFall
	for key, value := range fields(options) {
		if err := setHealth(&h, key, value); err != nil {
			return h, Errorf(ErrInvalid, "health %q: %s %w", text, key, err)
		}
	}
	return h, nil
}

// blank is what a path in a request's first line can't have.
func blank(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }

func setHealth(h *model.Health, key, value string) (err error) {
	switch key {
	case "port":
		h.Port, err = parsePort(value)
	case "interval":
		h.Interval, err = duration(value, minInterval, maxInterval)
	case "timeout":
		h.Timeout, err = duration(value, minTimeout, maxTimeout)
	case "rise":
		h.Rise, err = inARow(value)
	case "fall":
		h.Fall, err = inARow(value)
	default:
		err = Errorf(ErrInvalid, "is no option; want port, interval, timeout, rise or fall")
	}
	return err
}

func inARow(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxInARow {
		return 0, Errorf(ErrInvalid, "%q: want a number from 1 to %d", text, maxInARow)
	}
	return n, nil
}

func parseDrain(text string) (time.Duration, error) {
	if text == "" {
		return defaultDrain, nil
	}
	d, err := duration(text, 0, maxDrain)
	if err != nil {
		return 0, Errorf(ErrInvalid, "drain %w", err)
	}
	return d, nil
}

func duration(text string, least, most time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < least || d > most {
		return 0, Errorf(ErrInvalid, "%q: want a duration from %s to %s", text, least, most)
	}
	return d, nil
}

// checkHealthPort refuses a check that has no port to ask at.
func checkHealthPort(s *model.Service) error {
	if s.Health.Kind == model.HealthNone || s.Health.Port != 0 {
		return nil
	}
	for _, p := range s.Ports {
		if p.Port.Proto == model.TCP {
			return nil
		}
	}
	return Errorf(ErrInvalid, "health %s: service %s has no TCP port; want port=N", s.Health.Kind, s.Name)
}
