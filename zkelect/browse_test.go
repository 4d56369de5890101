package zkelect

import (
	"slices"
	"testing"

	"github.com/go-zookeeper/zk"

	"zkelect/zkelect/zktest"
)

func TestBrowse(t *testing.T) {
	e := newElection(t, zktest.Shared(t))
	const uuid = "0f5d4f40-0f65-4b8b-a2ba-aaaaaaaaaaaa"
	for _, node := range []string{
		"/jobs", "/jobs/.zkelect-led", "/jobs/led", "/jobs/.zkelect-reaped", "/jobs/leaf", "/jobs/team", "/jobs/team/x",
		"/jobs/curator", "/jobs/curator/_c_" + uuid + "-latch-0000000001", "/jobs/curator/stranger",
		"/zookeeper",
	} {
		_, err := e.eye.Create(e.abs(node), nil, 0, zk.WorldACL(zk.PermAll))
		noError(t, err)
	}
	i, err := Open(t.Context(), e.config("").Config)
	noError(t, err)
	defer i.Close()
	for _, test := range []struct {
		dir, prefix string
		want        []Below
	}{
		{"/", "", []Below{{Path: "/jobs", Folder: true}}},
		{"/jobs", "", []Below{
			{Path: "/jobs/curator", Election: true}, {Path: "/jobs/leaf"}, {Path: "/jobs/led", Election: true},
			{Path: "/jobs/reaped", Election: true}, {Path: "/jobs/team", Folder: true}}},
		{"/jobs", "le", []Below{{Path: "/jobs/leaf"}, {Path: "/jobs/led", Election: true}}},
		{"/jobs/curator", "", []Below{{Path: "/jobs/curator/stranger"}}},
		{"/none", "", nil},
	} {
		got, err := i.Browse(t.Context(), test.dir, test.prefix)
		if noError(t, err); !slices.Equal(got, test.want) {
			t.Errorf("%s, %q: %+v", test.dir, test.prefix, got)
		}
	}
}
