package archive

// streams reads where the folders are and how they are packed ("Streams Info").
func (s *scanner) streams() []folder {
	var (
		at      uint64
		sizes   []uint64
		folders []folder
	)
	for !s.bad {
		switch s.byte() {
		case idEnd:
			return place(folders, at, sizes)
		case idPackInfo:
			at, sizes = s.packInfo()
		case idUnpackInfo:
			folders = s.unpackInfo()
		case idSubStreams:
			s.subStreams(folders)
		default:
			s.bad = true
		}
	}
	return nil
}

// place gives each folder its packed streams, in their order.
func place(folders []folder, at uint64, sizes []uint64) []folder {
	for i := range folders {
		f := &folders[i]
		f.at = at
		n := min(len(f.sizes), len(sizes))
		f.sizes, sizes = sizes[:n:n], sizes[n:]
		for _, size := range f.sizes {
			at += size
		}
		if f.files == nil {
			f.files = []uint64{f.size}
		}
	}
	return folders
}

// packInfo reads where the packed streams begin, and their sizes.
func (s *scanner) packInfo() (at uint64, sizes []uint64) {
	at = s.number()
	n := s.count()
	for !s.bad {
		switch s.byte() {
		case idEnd:
			return at, sizes
		case idSize:
			sizes = s.numbers(n)
		case idCRC:
			s.digests(n)
		default:
			s.bad = true
		}
	}
	return 0, nil
}

func (s *scanner) numbers(n int) []uint64 {
	if n > len(s.buf) {
		s.bad = true
		return nil
	}
	all := make([]uint64, n)
	for i := range all {
		all[i] = s.number()
	}
	return all
}

// unpackInfo reads the folders.
func (s *scanner) unpackInfo() []folder {
	if s.byte() != idFolder {
		s.bad = true
	}
	n := s.count()
	if s.byte() != 0 { // elsewhere
		s.bad = true
	}
	var folders []folder
	var outputs []int
	for range n {
		if s.bad {
			return nil
		}
		if len(folders) >= s.most {
			s.tooMany, s.bad = true, true
			return nil
		}
		f, out := s.folder()
		folders, outputs = append(folders, f), append(outputs, out)
	}
	for !s.bad {
		switch s.byte() {
		case idEnd:
			return folders
		case idUnpackSize:
			for i := range folders {
				for nth, size := range s.numbers(outputs[i]) {
					// The last coder's output is the folder's, in what packers write: it
					// is never less than the others'.
					if nth == 0 || size > folders[i].size {
						folders[i].size = size
					}
				}
			}
		case idCRC:
			defined := s.digests(n)
			for i := range folders {
				folders[i].summed = defined == nil || i < len(defined) && defined[i]
			}
		default:
			s.bad = true
		}
	}
	return nil
}

// maxCoders is how many coders a folder has at most; 7-Zip itself takes 32.
const maxCoders = 32

// folder reads how a folder is packed, and how many outputs its coders have.
func (s *scanner) folder() (f folder, outputs int) {
	n := s.count()
	if n == 0 || n > maxCoders {
		s.bad = true
		return f, 0
	}
	inputs := 0
	for range n {
		flags := s.byte()
		var c coder
		for _, b := range s.bytes(uint64(flags & 0x0f)) {
			c.id = c.id<<8 | uint64(b)
		}
		in, out := 1, 1
		if flags&0x10 != 0 {
			in, out = s.count(), s.count()
		}
		if flags&0x20 != 0 {
			c.properties = s.bytes(s.number())
		}
		f.coders = append(f.coders, c)
		inputs, outputs = inputs+in, outputs+out
	}
	if s.bad || outputs == 0 || inputs > maxCoders || outputs > maxCoders || inputs < outputs-1 {
		s.bad = true
		return f, 0
	}
	for range outputs - 1 { // which output goes into which input
		s.number()
		s.number()
	}
	packed := inputs - (outputs - 1)
	if packed > 1 {
		s.numbers(packed)
	}
	f.sizes = make([]uint64, packed)
	return f, outputs
}

// subStreams reads how many files each folder has, and how large they are: all but
// the last, which has the rest.
func (s *scanner) subStreams(folders []folder) {
	counts := make([]int, len(folders))
	for i := range counts {
		counts[i] = 1
	}
	id := s.byte()
	if id == idNumUnpackStream {
		for i := range counts {
			n := s.number()
			if n > uint64(len(s.buf))*8 {
				s.bad = true
				return
			}
			if counts[i] = int(n); counts[i] > s.most {
				s.tooMany, s.bad = true, true
				return
			}
		}
		id = s.byte()
	}
	for i := range folders {
		f := &folders[i]
		f.files = make([]uint64, counts[i])
		rest := f.size
		for nth := range f.files {
			if nth == len(f.files)-1 {
				f.files[nth] = rest
			} else if id == idSize {
				f.files[nth] = s.number()
				rest -= min(rest, f.files[nth])
			}
		}
	}
	if id == idSize {
		id = s.byte()
	}
	if id == idCRC {
		n := 0
		for i := range folders {
			if counts[i] != 1 || !folders[i].summed {
				n += counts[i]
			}
		}
		s.digests(n)
		id = s.byte()
	}
	if id != idEnd {
		s.bad = true
	}
}
