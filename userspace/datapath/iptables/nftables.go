// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// dropTables deletes the nftables tables that iptables-nft made for this package
// and that nobody has put anything in since: iptables-save lists a table as soon
// as it exists. Tables of iptables-legacy can't be deleted.
func (d *Datapath) dropTables(ctx context.Context, f Family, j *journal) error {
	version, err := d.bins.version(ctx, f)
	if err != nil || !strings.Contains(version, "nf_tables") {
		return err
	}
	cur, err := d.bins.readTables(ctx, f)
	if err != nil {
		return err
	}
	var errs []error
	for table, facts := range j.facts {
		if facts[factCreated] != "" && cur[table].pristine() {
			errs = append(errs, deleteTable(f, table))
		}
	}
	return errors.Join(errs...)
}

// pristine reports whether a table holds nothing but built-in chains that accept.
func (t *savedTable) pristine() bool {
	if t == nil {
		return false
	}
	for chain, rules := range t.chains {
		if !builtin(chain) || len(rules) > 0 || t.policies[chain] != "ACCEPT" {
			return false
		}
	}
	return true
}

// deleteTable deletes an nftables table in the namespace of the calling thread:
// one batch of NFT_MSG_DELTABLE, as nft(8) sends it.
func deleteTable(f Family, name string) error {
	family := uint8(unix.NFPROTO_IPV4)
	if f == IPv6 {
		family = unix.NFPROTO_IPV6
	}
	s, err := nl.Subscribe(unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer s.Close()
	const batch = 1 // sequence numbers follow each other from here
	msg := nftMessage(unix.NFNL_MSG_BATCH_BEGIN, 0, batch, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES, nil)
	attr := nl.NewRtAttr(unix.NFTA_TABLE_NAME, nl.ZeroTerminated(name)).Serialize()
	msg = append(msg, nftMessage(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_DELTABLE, unix.NLM_F_ACK, batch+1, family, 0, attr)...)
	msg = append(msg, nftMessage(unix.NFNL_MSG_BATCH_END, 0, batch+2, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES, nil)...)
	if err := unix.Sendto(s.GetFd(), msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("nftables table %s: delete: %w", name, err)
	}
	return readAck(s, name)
}

// nftMessage is a netlink message with an nfgenmsg and attributes.
func nftMessage(kind, flags int, seq uint32, family uint8, resource uint16, attrs []byte) []byte {
	b := make([]byte, 0, unix.SizeofNlMsghdr+nl.SizeofNfgenmsg+len(attrs))
	order := binary.NativeEndian
	b = order.AppendUint32(b, uint32(cap(b)))
	b = order.AppendUint16(b, uint16(kind))
	b = order.AppendUint16(b, uint16(flags|unix.NLM_F_REQUEST))
	b = order.AppendUint32(b, seq)
	b = order.AppendUint32(b, 0)
	b = append(b, family, nl.NFNETLINK_V0)
	b = binary.BigEndian.AppendUint16(b, resource)
	return append(b, attrs...)
}

func readAck(s *nl.NetlinkSocket, table string) error {
	msgs, _, err := s.Receive()
	if err != nil {
		return fmt.Errorf("nftables table %s: delete: %w", table, err)
	}
	for _, m := range msgs {
		if m.Header.Type != unix.NLMSG_ERROR || len(m.Data) < 4 {
			continue
		}
		if code := int32(nl.NativeEndian().Uint32(m.Data)); code != 0 && unix.Errno(-code) != unix.ENOENT {
			return fmt.Errorf("nftables table %s: delete: %w", table, unix.Errno(-code))
		}
	}
	return nil
}
