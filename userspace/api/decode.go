// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// bodyTimeout is the time that a client has to send its body.
const bodyTimeout = 30 * time.Second

// MaxBody is the largest request body, in bytes.
const MaxBody = 1 << 20

type validator interface{ Validate() error }

// decodeBody reads the request's JSON body into dst and validates it. No body
// at all is the zero value.
func decodeBody(r *http.Request, dst any) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(body)) > 0 {
		if err := decodeJSON(body, dst); err != nil {
			return err
		}
	}
	if v, ok := dst.(validator); ok {
		return v.Validate()
	}
	return nil
}

// withBody hands requests on when their body is there, whoever wants it: what
// nobody has read package net/http waits for when the answer is written, without end.
func withBody(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := readBody(w, r)
		if err != nil {
			w.Header().Set("Connection", "close")
			writeError(w, statusOf(err), bodyOf(err))
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next(w, r)
	})
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	// A deadline of the server's own would end long answers as well. After an error
	// it stays, for what net/http still reads.
	rc := http.NewResponseController(w)
	timed := rc.SetReadDeadline(time.Now().Add(bodyTimeout)) == nil
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, request.Errorf(request.ErrTooLarge, "request body: larger than %d bytes", MaxBody)
	}
	if err != nil {
		return nil, request.Errorf(request.ErrInvalid, "request body: %w", err)
	}
	if timed {
		err = rc.SetReadDeadline(time.Time{})
	}
	return body, err
}

// decodeJSON decodes one JSON value strictly. Its errors name the field.
func decodeJSON(body []byte, dst any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(dst); err != nil {
		return request.Mark(request.ErrInvalid, explainJSON(body, dst, err))
	}
	if _, err := dec.Token(); err != io.EOF {
		return request.Errorf(request.ErrInvalid, "request body: something follows the JSON value")
	}
	return nil
}

func explainJSON(body []byte, dst any, err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("request body: not JSON at byte %d: %w", syntax.Offset, err)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("request body: JSON ends too early")
	}
	if path, ferr := locate(body, reflect.TypeOf(dst).Elem()); ferr != nil && path == "" {
		return fmt.Errorf("request body: %w", ferr)
	} else if ferr != nil {
		return fmt.Errorf("field %q: %w", path, ferr)
	}
	return fmt.Errorf("request body: %w", err)
}

// locate finds the first value in body that doesn't fit t: its path and what
// is wrong. Package json names no field when a type's own UnmarshalText fails.
func locate(body []byte, t reflect.Type) (string, error) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	v := reflect.New(t)
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if dec.Decode(v.Interface()) == nil {
		return "", nil
	}
	if _, text := v.Interface().(interface{ UnmarshalText([]byte) error }); !text {
		if path, err, ok := descend(body, t); ok {
			return path, err
		}
	}
	return "", mismatch(body, t)
}

// descend looks into the members of body; ok is false where it has none.
func descend(body []byte, t reflect.Type) (path string, err error, ok bool) {
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		var members map[string]json.RawMessage
		if json.Unmarshal(body, &members) != nil {
			return "", nil, false
		}
		for _, name := range slices.Sorted(maps.Keys(members)) {
			raw := members[name]
			mt, known := memberType(t, name)
			if !known {
				return name, errors.New("unknown"), true
			}
			if path, err := locate(raw, mt); err != nil {
				return joinPath(name, path), err, true
			}
		}
	case reflect.Slice:
		var elements []json.RawMessage
		if json.Unmarshal(body, &elements) != nil {
			return "", nil, false
		}
		for i, raw := range elements {
			if path, err := locate(raw, t.Elem()); err != nil {
				return joinPath(fmt.Sprintf("[%d]", i), path), err, true
			}
		}
	}
	return "", nil, false
}

func joinPath(name, rest string) string {
	if rest == "" || strings.HasPrefix(rest, "[") {
		return name + rest
	}
	return name + "." + rest
}

func memberType(t reflect.Type, name string) (reflect.Type, bool) {
	if t.Kind() == reflect.Map {
		return t.Elem(), true
	}
	for _, f := range reflect.VisibleFields(t) {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.Anonymous && strings.EqualFold(tag, name) {
			return f.Type, true
		}
	}
	return nil, false
}

func mismatch(body []byte, t reflect.Type) error {
	got := strings.TrimSpace(string(body))
	if len(got) > 60 {
		got = got[:60] + "..."
	}
	return fmt.Errorf("%s: want %s", got, describe(t))
}

func describe(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[netip.Addr]():
		return `an IP address like "172.20.0.2"`
	case reflect.TypeFor[netip.Prefix]():
		return `a prefix like "172.20.0.0/16"`
	case reflect.TypeFor[model.MAC]():
		return `a unicast MAC address like "02:42:ac:11:00:02"`
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64, reflect.Uint16:
		return "a whole number"
	case reflect.Slice:
		return "a list"
	}
	return "an object"
}
