// Package attachments is the check of what is attached: what a file is called, what it
// is, and what is in it.
//
// Malware comes as a file that somebody opens. What happens then goes by the last
// extension of its name, so that is what counts first; but a mail program shows the
// name as the sender wrote it, so names that show something else than they are count
// as well, and so does content that is not what the name says. Files in archives are
// files, at any depth, and those in attached messages, too. What cannot be looked into,
// because it is encrypted or was made to exhaust whoever tries, is told as such.
//
// What is to become of such mail is the operator's to say, for each kind, each role and
// each recipient's domain; by default only what Windows runs by a double click is
// refused.
package attachments

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"path"
	"strings"

	"milterd/checks"
	"milterd/internal/archive"
	"milterd/message"
	"milterd/mime"
)

//go:embed sample.yaml
var sample string

// The findings of the check.
const (
	findExecutable = "ATTACHMENT_EXECUTABLE"
	findArchived   = "EXE_IN_ARCHIVE"
	findRisky      = "ATTACHMENT_RISKY"
	findDouble     = "ATTACHMENT_DOUBLE_EXTENSION"
	findBidi       = "ATTACHMENT_NAME_BIDI"
	findOther      = "ATTACHMENT_TYPE_OTHER"
	findEncrypted  = "ATTACHMENT_ENCRYPTED"
	findMacro      = "ATTACHMENT_MACRO"
	findHTML       = "ATTACHMENT_HTML"
	findUnopened   = "ATTACHMENT_UNOPENED"
	findLimit      = "ATTACHMENT_LIMIT"
	findBroken     = "ATTACHMENT_BROKEN"
	findPartial    = "ATTACHMENT_PARTIAL"
)

var findings = []checks.FindingSpec{
	{Name: findExecutable, Describe: "A file that Windows runs when it is opened, by its name or its content"},
	{Name: findArchived, Describe: "Such a file in an archive"},
	{Name: findRisky, Describe: "A file that does harm with some help: an image of a disk, a program for elsewhere, settings"},
	{Name: findDouble, Describe: "A name that shows another extension than the one that counts"},
	{Name: findBidi, Describe: "A name in which characters turn the direction of writing, so that it shows in another order"},
	{Name: findOther, Describe: "The content is of another type than the name says"},
	{Name: findEncrypted, Describe: "An archive or document that is encrypted: nobody has looked into it"},
	{Name: findMacro, Describe: "An office document with macros"},
	{Name: findHTML, Describe: "A web page as an attachment"},
	{Name: findUnopened, Describe: "An archive that cannot be looked into here, or not into all of it: of another kind, packed in an uncommon way, or in several files"},
	{Name: findLimit, Describe: "An archive was not read to its end, because of one of limits.archive_*: it may be a bomb"},
	{Name: findBroken, Describe: "An archive that cannot be read, or not to its end"},
	{Name: findPartial, Describe: "A file was not decoded to its end: the message took longer to read than limits.mime_time"},
}

// Spec describes the check.
func Spec() checks.Spec {
	return checks.Spec{
		Name:     "attachments",
		Phase:    checks.Message,
		Outbound: true, // scored, and refused where an exception says so
		OnError:  checks.OnErrorTempFail,
		Sample:   sample,
		Findings: findings,
		New:      newCheck,
	}
}

type check struct {
	actions           actions
	policies          []policy
	executable, risky extensions
	scan              int64 // bytes of the body that are looked at
	mime              mime.Limits
	archive           archive.Limits
}

var _ checks.Check = (*check)(nil)

func newCheck(section checks.Section, env checks.Env) (checks.Check, error) {
	cfg := defaults()
	if err := section.Decode(&cfg); err != nil {
		return nil, err
	}
	policies, err := open(cfg.Exceptions, env)
	if err != nil {
		return nil, err
	}
	l := env.Limits
	return &check{
		actions: cfg.Actions, policies: policies, executable: cfg.Executable, risky: cfg.Risky,
		scan:    l.Scan(),
		mime:    l.MIME(),
		archive: archive.Limits{Depth: l.ArchiveDepth, Entries: l.ArchiveEntries, Ratio: l.ArchiveRatio, Bytes: l.ArchiveBytes},
	}, nil
}

