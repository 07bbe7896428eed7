// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fairway-project/fairway/test/harness"
	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/gopacket/gopacket/layers"
)

// rule is one that an operator may have in FORWARD; empty fields match everything.
type rule struct {
	in, src, dst string
	proto        string
	port         int
	state        string
	verdict      string
	// reset has reject answer TCP with a reset instead of an ICMP error.
	reset bool
}

// firewall is a program that writes rules in front of all others of FORWARD.
type firewall struct {
	name          string
	insert, clear func(t *testing.T, n *harness.Netns, f harness.Family, rules []rule)
}

func firewalls() []firewall {
	return []firewall{byIPTables("nft"), byIPTables("legacy"), {"nft", insertNFT, clearNFT}}
}

func byIPTables(variant string) firewall {
	each := func(op string) func(*testing.T, *harness.Netns, harness.Family, []rule) {
		return func(t *testing.T, n *harness.Netns, f harness.Family, rules []rule) {
			t.Helper()
			for i := len(rules) - 1; i >= 0; i-- {
				n.Must(t, map[int]string{4: "iptables-", 6: "ip6tables-"}[f.V]+variant, append([]string{"-w", op, "FORWARD"}, rules[i].iptables()...)...)
			}
		}
	}
	return firewall{"iptables-" + variant, each("-I"), each("-D")}
}

func (r rule) iptables() (args []string) {
	add := func(value string, words ...string) {
		if value != "" {
			args = append(args, append(words, value)...)
		}
	}
	add(r.in, "-i")
	add(r.src, "-s")
	add(r.dst, "-d")
	add(r.proto, "-p")
	if r.port != 0 {
		add(strconv.Itoa(r.port), "--dport")
	}
	add(strings.ToUpper(r.state), "-m", "conntrack", "--ctstate")
	args = append(args, "-j", strings.ToUpper(r.verdict))
	if r.reset {
		args = append(args, "--reject-with", "tcp-reset")
	}
	return args
}

func insertNFT(t *testing.T, n *harness.Netns, f harness.Family, rules []rule) {
	t.Helper()
	script := "add table inet operator; add chain inet operator forward { type filter hook forward priority -10; };"
	for _, r := range rules {
		script += " add rule inet operator forward " + r.nft(f) + ";"
	}
	n.Must(t, "nft", script)
}

func clearNFT(t *testing.T, n *harness.Netns, _ harness.Family, _ []rule) {
	t.Helper()
	n.Must(t, "nft", "delete table inet operator")
}

func (r rule) nft(f harness.Family) string {
	ip := map[int]string{4: "ip", 6: "ip6"}[f.V]
	text := "meta nfproto ipv" + strconv.Itoa(f.V)
	if r.in != "" {
		text += " iifname " + r.in
	}
	if r.src != "" {
		text += " " + ip + " saddr " + r.src
	}
	if r.dst != "" {
		text += " " + ip + " daddr " + r.dst
	}
	if r.proto != "" {
		text += fmt.Sprintf(" %s dport %d", r.proto, r.port)
	}
	if r.state != "" {
		text += " ct state " + r.state
	}
	if text += " " + r.verdict; r.reset {
		text += " with tcp reset"
	}
	return text
}

// with lets rules hold while fn runs.
func (fw firewall) with(t *testing.T, n *harness.Netns, f harness.Family, rules []rule, fn func()) {
	t.Helper()
	fw.insert(t, n, f, rules)
	fn()
	fw.clear(t, n, f, rules)
}

func drop(r rule) rule { r.verdict = "drop"; return r }

// onlyAnswers lets nothing in but answers, and no segment that conntrack doubts.
func onlyAnswers() []rule {
	return []rule{{state: "invalid", verdict: "drop"}, {state: "established", verdict: "accept"}, drop(rule{in: "eth0"})}
}

// The host's rules judge new connections in both directions, on the container's side
// of all translation.
func TestRulesJudgeConnections(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp", "-p", "8081:81", "-p", "8081:81/udp")
		serve(t, c1.Netns, 80, "c1")
		serve(t, c1.Netns, 81, "c1")
		serve(t, e.WAN, 80, "wan")
		for _, fw := range firewalls() {
			e.EachFamily(t, func(t *testing.T, f harness.Family) {
				open := func() {
					t.Helper()
					seenFrom(t, harness.Reaches(t, e.LAN1, f.Host, 8080, "c1"), f.LAN1)
					seenFrom(t, harness.Reaches(t, c1.Netns, f.WAN, 80, "wan"), f.Host)
				}
				open()
				fw.with(t, e.Host, f, []rule{drop(rule{src: f.LAN2})}, func() {
					harness.Misses(t, e.LAN2, f.Host, 8080)
					open()
				})
				harness.Reaches(t, e.LAN2, f.Host, 8080, "c1")
				inside := c1.IP(t, "a", f)
				fw.with(t, e.Host, f, []rule{drop(rule{dst: inside, proto: "tcp", port: 80}), drop(rule{dst: inside, proto: "udp", port: 80})}, func() {
					harness.Misses(t, e.LAN2, f.Host, 8080)
					harness.Reaches(t, e.LAN2, f.Host, 8081, "c1")
				})
				fw.with(t, e.Host, f, []rule{drop(rule{src: inside, dst: f.WAN})}, func() {
					harness.Misses(t, c1.Netns, f.WAN, 80)
				})
				fw.with(t, e.Host, f, onlyAnswers(), func() {
					harness.Misses(t, e.LAN2, f.Host, 8080)
					seenFrom(t, harness.Reaches(t, c1.Netns, f.WAN, 80, "wan"), f.Host)
				})
				open()
			})
		}
	}, harness.FirstPacket())
}

