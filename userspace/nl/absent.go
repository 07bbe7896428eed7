// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Absent returns those of the indexes that no device of the calling thread's network namespace
// has. Unlike a question by netlink, this one waits for nobody who changes devices, and has
// nobody wait (netdev_get_name in the kernel), so that it may be about hundreds.
func Absent(indexes []int) (absent []int, err error) {
	if len(indexes) == 0 {
		return nil, nil
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket to ask for devices: %w", err)
	}
	defer unix.Close(fd)
	for _, index := range indexes {
		request, err := unix.NewIfreq("")
		if err != nil {
			return nil, fmt.Errorf("device %d: %w", index, err)
		}
		request.SetUint32(uint32(index))
		err = unix.IoctlIfreq(fd, unix.SIOCGIFNAME, request)
		switch {
		case errors.Is(err, unix.ENODEV):
			absent = append(absent, index)
		case err != nil:
			return nil, fmt.Errorf("device %d: %w", index, err)
		}
	}
	return absent, nil
}
