package mime

import (
	"sync"
	"testing"

	"milterd/message"
)

// All who ask get one tree; other limits are another one.
func TestShared(t *testing.T) {
	body := message.NewSpool(message.SpoolOptions{Memory: 1 << 20})
	defer body.Release()
	body.Write([]byte("--x\r\nContent-Type: text/html\r\n\r\n<b>hello</b>\r\n--x--\r\n"))
	m := &message.Message{Body: body, Header: message.NewHeader([]message.Field{{Name: "Subject", Value: " x"}, {Name: "content-TYPE", Value: " multipart/mixed; boundary=x"}}, 0)}
	if _, _, err := Shared(m, 1<<20, Limits{}); err == nil {
		t.Error("a body that is still coming has a tree")
	}
	body.Finish()
	trees := make([]*Tree, 8)
	var all sync.WaitGroup
	for i := range trees {
		all.Go(func() { trees[i], _, _ = Shared(m, 1<<20, Limits{}) })
	}
	all.Wait()
	for _, tree := range trees {
		if tree == nil || tree != trees[0] {
			t.Fatalf("%p is not %p", tree, trees[0])
		}
	}
	if text, _ := trees[0].VisibleText(); text != "hello" {
		t.Errorf("visible is %q", text)
	}
	short, more, err := Shared(m, 10, Limits{})
	if err != nil || !more || short == trees[0] {
		t.Errorf("of ten bytes: the same tree %t, more %t, %v", short == trees[0], more, err)
	}
	if other, more, _ := Shared(m, 1<<20, Limits{Depth: 1}); other == trees[0] || more {
		t.Errorf("with other limits: the same tree %t, more %t", other == trees[0], more)
	}
}

// A message without a body has a tree, too.
func TestSharedWithoutBody(t *testing.T) {
	m := &message.Message{Header: message.NewHeader(nil, 0)}
	if tree, more, err := Shared(m, 10, Limits{}); tree == nil || more || err != nil {
		t.Error(tree, more, err)
	}
}