// REJECT answers a client outside from the address that it asked, about the packet that
// it sent: as if the host itself had refused.
func TestRulesRefuse(t *testing.T) {
	second := map[int]string{4: "192.0.2.2", 6: "2001:db8::2"}
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		serve(t, c1.Netns, 80, "c1")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			rules := map[string]rule{
				"error": {src: f.LAN2, verdict: "reject"},
				"reset": {src: f.LAN2, dst: c1.IP(t, "a", f), proto: "tcp", port: 80, verdict: "reject", reset: true},
			}
			for host, fw := range map[string]firewall{f.Host: firewalls()[0], second[f.V]: firewalls()[2]} {
				for name, r := range rules {
					fw.with(t, e.Host, f, []rule{r}, func() { refusedByRule(t, e, f, host, r.reset, fw.name+", "+name) })
				}
			}
			harness.Reaches(t, e.LAN2, f.Host, 8080, "c1")
		})
	}, harness.FirstPacket(), harness.Prepare(func(t testing.TB, w *harness.Topology) {
		w.Host.IP(t, "addr add "+second[4]+"/24 dev eth0", "addr add "+second[6]+"/64 dev eth0 nodad")
	}))
}

// refusedByRule demands the answers of a rule that refuses LAN2, and looks at their frames.
func refusedByRule(t *testing.T, e *harness.Env, f harness.Family, host string, reset bool, what string) {
	t.Helper()
	answers := harness.Sniff(t, e.LAN2, "eth0", nil)
	probes := harness.Probes()
	if reset {
		delete(probes, "udp")
	}
	for name, probe := range probes {
		harness.Eventually(t, what+": "+name+" to "+host+" to be refused", func() error {
			_, err := probe(e.LAN2, at(host, 8080))
			if got := harness.Classify(err); got != harness.Reset {
				return fmt.Errorf("%s: %v", got, err)
			}
			return nil
		})
	}
	answer := func(p packet) bool {
		_, isReset := p.TransportLayer().(*layers.TCP)
		return isReset == reset && (isReset || p.Layer(layers.LayerTypeICMPv4) != nil || p.Layer(layers.LayerTypeICMPv6) != nil) && !isND(p)
	}
	p := answers.Wait(t, what+": answer", answer)
	if src := p.NetworkLayer().NetworkFlow().Src().String(); src != host {
		t.Errorf("%s: %s answers for %s", what, src, host)
	}
	// A veth leaves a reset's checksum unfinished.
	if err := frame.Check(p.Data()); err != nil && !reset {
		t.Errorf("%s: answer of %s: %v", what, host, err)
	}
	hidden := net.ParseIP(e.Inspect(t, "c1").NetworkSettings.Networks["a"].IPAddress).To4()
	if f.Is6() {
		hidden = net.ParseIP(e.Inspect(t, "c1").NetworkSettings.Networks["a"].GlobalIPv6Address)
	}
	if found := answers.Seen(harness.Contains(string(hidden))); len(found) > 0 {
		t.Errorf("%s: an answer tells the container's address:\n%s", what, found[0])
	}
}

// isND tells neighbour discovery from errors.
func isND(p packet) bool {
	l, ok := p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
	return ok && l.TypeCode.Type() >= layers.ICMPv6TypeRouterSolicitation
}

// A rule that comes later ends what runs, with the daemon and without, and what it
// ended goes on when it goes.
func TestRulesCutRunningConnections(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		serve(t, c1.Netns, 80, "c1")
		serve(t, e.WAN, 80, "wan")
		check := func(t *testing.T, f harness.Family, fw firewall) {
			in, out := connect(t, e.LAN1, at(f.Host, 8080)), connect(t, c1.Netns, at(f.WAN, 80))
			defer in.close()
			defer out.close()
			fw.with(t, e.Host, f, []rule{drop(rule{src: f.LAN1}), drop(rule{dst: f.WAN})}, func() {
				areCut(t, in, out)
			})
			in.mended(t)
			out.mended(t)
		}
		for _, fw := range firewalls() {
			e.EachFamily(t, func(t *testing.T, f harness.Family) { check(t, f, fw) })
		}
		// Nothing of this needs the daemon.
		e.Daemon.Kill(t)
		check(t, harness.V4(), firewalls()[0])
		check(t, harness.V6(), firewalls()[1])
		e.Daemon.Start(t)
	}, harness.FirstPacket())
}

