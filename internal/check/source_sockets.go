package check

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// socketFiles are where the kernel lists the sockets of a protocol.
func socketFiles(protocol string) []string {
	return []string{"/proc/net/" + protocol, "/proc/net/" + protocol + "6"}
}

// listeners returns the addresses on which something listens on a port.
func (f *facts) listeners(protocol string, port uint16) ([]netip.Addr, verdict) {
	if f.mode != Booted {
		return nil, undecided("the ports are the build host's")
	}
	var found []netip.Addr
	for i, file := range socketFiles(protocol) {
		text, there, v := f.text(file)
		if v.outcome != "" {
			return nil, v
		}
		// A kernel without IPv6 has no list of it.
		if !there && i == 0 {
			return nil, f.unread(file)
		}
		for _, s := range parseSockets(text, protocol) {
			if s.Port() == port {
				found = appendNew(found, s.Addr())
			}
		}
	}
	slices.SortFunc(found, netip.Addr.Compare)
	return found, verdict{}
}

// The states of sockets to which others may send: TCP_LISTEN, and for UDP
// TCP_CLOSE, which is every one that is not connected: include/net/tcp_states.h.
var openStates = map[string]string{"tcp": "0A", "udp": "07"}

// parseSockets reads /proc/net/tcp and its kin, proc_pid_net(5), and returns the
// local ends of those that listen.
func parseSockets(text, protocol string) []netip.AddrPort {
	var found []netip.AddrPort
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 4 || fields[3] != openStates[protocol] {
			continue
		}
		address, digits, ok := strings.Cut(fields[1], ":")
		raw, err := hex.DecodeString(address)
		port, err2 := strconv.ParseUint(digits, 16, 16)
		if !ok || err != nil || err2 != nil || (len(raw) != 4 && len(raw) != 16) {
			continue
		}
		// Each group of four bytes is a number in the order of the machine, which
		// is little-endian on all that images are baked for.
		for i := 0; i < len(raw); i += 4 {
			slices.Reverse(raw[i : i+4])
		}
		a, _ := netip.AddrFromSlice(raw)
		found = append(found, netip.AddrPortFrom(a.Unmap(), uint16(port)))
	}
	return found
}
