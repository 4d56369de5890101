package zkelect

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestParseConnectString(t *testing.T) {
	for _, test := range []struct {
		in      string
		servers string // separated by spaces
		chroot  string
	}{
		{"zk1", "zk1:2181", ""},
		{"zk1:2182", "zk1:2182", ""},
		{"zk1,zk2:2182,10.0.0.3", "zk1:2181 zk2:2182 10.0.0.3:2181", ""},
		{"zk1,zk2/a/b", "zk1:2181 zk2:2181", "/a/b"},
		{"zk1:2181/", "zk1:2181", ""},
		{" zk1 , zk2:2181 ,", "zk1:2181 zk2:2181", ""},
		{"zk1,zk1:2181,ZK1:02181,zk2", "zk1:2181 zk2:2181", ""},
		{"[::1]", "[::1]:2181", ""},
		{"[::1]:2182/x", "[::1]:2182", "/x"},
		{"[fe80::1%eth0]:2181", "[fe80::1%eth0]:2181", ""},
		{"zk_1.docker-net", "zk_1.docker-net:2181", ""},
	} {
		got, err := ParseConnectString(test.in)
		if err != nil || !slices.Equal(got.Servers, strings.Fields(test.servers)) || got.Chroot != test.chroot {
			t.Errorf("%q: %q, %v", test.in, got, err)
		}
	}
	for in, want := range map[string]string{
		"":                       "names no server",
		",":                      "names no server",
		"/a":                     "names no server",
		"zk://zk1:2181":          `leave out "zk://"`,
		"::1":                    "[::1]:2181",
		"fe80::1:2181":           "brackets",
		"[::1":                   "closing bracket",
		"[zk1]:2181":             "no IPv6 address",
		"[10.0.0.1]":             "no IPv6 address",
		"[::1]2181":              "something other than :port",
		"zk1:":                   "1 to 65535",
		"zk1:0":                  "1 to 65535",
		"zk1:65536":              "1 to 65535",
		"zk1:+1":                 "1 to 65535",
		"zk1:client":             "1 to 65535",
		":2181":                  "no host name",
		"zk1 zk2":                "commas",
		"zk1;zk2":                "commas",
		"zk1@home":               "'@' in its host name",
		"zk1\n":                  "",
		"zk1,z\x00k2":            "in its host name",
		strings.Repeat("z", 254): "longer than 253",
		"zk1/a,zk2/a":            "at the end",
		"zk1/a/":                 "ends with /",
		"zk1//a":                 "empty element",
		"zk1/a/../b":             `".."`,
		"zk1/zookeeper":          "reserved",
		"zk1/.zkelect-a":         "zkelect's own",
	} {
		got, err := ParseConnectString(in)
		if want == "" {
			if err != nil {
				t.Errorf("%q: %v", in, err)
			}
			continue
		}
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, %v; want %s", in, got, err, want)
		}
	}
}

func TestValidatePath(t *testing.T) {
	for _, path := range []string{"/a", "/jobs/billing", "/a b/ü/日本", "/.a/..b/...", "/zookeeperx", "/a/zookeeper", "/zkelect-x", "/a.zkelect-b", "/" + strings.Repeat("x", 4095)} {
		if err := ValidatePath(path); err != nil {
			t.Errorf("%q: %v", path, err)
		}
	}
	for path, want := range map[string]string{
		"": "empty", "/": "root", "a": "begin with /", "./a": "begin with /", "/a/": "ends with /", "//a": "empty element", "/a//b": "empty element",
		"/.": `"."`, "/a/./b": `"."`, "/a/..": `".."`, "/zookeeper": "reserved", "/zookeeper/quota": "reserved",
		"/.zkelect-a": "zkelect's own", "/a/.zkelect-/b": "zkelect's own", "/a\x00": "refuses", "/a\n": "refuses", "/a\x7f": "refuses", "/a\u0085": "refuses",
		"/\ue000": "refuses", "/\uf8ff": "refuses", "/\ufff0": "refuses", "/\U0001f600": "refuses", "/\xff": "UTF-8", "/" + strings.Repeat("x", 4096): "at most",
	} {
		if err := ValidatePath(path); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %s", path, err, want)
		}
	}
}

func FuzzParseConnectString(f *testing.F) {
	for _, seed := range []string{"", "zk1", "zk1:2181,zk2/a/b", "[::1]:2181", "::1", "zk://x", "a,,b,/", "zk1:99999", "[fe80::1%25e]:1/x", "\xff:1", "a:1/b,c", "\x1b::0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseConnectString(s)
		if err != nil {
			if !errors.Is(err, ErrConfig) || strings.ContainsAny(err.Error(), "\n\x1b") || c.Servers != nil && c.Chroot != "" {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		if len(c.Servers) == 0 || strings.HasSuffix(c.Chroot, "/") {
			t.Errorf("%q: %q", s, c)
		}
		// What was parsed is a connect string of the same meaning.
		again, err := ParseConnectString(strings.Join(c.Servers, ",") + c.Chroot)
		if err != nil || !slices.Equal(again.Servers, c.Servers) || again.Chroot != c.Chroot {
			t.Errorf("%q: %q, again %q, %v", s, c, again, err)
		}
	})
}

func FuzzValidatePath(f *testing.F) {
	for _, seed := range []string{"", "/", "/a", "/a/", "/a/../b", "/.zkelect-a", "/zookeeper", "/\xff", "/a\x00b", "//", "/\U0001f600"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		err := ValidatePath(path)
		if err != nil {
			if !errors.Is(err, ErrConfig) || strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Errorf("%q: %v", path, err)
			}
			return
		}
		// Nobody may land above or beside what was named.
		if path[0] != '/' || strings.Contains(path, "//") || strings.Contains(path+"/", "/../") || strings.Contains(path, "/"+sidePrefix) {
			t.Errorf("accepted %q", path)
		}
	})
}
