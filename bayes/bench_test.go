package bayes

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"milterd/internal/store"
	"milterd/internal/store/bolt"
	"milterd/internal/store/redis"
	"milterd/mime"
)

// What it takes to take a message apart and weigh it, without the store and without
// the walk that other checks need as well; and the same when other memory was touched
// since the last message, as the rest of a daemon does: then it has to come from afar.
func BenchmarkTokensAndWeigh(b *testing.B) {
	all := corpus(b)
	deal(all, 5, 1)
	c := New(store.NewMemory(time.Now, 1<<30), Options{CacheTokens: 1 << 20, Now: func() time.Time { return time.UnixMilli(1) }})
	teach(b, c, "", all...)
	for _, m := range all { // fills the cache, and reads the texts
		score(b, c, "", m.Message)
	}
	for _, others := range []int{0, 24} { // MB
		b.Run(fmt.Sprint(others), func(b *testing.B) {
			b.ReportAllocs()
			other := make([]byte, others<<20)
			var took time.Duration
			for i := 0; b.Loop(); i++ {
				for at := 0; at < len(other); at += 64 {
					other[at]++
				}
				began := time.Now()
				if _, err := c.Classify(b.Context(), "", all[i%len(all)].Message); err != nil {
					b.Fatal(err)
				}
				took += time.Since(began)
			}
			b.ReportMetric(float64(took)/float64(b.N), "ns/message")
		})
	}
}

// One Get of 500 tokens, half of them absent, out of a million in a file, past the
// cache.
func BenchmarkRecallBolt(b *testing.B) {
	const million = 1_000_000
	s, err := bolt.Open(filepath.Join(b.TempDir(), "state.db"), bolt.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close(b.Context())
	id := func(i uint64) uint64 { return testSecret.hash(binary.LittleEndian.AppendUint64(nil, i)) }
	for i := uint64(0); i < million; {
		var ops []store.Op
		for range 20_000 {
			ops = append(ops, store.Add(appendTokenKey(nil, 0, id(i)), lifeOfOld, 1, 2, 3))
			i++
		}
		if err := s.Apply(b.Context(), Space, ops...); err != nil {
			b.Fatal(err)
		}
	}
	c := New(s, Options{CacheTokens: -1})
	tokens := make([]Token, 500)
	n := uint64(0)
	for b.Loop() {
		for i := range tokens {
			n += 7919
			tokens[i] = Token{ID: id(n % (2 * million))}
		}
		if _, err := c.recall(b.Context(), 0, tokens, new(scratch)); err != nil {
			b.Fatal(err)
		}
	}
}

// Learning into a file, in the groups of LearnAll, parsing included.
func BenchmarkLearnBolt(b *testing.B) {
	s, err := bolt.Open(filepath.Join(b.TempDir(), "state.db"), bolt.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close(b.Context())
	benchmarkLearn(b, s)
}

// The same into Debian's redis-server, over its socket. "everysec" is how it comes.
func BenchmarkLearnRedis(b *testing.B) {
	for _, fsync := range []string{"everysec", "always"} {
		b.Run(fsync, func(b *testing.B) { benchmarkLearn(b, redisStore(b, fsync)) })
	}
}

// redisStore starts a redis-server for a benchmark, and skips loudly where there is none.
func redisStore(b *testing.B, fsync string) *redis.Store {
	b.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		b.Skip("NOT MEASURED: there is no redis-server (Debian package redis-server)")
	}
	dir, err := os.MkdirTemp("/tmp", "r") // the path of a socket must be short
	if err != nil {
		b.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	server := exec.Command("redis-server", "--port", "0", "--unixsocket", socket, "--dir", dir, "--save", "", "--appendonly", "yes",
		"--appendfsync", fsync, "--daemonize", "no", "--loglevel", "warning")
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
		os.RemoveAll(dir)
	})
	s, err := redis.Open("redis+unix://"+socket, redis.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close(context.Background()) })
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) { // of another process nobody tells us
		if _, err := s.Get(b.Context(), Space, secretKey); err == nil {
			return s
		} else if time.Now().After(until) {
			b.Fatal(err)
		}
	}
}

func benchmarkLearn(b *testing.B, s Store) {
	all := corpus(b)
	deal(all, 5, 1)
	c, n := New(s, Options{}), 0
	class := map[bool]Class{false: Ham, true: Spam}
	for b.Loop() {
		lessons := make([]Lesson, groupLessons)
		for i := range lessons {
			m := all[n%len(all)]
			lessons[i] = Lesson{Class: class[m.spam != (n/len(all)%2 == 1)], Message: Parse(m.raw, mime.Limits{})} // the second time round they flip
			n++
		}
		if _, err := c.LearnAll(b.Context(), "", lessons...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "messages/s")
}
