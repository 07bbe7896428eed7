// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/userspace/link"
)

// compare lets go-cmp compare addresses.
func compare() cmp.Options {
	return cmp.Options{
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	}
}

// What an earlier version kept in its file, which that version wrote, is carried on: the
// same networks, endpoints and ports. The file stays until it is put aside, and counts
// meanwhile: the earlier version may go on with it.
func TestFormerFile(t *testing.T) {
	dir := t.TempDir()
	raw, err := os.ReadFile(filepath.Join("testdata", "former", FormerFile))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, FormerFile)
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	var former struct {
		Networks  map[string]*network
		Endpoints map[string]*endpoint
	}
	if err := json.Unmarshal(raw, &former); err != nil {
		t.Fatal(err)
	}
	k := newKernel()
	for _, e := range former.Endpoints {
		k.devices[e.HostIf] = link.Device{Name: e.HostIf, Index: 77, Owner: e.ID}
	}
	if n, err := Networks(storeIn(t, dir), dir); n != 1 || err != nil {
		t.Errorf("%d networks, %v", n, err)
	}
	d := open(t, k, dir)
	if diff := cmp.Diff(records{former.Networks, former.Endpoints}, d.records, compare()); diff != "" {
		t.Errorf("stored (-former +now):\n%s", diff)
	}
	if len(k.networks) != 1 || len(k.endpoints) != 1 || len(k.ports[ep1]) != 1 {
		t.Errorf("networks %v, endpoints %v, ports %v", k.networks, k.endpoints, k.ports)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadFile(path); err != nil || string(left) != string(raw) {
		t.Errorf("the file before it is put aside: %q, %v", left, err)
	}
	// The start was refused, and the earlier version went on without the networks.
	if err := os.WriteFile(path, []byte(`{"version":1,"networks":{},"endpoints":{}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := Networks(storeIn(t, dir), dir); n != 0 || err != nil {
		t.Errorf("%d networks that the earlier version deleted, %v", n, err)
	}
	// It got them again.
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := Networks(storeIn(t, dir), dir); n != 1 || err != nil {
		t.Errorf("%d networks that the earlier version has again, %v", n, err)
	}
	for range 2 {
		if err := SetAside(dir); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the file is left: %v", err)
	}
	if aside, err := os.ReadFile(filepath.Join(dir, Migrated)); err != nil || string(aside) != string(raw) {
		t.Errorf("put aside: %q, %v", aside, err)
	}
	again := open(t, k, dir)
	if diff := cmp.Diff(d.records, again.records, compare()); diff != "" {
		t.Errorf("at the next start (-before +after):\n%s", diff)
	}
}