// Run looks at each attachment. The only errors are a body that cannot be read and the
// end of ctx.
func (c *check) Run(ctx context.Context, in *checks.Input) (checks.Result, error) {
	m := in.Message
	tree, more, err := mime.Shared(m, c.scan, c.mime)
	if err != nil {
		return checks.Result{}, err
	}
	s := &search{check: c, ctx: ctx, partial: more}
	for _, a := range tree.Attachments() {
		s.attachment(&a)
		if err := ctx.Err(); err != nil {
			return checks.Result{}, err
		}
	}
	return c.result(m, s.hits), nil
}

// result makes a result of what was found: one finding of each name, and the harshest
// of the actions that the policies ask for.
func (c *check) result(m *message.Message, hits []hit) checks.Result {
	var (
		res  checks.Result
		most action
	)
	for _, h := range hits {
		detail := h.detail
		if h.count > 1 {
			detail += fmt.Sprintf(" (%d times)", h.count)
		}
		res.Findings = append(res.Findings, checks.Finding{Name: h.finding, Value: float64(h.count), Detail: detail})
		if a := c.action(m, h.finding); harshness[a] > harshness[most] {
			most = a
			res.Demand = demand(a, &h, m.Role)
		}
	}
	return res
}

// demand asks for an action, nil for none.
func demand(a action, h *hit, role message.Role) *checks.Demand {
	d := &checks.Demand{Finding: h.finding, Outbound: role == message.Outbound}
	switch a {
	case junk:
		d.Action = message.Junk
	case quarantine:
		d.Action = message.Quarantine
	case reject:
		d.Action, d.Reply = message.RejectMail, message.ReplyAttachment(h.path)
	default:
		return nil
	}
	return d
}

// hit is something that was found, perhaps several times.
type hit struct {
	finding, detail string
	path            string // of the first, through the archives
	count           int
}

// search is the way through the attachments of one message.
type search struct {
	check   *check
	ctx     context.Context
	budget  *archive.Budget
	partial bool // there is more than was looked at, of the body or of a file
	hits    []hit
}

// maxDetail bounds what of a stranger's names goes into log and journal.
const maxDetail = 200

// hit notes a finding about the file at a path; what says more about it, may be empty.
func (s *search) hit(finding string, path []string, what string) {
	for i := range s.hits {
		if s.hits[i].finding == finding {
			s.hits[i].count++
			return
		}
	}
	// The end of a path is what matters most.
	end := strings.Join(path, "/")
	for len(path) > 1 && len(end) > maxDetail/2 {
		path = path[1:]
		end = strings.Join(path, "/")
	}
	detail := message.SafeText(end, maxDetail)
	if what != "" {
		detail = message.SafeText(detail+": "+what, maxDetail+60)
	}
	s.hits = append(s.hits, hit{finding, detail, end, 1})
}

// headSize is how much of a file tells what it is: the image of a CD does so last, see
// isDisk. Most attachments are pictures and documents, of which no more is decoded.
const headSize = 33 << 10

// attachment looks at a part that is a file.
func (s *search) attachment(a *mime.Attachment) {
	if a.Part.IsMessage() || a.Part.IsMultipart() {
		return // what is in it has a turn of its own; its name is mostly a subject
	}
	names := a.Names
	if len(names) == 0 {
		names = []string{a.Type}
	}
	at := names[:1]
	late := false
	decoded := func(content []byte, facts mime.Facts) []byte {
		if facts.Has(mime.LimitTime) && !late {
			s.hit(findPartial, at, "")
			late, s.partial = true, true
		}
		return content
	}
	content := func() []byte { return decoded(a.Part.Content()) }
	head := decoded(a.Part.Head(headSize))
	k := kindOf(head)
	s.executable(findExecutable, a.Names, at, k)
	for _, name := range a.Names {
		n := readName(name)
		if renamed(n.extension, k) {
			s.hit(findOther, at, "is "+string(k))
		}
		if s.check.risky.has(n.extension) {
			s.hit(findRisky, []string{name}, "")
		}
	}
	s.kind(k, at, content)
	if a.Part.IsHTML() || k == page && len(a.Names) > 0 && !strings.HasPrefix(a.Type, "text/") {
		s.hit(findHTML, at, "")
	}
	if archive.FormatOf(head, at[0]) != archive.None {
		s.archive(content(), at[0])
	}
}

