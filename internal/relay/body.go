package relay

// body follows one message's body to its end.
type body struct {
	kind  bodyKind
	left  int64 // of lengthBody, or of the current chunk
	state chunkState
	any   bool // the trailer line has begun
	line  int  // length of the current size line or trailer section
}

// chunkState is where in a chunked body the next byte stands, RFC 9112,
// section 7.1.
type chunkState uint8

const (
	chunkSize chunkState = iota
	chunkExtension
	chunkSizeLF
	chunkData
	chunkDataCR
	chunkDataLF
	trailerName
	trailerValue
	trailerLF
)

const (
	maxChunkLine   = 4 << 10 // of a size line with its extensions
	maxChunkDigits = 16      // more of them overflow in some recipients, zeros or not
	maxTrailers    = maxHead
)

func newBody(kind bodyKind, length int64) body { return body{kind: kind, left: length} }

// feed takes what comes next. It returns how many bytes belong to the body and
// whether it ends with them; a closeBody never does. errAmbiguous is for chunks
// that two recipients might read differently.
func (b *body) feed(p []byte) (n int, done bool, err error) {
	switch b.kind {
	case noBody:
		return 0, true, nil
	case closeBody:
		return len(p), false, nil
	case lengthBody:
		n := int(min(b.left, int64(len(p))))
		b.left -= int64(n)
		return n, b.left == 0, nil
	}
	for n < len(p) {
		if b.state == chunkData {
			skip := int(min(b.left, int64(len(p)-n)))
			b.left -= int64(skip)
			n += skip
			if b.left == 0 {
				b.state = chunkDataCR
			}
			continue
		}
		done, err := b.step(p[n])
		if err != nil {
			return n, false, err
		}
		n++
		if done {
			return n, true, nil
		}
	}
	return n, false, nil
}

// step takes one byte of a chunked body that is not data.
func (b *body) step(c byte) (done bool, err error) {
	if b.line++; b.line > maxTrailers || (b.state < chunkData && b.line > maxChunkLine) {
		return false, errAmbiguous
	}
	switch b.state {
	case chunkSize:
		d, ok := hexDigit(c)
		switch {
		case ok:
			if b.left > 1<<58 || b.line > maxChunkDigits {
				return false, errAmbiguous
			}
			b.left = b.left<<4 | d
		case b.line == 1: // no digit
			return false, errAmbiguous
		case c == ';':
			b.state = chunkExtension
		case c == '\r':
			b.state = chunkSizeLF
		default:
			return false, errAmbiguous
		}
	case chunkExtension:
		switch {
		case c == '\r':
			b.state = chunkSizeLF
		case isControl(c):
			return false, errAmbiguous
		}
	case chunkSizeLF:
		if c != '\n' {
			return false, errAmbiguous
		}
		b.line = 0
		b.state = chunkData
		if b.left == 0 {
			b.state = trailerName
		}
	case chunkDataCR:
		if c != '\r' {
			return false, errAmbiguous
		}
		b.state = chunkDataLF
	case chunkDataLF:
		if c != '\n' {
			return false, errAmbiguous
		}
		b.line = 0
		b.state = chunkSize
	case trailerName:
		switch {
		case tchar[c]:
			b.any = true
		case c == ':' && b.any:
			b.state = trailerValue
		case c == '\r' && !b.any:
			b.state = trailerLF
		default:
			return false, errAmbiguous
		}
	case trailerValue:
		switch {
		case c == '\r':
			b.state = trailerLF
		case isControl(c):
			return false, errAmbiguous
		}
	case trailerLF:
		if c != '\n' {
			return false, errAmbiguous
		}
		if !b.any {
			return true, nil
		}
		b.any = false
		b.state = trailerName
	}
	return false, nil
}

func hexDigit(c byte) (int64, bool) {
	switch {
	case '0' <= c && c <= '9':
		return int64(c - '0'), true
	case 'a' <= c && c <= 'f':
		return int64(c-'a') + 10, true
	case 'A' <= c && c <= 'F':
		return int64(c-'A') + 10, true
	}
	return 0, false
}
