package cgroup

import (
	"testing"
	"testing/fstest"
)

func TestMemoryLimit(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name  string
		files map[string]string
		want  int64 // 0 is none
	}{
		{"no control groups", map[string]string{}, 0},
		{"a service of systemd", map[string]string{
			"proc/self/cgroup": "0::/system.slice/milterd.service\n",
			"sys/fs/cgroup/system.slice/milterd.service/memory.max": "536870912\n",
			"sys/fs/cgroup/system.slice/memory.max":                 "max\n",
		}, 512 * mib},
		{"no limit", map[string]string{
			"proc/self/cgroup": "0::/system.slice/milterd.service\n",
			"sys/fs/cgroup/system.slice/milterd.service/memory.max":  "max\n",
			"sys/fs/cgroup/system.slice/milterd.service/memory.high": "max\n",
		}, 0},
		{"the slice above has less", map[string]string{
			"proc/self/cgroup": "0::/mail.slice/milterd.service\n",
			"sys/fs/cgroup/mail.slice/milterd.service/memory.max": "536870912\n",
			"sys/fs/cgroup/mail.slice/memory.max":                 "268435456\n",
		}, 256 * mib},
		{"slowed down before it is killed", map[string]string{
			"proc/self/cgroup":                          "0::/milterd.service\n",
			"sys/fs/cgroup/milterd.service/memory.max":  "536870912\n",
			"sys/fs/cgroup/milterd.service/memory.high": "402653184\n",
		}, 384 * mib},
		{"a container with a view of its own", map[string]string{
			"proc/self/cgroup":         "0::/\n",
			"sys/fs/cgroup/memory.max": "134217728\n",
		}, 128 * mib},
		{"version 1", map[string]string{
			"proc/self/cgroup": "12:cpu,cpuacct:/docker/abc\n5:memory:/docker/abc\n1:name=systemd:/x\n",
			"sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes":    "1073741824\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":               "9223372036854771712\n",
			"sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us":    "100000\n",
			"sys/fs/cgroup/docker/abc/memory.max":                      "1\n", // nobody's
			"sys/fs/cgroup/memory/docker/other/memory.limit_in_bytes":  "1\n",
			"sys/fs/cgroup/memory/docker/abc/memory.soft_limit_in_byt": "1\n",
		}, 1024 * mib},
		{"version 1 in a container that sees its own group as the root", map[string]string{
			"proc/self/cgroup":                           "5:memory:/docker/abc\n0::/docker/abc\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "67108864\n",
		}, 64 * mib},
		{"version 1 without a limit", map[string]string{
			"proc/self/cgroup": "5:memory:/a\n",
			"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "9223372036854771712\n",
		}, 0},
		{"version 2 beside version 1", map[string]string{
			"proc/self/cgroup": "1:cpu:/\n0::/system.slice/milterd.service\n",
			"sys/fs/cgroup/unified/system.slice/milterd.service/memory.max": "268435456\n",
			"sys/fs/cgroup/unified/system.slice/memory.max":                 "max\n",
		}, 256 * mib},
		{"nonsense", map[string]string{
			"proc/self/cgroup":           "0\n\n:::\n0::../../etc\nx:y\n0::/a\n",
			"sys/fs/cgroup/a/memory.max": "-5\n",
			"sys/fs/cgroup/memory.max":   "much\n",
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := fstest.MapFS{}
			for name, text := range c.files {
				files[name] = &fstest.MapFile{Data: []byte(text)}
			}
			got, limited := MemoryLimit(files)
			if limited != (c.want != 0) || limited && got != c.want {
				t.Errorf("got %d, %v, want %d", got, limited, c.want)
			}
		})
	}
}

// Whatever the files say, the answer is a positive number or none.
func FuzzMemoryLimit(f *testing.F) {
	f.Add("0::/a/b\n", "123\n")
	f.Add("5:memory,cpu:/a\n0::/../x\n", "9223372036854775807")
	f.Fuzz(func(t *testing.T, groups, limit string) {
		file := &fstest.MapFile{Data: []byte(limit)}
		n, limited := MemoryLimit(fstest.MapFS{
			"proc/self/cgroup": {Data: []byte(groups)}, "sys/fs/cgroup/memory.max": file,
			"sys/fs/cgroup/a/memory.high": file, "sys/fs/cgroup/memory/a/memory.limit_in_bytes": file,
		})
		if limited && (n <= 0 || n >= unlimited) {
			t.Errorf("%d bytes", n)
		}
	})
}
