package check

import (
	"net"
	"strings"
	"testing"
)

const tcpTable = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1 0 100 0 0 10 0
   2: 0100007F:0050 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0 100 0 0 10 0
`

const tcp6Table = `  sl  local_address                         remote_address                        st tx_queue rx_queue
   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:0 0 0 0 4
`

const udpTable = `   sl  local_address rem_address   st tx_queue rx_queue
  77: 3500007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 5
`

func TestPort(t *testing.T) {
	all := map[string]string{"/proc/net/tcp": tcpTable, "/proc/net/tcp6": tcp6Table, "/proc/net/udp": udpTable}
	testDecisions(t, map[string]decision{
		"listens":         {mode: Booted, check: `port "22" {}`, files: all, want: Passed, actual: "0.0.0.0"},
		"both families":   {mode: Booted, check: `port "tcp:8080" {}`, files: all, want: Passed, actual: "127.0.0.1, ::1"},
		"only connected":  {mode: Booted, check: `port "80" {}`, files: all, want: Failed, actual: "nothing listens"},
		"none wanted":     {mode: Booted, check: `port "80" { listening = false }`, files: all, want: Passed},
		"none wanted, is": {mode: Booted, check: `port "22" { listening = false }`, files: all, want: Failed},
		"udp":             {mode: Booted, check: `port "udp:53" { addresses = ["127.0.0.53"] }`, files: all, want: Passed},
		"udp is not tcp":  {mode: Booted, check: `port "53" {}`, files: all, want: Failed},
		"address":         {mode: Booted, check: `port "8080" { addresses = ["::1", "127.0.0.1"] }`, files: all, want: Passed},
		"other address":   {mode: Booted, check: `port "8080" { addresses = ["0.0.0.0"] }`, files: all, want: Failed, actual: "127.0.0.1, ::1"},
		"not everywhere":  {mode: Booted, check: `port "8080" { not_addresses = ["0.0.0.0", "::"] }`, files: all, want: Passed},
		"everywhere":      {mode: Booted, check: `port "22" { not_addresses = ["0.0.0.0"] }`, files: all, want: Failed},
		"not of nothing":  {mode: Booted, check: `port "80" { not_addresses = ["0.0.0.0"] }`, files: all, want: Failed, actual: "nothing listens"},
		"no IPv6":         {mode: Booted, check: `port "22" {}`, files: map[string]string{"/proc/net/tcp": tcpTable}, want: Passed},
		"no list":         {mode: Booted, check: `port "22" { listening = false }`, want: Errored},
		"cannot be seen":  {mode: Booted, check: `port "22" { listening = false }`, files: map[string]string{"/proc/net/tcp": "?"}, want: Errored},
		"never of the host": {
			mode: Offline, check: "port \"22\" {\n requires = \"boot\"\n}", files: all, want: Errored, actual: "the build host's",
		},
	})
}

func TestPortsThatAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		`port "22" {}`:     "service block with enabled = true",
		`port "http" {}`:   "is not a port",
		`port "0" {}`:      "is not a port",
		`port "sctp:1" {}`: "is not a port",
		"port \"22\" {\n addresses = []\n requires = \"boot\"\n}":                                    "empty list",
		"port \"22\" {\n addresses = [\"localhost\"]\n requires = \"boot\"\n}":                       "is not an address",
		"port \"22\" {\n listening = false\n addresses = [\"::1\"]\n requires = \"boot\"\n}":         "leaves no addresses",
		"port \"22\" {\n not_addresses = [\"::1\"]\n addresses = [\"::1\"]\n requires = \"boot\"\n}": "in not_addresses too",
	} {
		_, problems := compileText(t, Offline, text)
		if len(problems) != 1 || !strings.Contains(problems[0], want) {
			t.Errorf("%s: %q, want %q", text, problems, want)
		}
	}
}

// A port of this machine, as its kernel lists it.
func TestPortOfThisMachine(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, number, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	onEachShell(t, func(t *testing.T, shell local) {
		report, err := Run(t.Context(), mustCompile(t, Booted, `port "`+number+`" {
  addresses     = ["127.0.0.1"]
  not_addresses = ["0.0.0.0"]
}`), Target{Shell: shell, Mode: Booted})
		if err != nil {
			t.Fatal(err)
		}
		if err := report.Err(Low); err != nil || report.Counts()[Passed] != 2 {
			t.Errorf("%v: %v", report.Counts(), err)
		}
	})
}

func FuzzSockets(f *testing.F) {
	f.Add(tcpTable)
	f.Add(tcp6Table)
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range parseSockets(text, "tcp") {
			if !s.IsValid() {
				t.Errorf("%v", s)
			}
		}
	})
}