// running is a pair of connections to one server.
type running struct {
	tcp *harness.TCPConn
	udp *harness.UDPConn
}

func connect(t *testing.T, n *harness.Netns, dst string) *running {
	t.Helper()
	tcp, err := harness.DialTCP(n, dst)
	if err != nil {
		t.Fatal(err)
	}
	udp, err := harness.DialUDP(n, dst)
	if err != nil {
		t.Fatal(err)
	}
	r := &running{tcp, udp}
	for i := range 10 {
		if err := r.exchange(harness.Patience); err != nil {
			t.Fatalf("exchange %d: %v", i, err)
		}
	}
	return r
}

func (r *running) close() {
	r.tcp.Close()
	r.udp.Close()
}

func (r *running) exchange(limit time.Duration) error {
	if _, err := r.udp.Exchange(8, limit); err != nil {
		return fmt.Errorf("udp: %w", err)
	}
	return nil
}

// areCut waits until neither datagrams nor lines get an answer.
func areCut(t *testing.T, all ...*running) {
	t.Helper()
	for _, r := range all {
		harness.Eventually(t, "datagrams to be cut off", func() error {
			if r.exchange(harness.Silence) == nil {
				return fmt.Errorf("answered")
			}
			return nil
		})
	}
	// Without the daemon a flow asks again about once a second. The line that gets no answer is
	// sent again after 0.2 s, 0.4 s more, and so on, and is answered when all is mended.
	for _, r := range all {
		harness.Eventually(t, "lines to be cut off", func() error {
			if _, err := r.tcp.Write([]byte("held up\n")); err != nil {
				t.Fatal(err)
			}
			_ = r.tcp.SetDeadline(time.Now().Add(time.Second))
			if n, err := r.tcp.Read(make([]byte, 100)); err == nil {
				return fmt.Errorf("%d bytes came through", n)
			}
			return nil
		})
	}
}

// mended waits for the answers, of what was sent before too.
func (r *running) mended(t *testing.T) {
	t.Helper()
	harness.Eventually(t, "datagrams to pass", func() error { return r.exchange(harness.Silence) })
	_ = r.tcp.SetDeadline(time.Now().Add(harness.Patience))
	buf := make([]byte, 100)
	n, err := r.tcp.Read(buf)
	if err != nil || string(buf[:n]) != "held up\n" {
		t.Errorf("%q, %v", buf[:n], err)
	}
}

// Long transfers, datagrams in fragments and resets do well beside rules that mistrust
// whatever conntrack doubts, though it sees some of the packets only; and most go past
// it.
func TestConntrackBearsWithIt(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a")
		serve(t, e.WAN, 80, "wan")
		fw := firewalls()[2]
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			fw.with(t, e.Host, f, onlyAnswers(), func() {
				before := forwardedBy(t, e, "ebpf")
				// Past netfilter go a few thousand packets; all of them, where it judges each.
				const enough, most = 5000, 100
				for n := 0; n < most && (e.Mode == harness.IPTables && n < 4 || e.Mode == harness.EBPF && forwardedBy(t, e, "ebpf")-before < enough); n++ {
					tcp, err := harness.DialTCP(c1.Netns, at(f.WAN, 80))
					if err != nil {
						t.Fatal(err)
					}
					if err := tcp.Bulk(8 << 20); err != nil {
						t.Fatal(err)
					}
					tcp.Close()
				}
				if n := forwardedBy(t, e, "ebpf") - before; e.Mode == harness.EBPF && n < enough {
					t.Errorf("%d packets went past netfilter", n)
				}
				udp, err := harness.DialUDP(c1.Netns, at(f.WAN, 80))
				if err != nil {
					t.Fatal(err)
				}
				defer udp.Close()
				for i := range 20 {
					if _, err := udp.Exchange(4000, harness.Patience); err != nil {
						t.Errorf("datagram %d in fragments: %v", i, err)
					}
				}
				if err := harness.Ping(c1.Netns, f.WAN, "-s", "3000"); err != nil {
					t.Error(err)
				}
			})
		})
	}, harness.FirstPacket())
}

func forwardedBy(t *testing.T, e *harness.Env, path string) uint64 {
	t.Helper()
	var status struct {
		Stats struct {
			Forwarded map[string]struct{ Packets uint64 }
		}
	}
	e.JSON(t, &status, "status", "-o", "json")
	return status.Stats.Forwarded[path].Packets
}

