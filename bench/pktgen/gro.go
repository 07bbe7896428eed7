// SPDX-License-Identifier: Apache-2.0

package pktgen

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/netns"
)

// SetGRO turns generic receive offload of a device on or off. A veth with it polls
// (NAPI), which its peer needs to take redirected frames.
func SetGRO(path, device string, on bool) error {
	err := netns.Do(path, func() error { return setGRO(device, on) })
	if err != nil {
		return fmt.Errorf("generic receive offload of %s: %w", device, err)
	}
	return nil
}

// setGRO is ethtool(8)'s -K gro: struct ethtool_value behind a struct ifreq.
func setGRO(device string, on bool) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	value := struct{ cmd, data uint32 }{cmd: unix.ETHTOOL_SGRO}
	if on {
		value.data = 1
	}
	var request struct {
		name  [unix.IFNAMSIZ]byte
		value unsafe.Pointer
		_     [16]byte
	}
	copy(request.name[:unix.IFNAMSIZ-1], device)
	request.value = unsafe.Pointer(&value)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	runtime.KeepAlive(&value)
	if errno != 0 {
		return errno
	}
	return nil
}
