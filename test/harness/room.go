// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"os"
	"strconv"
	"testing"
)

// Room is a mount namespace of the host under test in which packages look installed
// that are only unpacked. Their configuration, /run and the logs go with it.
type Room struct {
	host *Netns
	pid  int
}

// furnish takes the unpacked tree and a directory for what changes in /etc. Next to
// that it makes a file when the room is ready. Network namespaces of other tests must
// not live on in the room; those that go while they are being unmounted are an error.
const furnish = `set -e
while grep -q ' - nsfs ' /proc/self/mountinfo; do
	umount --all --lazy --types nsfs || true
done
mount -t tmpfs room "$2"
mkdir "$2/etc" "$2/work"
mount -t overlay -o "lowerdir=$1/usr:/usr" room /usr
mount -t overlay -o "lowerdir=$1/etc:/etc,upperdir=$2/etc,workdir=$2/work" room /etc
mount -t tmpfs room /run
mount -t tmpfs room /var/log
touch "$2.ready"
exec sleep infinity`

// NewRoom opens a room with the packages of an unpacked tree. It goes with the test.
func (e *Env) NewRoom(t testing.TB, tree string) *Room {
	t.Helper()
	dir, err := os.MkdirTemp(e.dir, "room")
	if err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, e.Host, "unshare", "--mount", "--propagation", "private", "--", "sh", "-c", furnish, "sh", tree, dir)
	Eventually(t, "the room", func() error {
		_, err := os.Stat(dir + ".ready")
		return err
	})
	return &Room{host: e.Host, pid: p.Pid}
}

// within is the command line that runs another one in the room.
func (r *Room) within(args []string) []string {
	return append([]string{"--target", strconv.Itoa(r.pid), "--mount", "--"}, args...)
}

// Output runs a command in the room.
func (r *Room) Output(args ...string) (string, error) {
	return r.host.Output("nsenter", r.within(args)...)
}

// Must is Output that ends the test where the command fails.
func (r *Room) Must(t testing.TB, args ...string) string {
	t.Helper()
	return r.host.Must(t, "nsenter", r.within(args)...)
}

// Start starts a program in the room that goes on until the test is over, or until
// the function that it returns is called. It has time to tidy up.
func (r *Room) Start(t testing.TB, args ...string) (stop func()) {
	t.Helper()
	return startProcess(t, r.host, "nsenter", r.within(args)...).stop
}