// executable reports a file that is run when it is opened, and a name that hides
// something.
func (s *search) executable(finding string, names, path []string, k kind) {
	runs := k == program || k == shortcut || k == installer
	if runs {
		s.hit(finding, path, "is "+string(k))
	}
	for _, name := range names {
		n := readName(name)
		dangerous := s.check.executable.has(n.extension) && !(n.extension == "com" && isAddress(name, k))
		if dangerous && !runs {
			s.hit(finding, path, alias(name, path))
			runs = true
		}
		if n.bidi {
			s.hit(findBidi, path, alias(name, path))
		}
		if n.doubled() && (dangerous || s.check.risky.has(n.extension) || n.extension == "html" || n.extension == "htm") {
			s.hit(findDouble, path, alias(name, path))
		}
	}
}

// isAddress reports whether a name that ends in .com is one of a host or mailbox, as
// some programs name pictures in a page, and not of a program.
func isAddress(name string, k kind) bool {
	return strings.Contains(name, "@") || k == picture || k == pdf || k == page
}

// alias says that a file has another name than its path shows.
func alias(name string, path []string) string {
	if name == path[len(path)-1] {
		return ""
	}
	return "also called " + name
}

// file looks at a file that lies in a winmail.dat.
func (s *search) file(e *archive.Entry) {
	names, k := e.Names(), kindOf(e.Head)
	s.executable(findExecutable, names, e.Path, k)
	for _, name := range names {
		if s.check.risky.has(readName(name).extension) {
			s.hit(findRisky, e.Path, "")
		}
	}
	s.kind(k, e.Path, e.Content)
}

// kind reports what a file is that nobody runs by opening it.
func (s *search) kind(k kind, path []string, content func() []byte) {
	switch k {
	case foreign, disk, help:
		s.hit(findRisky, path, "is "+string(k))
	case compound, installer:
		s.compound(content(), path)
	}
}

// compound looks at an OLE document.
func (s *search) compound(content []byte, path []string) {
	facts := readCompound(content)
	if facts.macros {
		s.hit(findMacro, path, "")
	}
	if facts.encrypted {
		s.hit(findEncrypted, path, "")
	}
}

// manyFiles is from where on an archive is somebody's work and not a wrapping: scripts
// among that many files are no reason to file it.
const manyFiles = 10

// archive looks into an archive.
func (s *search) archive(content []byte, name string) {
	if s.budget == nil {
		s.budget = archive.NewBudget(s.check.archive)
	}
	files := 0
	var withScripts, withRisky [][]string // paths of some
	outlook := archive.FormatOf(content, name) == archive.Tnef
	facts := archive.Walk(s.ctx, content, name, s.budget, func(e *archive.Entry) {
		if e.Directory {
			return
		}
		if outlook && len(e.Path) == 2 { // what is in it, Outlook shows as attached
			s.file(e)
			return
		}
		files++
		names := e.Names()
		switch n := readName(e.Name()); {
		case scripts.has(n.extension) && s.check.executable.has(n.extension) && !n.doubled():
			withScripts = append(withScripts, e.Path)
			names = names[1:]
		case s.check.risky.has(n.extension):
			withRisky = append(withRisky, e.Path)
		}
		k := kindOfEntry(e.Head)
		s.executable(findArchived, names, e.Path, k)
		if strings.EqualFold(path.Base(e.Name()), "vbaproject.bin") || strings.Contains(e.Name(), "xl/macrosheets/") {
			s.hit(findMacro, e.Path, "")
		} else if k == compound {
			s.compound(e.Content(), e.Path)
		}
	})
	for _, p := range withScripts {
		if files > manyFiles {
			withRisky = append(withRisky[:0], p)
		} else {
			s.hit(findArchived, p, "")
		}
	}
	for _, p := range withRisky {
		if files <= manyFiles || len(withScripts) > 0 {
			s.hit(findRisky, p, "")
		}
	}
	at := []string{name}
	if facts.Has(archive.Unsupported) {
		s.hit(findUnopened, at, "")
	}
	if facts.Has(archive.Encrypted) {
		s.hit(findEncrypted, at, "")
	}
	if over := facts & archive.Limited; over != 0 {
		s.hit(findLimit, at, over.String())
	}
	if facts.Has(archive.Broken) && !s.partial {
		s.hit(findBroken, at, "")
	}
}

// kindOfEntry is kindOf for a file in an archive, of which only some kinds matter:
// there may be a thousand.
func kindOfEntry(head []byte) kind {
	if bytes.HasPrefix(head, []byte("MZ")) || bytes.HasPrefix(head, []byte("L\x00\x00\x00")) || bytes.HasPrefix(head, compoundMagic) {
		return kindOf(head)
	}
	return unknown
}
