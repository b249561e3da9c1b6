package daemon

import "testing"

func TestPlanMemory(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name                     string
		inflight, group, runtime int64
		env                      map[string]string
		want                     memoryPlan
	}{
		{"no control group", 512 * mib, 0, 1 << 62, nil,
			memoryPlan{percent: 300, soft: 768 * mib, inflight: 384 * mib, long: 128 * mib, buffers: 8 * mib}},
		{"a large group changes nothing", 512 * mib, 4096 * mib, 1 << 62, nil,
			memoryPlan{percent: 300, soft: 768 * mib, inflight: 384 * mib, long: 128 * mib, buffers: 8 * mib}},
		{"a small group", 512 * mib, 400 * mib, 1 << 62, nil,
			memoryPlan{percent: 300, soft: 360 * mib, inflight: 135 * mib, long: 45 * mib, buffers: 8 * mib}},
		{"GOMEMLIMIT wins over the group", 512 * mib, 100 * mib, 640 * mib, map[string]string{"GOMEMLIMIT": "640MiB"},
			memoryPlan{percent: 300, inflight: 288 * mib, long: 96 * mib, buffers: 8 * mib}},
		{"GOMEMLIMIT=off", 512 * mib, 100 * mib, 1<<63 - 1, map[string]string{"GOMEMLIMIT": "off", "GOGC": "100"},
			memoryPlan{inflight: 384 * mib, long: 128 * mib, buffers: 8 * mib}},
		{"GOGC is the administrator's", 512 * mib, 0, 1 << 62, map[string]string{"GOGC": "off"},
			memoryPlan{soft: 768 * mib, inflight: 384 * mib, long: 128 * mib, buffers: 8 * mib}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := planMemory(c.inflight, c.group, c.runtime, func(name string) string { return c.env[name] }); got != c.want {
				t.Errorf("got %+v\nwant %+v", got, c.want)
			}
		})
	}
}
