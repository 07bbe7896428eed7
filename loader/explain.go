// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// explain adds to an error of the bpf system call what an operator can do about it.
func explain(err error) error {
	var verifier *ebpf.VerifierError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &verifier):
		// %v of a VerifierError is its last line and the number of the others.
		return fmt.Errorf("%w (the kernel's verifier refused it; kernel %s; "+
			"fairway daemon --verifier-log FILE writes all that it says)", err, release())
	case errors.Is(err, unix.ENOMEM):
		return fmt.Errorf("%w (tables count as the daemon's memory, which its control group may limit: "+
			"MemoryMax= of the unit; --flow-table-size makes them smaller)", err)
	case !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES):
		return err
	}
	if missing := missingCapabilities(); len(missing) > 0 {
		return fmt.Errorf("%w (missing capability: %s)", err, strings.Join(missing, ", "))
	}
	if mode := lockdown(); mode == "confidentiality" {
		return fmt.Errorf("%w (kernel lockdown is %q, which forbids eBPF; boot with lockdown=integrity or none)", err, mode)
	}
	return err
}

// VerifierLog returns all that the kernel's verifier said of a program that it refused,
// line by line, if err has that.
func VerifierLog(err error) (text string, found bool) {
	var verifier *ebpf.VerifierError
	if !errors.As(err, &verifier) {
		return "", false
	}
	return fmt.Sprintf("%+v\n", verifier), true
}

// missingCapabilities returns which of the needed capabilities the process lacks.
// CAP_SYS_ADMIN stands for CAP_BPF and CAP_PERFMON too.
func missingCapabilities() []string {
	effective, err := effectiveCapabilities()
	if err != nil {
		return nil
	}
	has := func(c int) bool { return effective>>c&1 != 0 }
	var missing []string
	if !has(unix.CAP_NET_ADMIN) {
		missing = append(missing, "CAP_NET_ADMIN")
	}
	if !has(unix.CAP_SYS_ADMIN) {
		missing = append(missing, "CAP_SYS_ADMIN")
		if !has(unix.CAP_BPF) {
			missing = append(missing, "CAP_BPF")
		}
		if !has(unix.CAP_PERFMON) {
			missing = append(missing, "CAP_PERFMON")
		}
	}
	return missing
}

func effectiveCapabilities() (uint64, error) {
	status, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			return strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
		}
	}
	return 0, errors.New("/proc/thread-self/status: no CapEff")
}

// lockdown returns the mode between brackets, or "" where there is none.
func lockdown() string {
	modes, err := os.ReadFile("/sys/kernel/security/lockdown")
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(modes), "[")
	mode, _, _ := strings.Cut(rest, "]")
	return mode
}

func release() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}
