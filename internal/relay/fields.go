package relay

import "bytes"

// fields is what framing needs of a head's fields.
type fields struct {
	length    int64 // Content-Length; -1: none
	codings   int   // transfer codings
	chunked   bool  // the last coding is chunked, and no other is
	hosts     int
	upgrade   bool
	close     bool
	keepAlive bool
}

// parseFields reads the lines after the start line, down to and including the
// empty one. Whatever two recipients might read differently is errAmbiguous.
func parseFields(b []byte) (fields, error) {
	f := fields{length: -1}
	var upgradeField, upgradeOption bool
	for {
		line, rest, _ := bytes.Cut(b, []byte("\r\n"))
		b = rest
		if len(line) == 0 {
			// The Connection option is what makes an Upgrade field count.
			f.upgrade = upgradeField && upgradeOption
			return f, nil
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || len(name) == 0 {
			return f, errAmbiguous
		}
		for _, c := range name {
			if !tchar[c] { // a folded line and a space before the colon too
				return f, errAmbiguous
			}
		}
		for _, c := range value {
			if isControl(c) {
				return f, errAmbiguous
			}
		}
		value = bytes.Trim(value, " \t")
		switch {
		case is(name, "content-length"):
			n, err := parseLength(value)
			if err != nil || f.length >= 0 {
				return f, errAmbiguous
			}
			f.length = n
		case is(name, "transfer-encoding"):
			if err := f.addCodings(value); err != nil {
				return f, err
			}
		case is(name, "host"):
			f.hosts++
		case is(name, "upgrade"):
			upgradeField = true
		case is(name, "connection"):
			for option := range bytes.SplitSeq(value, []byte(",")) {
				option = bytes.Trim(option, " \t")
				switch {
				case is(option, "close"):
					f.close = true
				case is(option, "keep-alive"):
					f.keepAlive = true
				case is(option, "upgrade"):
					upgradeOption = true
				}
			}
		}
	}
}

// addCodings reads a Transfer-Encoding value. chunked must come last, once.
func (f *fields) addCodings(value []byte) error {
	for coding := range bytes.SplitSeq(value, []byte(",")) {
		coding = bytes.Trim(coding, " \t")
		if len(coding) == 0 || f.chunked {
			return errAmbiguous
		}
		f.codings++
		f.chunked = is(coding, "chunked")
	}
	return nil
}

// parseLength reads a Content-Length: digits and nothing else.
func parseLength(b []byte) (int64, error) {
	if len(b) == 0 || len(b) > 18 {
		return 0, errAmbiguous
	}
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, errAmbiguous
		}
		n = n*10 + int64(c-'0')
	}
	return n, nil
}

// isControl tells whether c may not stand in a field's value, RFC 9110, section
// 5.5.
func isControl(c byte) bool { return (c < ' ' && c != '\t') || c == 0x7f }

// is compares b with lower, a string in lower case, regardless of case.
func is(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
