package mime_test

import (
	"fmt"
	"strings"
	"testing"

	"milterd/mime"
)

// newsletter is a message of about n bytes as they are sent today: tables in
// tables, a style in each tag, a link and a picture in each block.
func newsletter(n int) []byte {
	var b strings.Builder
	b.WriteString("MIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\n\n<html><head><title>News</title><style>.button{background:#09f;color:#fff}.phone{display:none}" +
		"@media (max-width:600px){.phone{display:block !important}}</style></head><body bgcolor=\"#f4f4f4\"><div style=\"display:none;max-height:0;overflow:hidden\">What is new this week</div>")
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, `<table width="600" cellpadding="0" cellspacing="0" border="0" style="width:600px;margin:0 auto;background-color:#ffffff"><tr><td align="center" class="block"
 style="padding:20px 30px;font-family:Helvetica,Arial,sans-serif;font-size:16px;line-height:24px;color:#333333"><a href="https://click.example.net/f/a/%d?u=aHR0cHM6Ly93d3c&amp;x=1" target="_blank"
 style="color:#0099ff;text-decoration:none"><img src="https://images.example.net/%[1]d.png" width="540" height="200" alt="" style="display:block;border:0"></a>
<p style="margin:0 0 16px 0">Dear reader, this is number %[1]d of the things that are new at our place, with a sentence that goes on for a while&nbsp;and ends here.</p>
<a href="https://click.example.net/f/b/%[1]d" class="button" style="display:inline-block;padding:12px 24px;color:#ffffff;background:#0099ff">Read more</a></td></tr></table>
`, i)
	}
	b.WriteString("</body></html>")
	return crlf(b.String())
}

func BenchmarkNewsletter(b *testing.B) {
	for _, kilobytes := range []int{5, 20, 80} {
		message := newsletter(kilobytes << 10)
		b.Run(fmt.Sprintf("%dKB", kilobytes), func(b *testing.B) {
			b.SetBytes(int64(len(message)))
			b.ReportAllocs()
			for b.Loop() {
				tree := mime.WalkMessage(message, mime.Limits{})
				tree.VisibleText()
				tree.URLs()
			}
		})
	}
}

func TestNewsletter(t *testing.T) {
	tree := mime.WalkMessage(newsletter(20<<10), mime.Limits{})
	visible, _ := tree.VisibleText()
	hidden, found := tree.HiddenText()
	urls, _ := tree.URLs()
	if !strings.HasPrefix(visible, "Dear reader, this is number 0 of the things") || !strings.Contains(visible, "ends here.\nRead more\n") || hidden != "News\nWhat is new this week" {
		t.Errorf("visible %.200q, hidden %q", visible, hidden)
	}
	if n := strings.Count(visible, "Read more"); len(urls) != 3*n || urls[0].Path != "/f/a/0?u=aHR0cHM6Ly93d3c&x=1" || urls[2].Displayed != "Read more" || found != 1<<mime.HTMLHidden {
		t.Errorf("%d blocks, %d URLs, %v", n, len(urls), found)
	}
}