// What netfilter never lets in fills no table.
func TestRefusedConnectionsLeaveNothing(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80/udp")
		serve(t, c1.Netns, 80, "c1")
		serve(t, e.WAN, 80, "wan")
		f := harness.V4()
		firewalls()[0].with(t, e.Host, f, []rule{drop(rule{src: f.LAN2}), drop(rule{dst: f.WAN})}, func() {
			for _, w := range []walk{{e.LAN2, at(f.Host, 8080)}, {c1.Netns, at(f.WAN, 80)}} {
				for range 100 {
					u, err := harness.DialUDP(w.from, w.dst)
					if err != nil {
						t.Fatal(err)
					}
					_, _ = u.Write([]byte("knock"))
					u.Close()
				}
			}
			harness.Reaches(t, e.Host, c1.IP(t, "a", f), 80, "c1")
			if out := e.Must(t, "flow", "ls"); strings.Contains(out, f.LAN2) || strings.Contains(out, f.WAN) {
				t.Errorf("flows are\n%s", out)
			}
		})
	}, harness.FirstPacket(), harness.OnlyMode(harness.EBPF))
}

// Conntrack forgets a container's connections with the container: who gets its address
// begins anew, in the eyes of the rules too.
func TestConntrackForgetsWithTheContainer(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80")
		serve(t, c1.Netns, 80, "c1")
		serve(t, e.WAN, 80, "wan")
		firewalls()[2].with(t, e.Host, harness.V4(), onlyAnswers()[:2], func() {
			for _, w := range []walk{{e.LAN1, at(harness.HostIP4, 8080)}, {c1.Netns, at(harness.WANIP4, 80)}} {
				tcp, err := harness.DialTCP(w.from, w.dst)
				if err != nil {
					t.Fatal(err)
				}
				defer tcp.Close()
				if err := tcp.Echo("established"); err != nil {
					t.Fatal(err)
				}
			}
			ip := c1.IP(t, "a", harness.V4())
			established := func() int {
				n := 0
				for line := range strings.Lines(e.Host.Must(t, "cat", "/proc/net/nf_conntrack")) {
					if strings.Contains(line, "ESTABLISHED") && strings.Contains(line, "src="+ip+" ") {
						n++
					}
				}
				return n
			}
			if n := established(); n != 2 {
				t.Errorf("conntrack has %d connections of the container", n)
			}
			// Packets that come while the container goes: each removes the flow that it finds void.
			for range 20 {
				busy, err := harness.DialTCP(e.LAN1, at(harness.HostIP4, 8080))
				if err != nil {
					t.Fatal(err)
				}
				defer busy.Close()
				go func() {
					for t.Context().Err() == nil {
						if _, err := busy.Write([]byte("still here\n")); err != nil {
							return
						}
						time.Sleep(time.Millisecond)
					}
				}()
			}
			e.Must(t, "rm", "--force", "c1")
			harness.Eventually(t, "conntrack to forget", func() error {
				if n := established(); n != 0 {
					return fmt.Errorf("%d connections are left", n)
				}
				return nil
			})
		})
	}, harness.FirstPacket(), harness.OnlyMode(harness.EBPF))
}

// The mode asks for a host that forwards, and leaves conntrack as it was.
func TestFirstPacketNeedsForwarding(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		const strict = "/proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal"
		e.Daemon.Args = append(e.Daemon.Args, "--netfilter", "first-packet")
		if err := e.Daemon.TryStart(); err == nil || !strings.Contains(e.Daemon.Log(), "net.ipv4.ip_forward is 0") {
			t.Errorf("%v: %s", err, e.Daemon.Log())
		}
		e.Host.Sysctl(t, "ipv4/ip_forward", "1")
		e.Daemon.Start(t)
		if got := e.Host.Must(t, "cat", strict); strings.TrimSpace(got) != "1" {
			t.Errorf("conntrack is %q", got)
		}
		if out := e.Must(t, "status"); !strings.Contains(out, "first-packet") {
			t.Errorf("status is\n%s", out)
		}
		e.Refused(t, []string{"net.ipv6.conf.all.forwarding is 0"}, "network", "create", "--ipv6", "--subnet", "fd00:77::/64", "six")
		e.Daemon.Stop(t)
		e.Daemon.Args = e.Daemon.Args[:len(e.Daemon.Args)-2]
		e.Daemon.Start(t)
		if got := e.Host.Must(t, "cat", strict); strings.TrimSpace(got) != "0" {
			t.Errorf("without the mode conntrack is %q", got)
		}
		e.Host.Sysctl(t, "ipv4/ip_forward", "0")
	}, harness.OnlyMode(harness.EBPF), harness.NoDaemon())
}
