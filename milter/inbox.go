package milter

import "sync"

const (
	idleBuffer  = 256      // what a connection between messages keeps, macros and a command fit
	firstBuffer = 16 << 10 // what a connection in a message begins with
	bufferSizes = 4        // 16, 32, 64 and 128 KiB are pooled: the last holds a full body chunk
)

// bufferPool lends read buffers. A pool of the Server, not of the package: two
// servers share nothing.
type bufferPool struct{ sizes [bufferSizes]sync.Pool }

type pooledBuffer struct {
	data []byte
	size int // index into bufferPool.sizes; bufferSizes and beyond: not pooled
}

// get lends a buffer of at least need bytes.
func (p *bufferPool) get(need int) *pooledBuffer {
	size := 0
	for size < bufferSizes && firstBuffer<<size < need {
		size++
	}
	if size == bufferSizes {
		return &pooledBuffer{make([]byte, need), size}
	}
	if b, ok := p.sizes[size].Get().(*pooledBuffer); ok {
		return b
	}
	return &pooledBuffer{make([]byte, firstBuffer<<size), size}
}

func (p *bufferPool) put(b *pooledBuffer) {
	if b.size < bufferSizes {
		p.sizes[b.size].Put(b)
	}
}

// inbox holds the bytes read and not yet handled. It grows with the bytes that
// have arrived, never with a length that was merely announced, and an idle
// connection holds no more than idleBuffer.
type inbox struct {
	pool *bufferPool
	lent *pooledBuffer // nil: reading into small
	buf  []byte
	r, w int // buf[r:w] is waiting
	used int // bytes of the frame last handed out; the events' slices point there

	small [idleBuffer]byte
}

// waiting is what has arrived beyond the frame last handed out.
func (b *inbox) waiting() []byte { return b.buf[b.r+b.used : b.w] }

// consume gives up the frame last handed out.
func (b *inbox) consume() {
	b.r += b.used
	b.used = 0
}

// room makes space for at least one more byte, up to limit bytes in all.
// Between messages (idle) an empty inbox gives its buffer back.
func (b *inbox) room(idle bool, limit int) {
	if b.buf == nil {
		b.buf = b.small[:]
	}
	switch {
	case b.r == b.w:
		b.r, b.w = 0, 0
		if idle || (b.lent != nil && b.lent.size == bufferSizes) {
			b.release()
		}
		if !idle && b.lent == nil {
			b.swap(firstBuffer)
		}
	case b.w < len(b.buf):
	case b.r > 0:
		b.w = copy(b.buf, b.buf[b.r:b.w])
		b.r = 0
	default:
		b.swap(max(firstBuffer, min(2*len(b.buf), limit)))
	}
}

// swap moves the waiting bytes to a buffer of another size.
func (b *inbox) swap(size int) {
	next := b.pool.get(size)
	b.w = copy(next.data, b.buf[b.r:b.w])
	b.r = 0
	if b.lent != nil {
		b.pool.put(b.lent)
	}
	b.lent, b.buf = next, next.data
}

// release gives the buffer back; only for an empty inbox.
func (b *inbox) release() {
	if b.lent != nil {
		b.pool.put(b.lent)
		b.lent = nil
	}
	b.buf, b.r, b.w, b.used = b.small[:], 0, 0, 0
}
