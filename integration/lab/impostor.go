package lab

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// An Impostor listens where clamd should and never gives an honest verdict. Each
// connection is lied to in another way.
type Impostor struct {
	Socket string

	mu       sync.Mutex
	listener net.Listener
	serving  sync.WaitGroup
	ctx      context.Context
	leave    context.CancelFunc
	served   int
}

// Start takes clamd's place, whose process must be gone.
func (i *Impostor) Start() error {
	if err := os.Remove(i.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	l, err := net.Listen("unix", i.Socket)
	if err != nil {
		return err
	}
	if err := os.Chmod(i.Socket, 0o666); err != nil {
		return errors.Join(err, l.Close())
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.listener = l
	i.ctx, i.leave = context.WithCancel(context.Background())
	i.serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			way := ways[i.served%len(ways)]
			i.served++
			i.serving.Go(func() { i.serve(conn, way) })
		}
	})
	return nil
}

// serve runs one connection until the lie is told or the impostor leaves.
func (i *Impostor) serve(conn net.Conn, lie func(context.Context, net.Conn)) {
	defer conn.Close()
	defer context.AfterFunc(i.ctx, func() { conn.Close() })()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	lie(i.ctx, conn)
}

// Close gives the place back. An impostor that never started has none.
func (i *Impostor) Close() error {
	i.mu.Lock()
	l := i.listener
	i.listener = nil
	i.mu.Unlock()
	if l == nil {
		return nil
	}
	i.leave()
	err := l.Close()
	i.serving.Wait()
	return err
}

// ways are the lies. None of them is the one honest answer "stream: OK" at the end of a
// stream that was read.
var ways = []func(context.Context, net.Conn){
	says("stre"),              // half a word
	says("stream: FINE\x00"),  // no verdict
	says("7: stream: OK\x00"), // the answer to somebody else
	says("INSTREAM size limit exceeded. ERROR\x00"),
	says("stream: OK FOUND OK ERROR\n\n\x00"), // all verdicts at once
	says(""),
	func(_ context.Context, conn net.Conn) { // goes away in the middle
		_, _ = io.ReadFull(conn, make([]byte, 32))
	},
	func(ctx context.Context, conn net.Conn) { // takes everything and says nothing
		_, _ = io.Copy(io.Discard, conn)
		<-ctx.Done()
	},
	func(_ context.Context, conn net.Conn) { // never stops talking
		go func() { _, _ = io.Copy(io.Discard, conn) }() // ends with the connection
		for piece := make([]byte, 64<<10); ; {
			if _, err := conn.Write(piece); err != nil {
				return
			}
		}
	},
}

// says answers when the stream has begun, and hangs up.
func says(answer string) func(context.Context, net.Conn) {
	return func(_ context.Context, conn net.Conn) {
		if _, err := io.ReadFull(conn, make([]byte, 14)); err == nil { // zINSTREAM and a length
			_, _ = io.WriteString(conn, answer)
		}
	}
}
