package lab

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// machine makes a root directory with these files. A name that ends in a slash is an empty directory.
func machine(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const (
	mountsV1 = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n" +
		"32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n" +
		"35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n" +
		"41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
	mountsV2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
)

func TestGroupParent(t *testing.T) {
	for name, test := range map[string]struct {
		files map[string]string
		want  string // below the root; "" where there can be none
		v2    bool
	}{
		"version 1: below our own": {map[string]string{
			"proc/self/cgroup": "9:name=systemd:/\n4:memory:/user/a\n1:cpu:/other\n0::/\n", "proc/self/mountinfo": mountsV1,
		}, "sys/fs/cgroup/memory/user/a", false},
		"version 1: a container that sees a part": {map[string]string{
			"proc/self/cgroup":    "4:cpu,memory:/docker/abc/x\n",
			"proc/self/mountinfo": "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,cpu,memory\n",
		}, "sys/fs/cgroup/memory/x", false},
		"version 1: another's part": {map[string]string{
			"proc/self/cgroup":    "4:memory:/docker/abc\n",
			"proc/self/mountinfo": "35 31 0:32 /docker/other /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
		}, "", false},
		"version 1: not mounted": {map[string]string{"proc/self/cgroup": "4:memory:/a\n", "proc/self/mountinfo": mountsV2}, "", false},
		"version 2: beside our own": {map[string]string{
			"proc/self/cgroup": "0::/user.slice/session-1.scope\n", "proc/self/mountinfo": mountsV2,
			"sys/fs/cgroup/user.slice/session-1.scope/cgroup.subtree_control": "\n",
			"sys/fs/cgroup/user.slice/cgroup.subtree_control":                 "cpu memory pids\n",
			"sys/fs/cgroup/cgroup.subtree_control":                            "cpu memory\n",
		}, "sys/fs/cgroup/user.slice", true},
		"version 2: on top": {map[string]string{
			"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": mountsV2, "sys/fs/cgroup/cgroup.subtree_control": "memory\n",
		}, "sys/fs/cgroup", true},
		"version 2: nobody hands it on": {map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "proc/self/mountinfo": mountsV2, "sys/fs/cgroup/a/cgroup.subtree_control": "cpu\n",
		}, "", true},
		"version 2 beside a version 1 without memory": {map[string]string{
			"proc/self/cgroup": "1:cpu:/\n0::/a\n", "proc/self/mountinfo": mountsV1,
			"sys/fs/cgroup/unified/a/cgroup.subtree_control": "hugetlb\n", "sys/fs/cgroup/unified/cgroup.subtree_control": "hugetlb memory\n",
		}, "sys/fs/cgroup/unified", true},
		"none":         {map[string]string{"proc/self/cgroup": "1:cpu:/\n", "proc/self/mountinfo": mountsV1}, "", false},
		"another kind": {map[string]string{}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			root := machine(t, test.files)
			dir, v2, err := groupParent(root)
			if test.want == "" {
				if err == nil {
					t.Errorf("got %s, want an error", dir)
				}
				if _, err := newGroup(root, "lab", 1); !errors.Is(err, ErrRefused) {
					t.Errorf("got %v, want %v", err, ErrRefused)
				}
				return
			}
			if err != nil || dir != filepath.Join(root, test.want) || v2 != test.v2 {
				t.Errorf("got %s, %v, %v, want %s, %v", dir, v2, err, test.want, test.v2)
			}
		})
	}
}

// TestGroupFiles: each version has its own names.
func TestGroupFiles(t *testing.T) {
	root := machine(t, map[string]string{
		"one/memory.usage_in_bytes": "4096\n", "one/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n", "one/memory.limit_in_bytes": "1\n",
		"two/memory.current": "8192\n", "two/memory.events": "low 0\nhigh 0\nmax 7\noom 3\noom_kill 3\noom_group_kill 0\n", "two/memory.max": "max\n",
		"old/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\n",
	})
	for _, test := range []struct {
		group group
		used  int64
		kills int
		limit string
	}{
		{group{dir: filepath.Join(root, "one")}, 4096, 2, "memory.limit_in_bytes"},
		{group{dir: filepath.Join(root, "two"), v2: true}, 8192, 3, "memory.max"},
	} {
		used, err := test.group.used()
		if err != nil || used != test.used {
			t.Errorf("%v: used %d, %v, want %d", test.group, used, err, test.used)
		}
		kills, err := test.group.kills()
		if err != nil || kills != test.kills {
			t.Errorf("%v: %d kills, %v, want %d", test.group, kills, err, test.kills)
		}
		if err := test.group.limit(1 << 20); err != nil {
			t.Error(err)
		}
		if text, _ := os.ReadFile(filepath.Join(test.group.dir, test.limit)); !strings.HasPrefix(string(text), "1048576") {
			t.Errorf("%v: the limit is %q", test.group, text)
		}
	}
	if _, err := (&group{dir: filepath.Join(root, "old")}).kills(); !errors.Is(err, ErrRefused) {
		t.Errorf("an old kernel: %v, want %v", err, ErrRefused)
	}
}
