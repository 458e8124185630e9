package figure

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"strings"
)

// The names that loggers give to the parts of a line in JSON that everybody has.
var (
	levelKeys   = []string{"level", "lvl", "severity", "log.level", "loglevel", "levelname"}
	messageKeys = []string{"msg", "message"}
	timeKeys    = []string{"time", "ts", "timestamp", "@timestamp", "datetime", "asctime"}
)

// JSONLine makes a line that a program has logged as JSON readable: "ERROR cannot
// connect  host=db port=5432". The time is left out. It is not ok for anything but
// an object with a message; then text stays as it is.
func JSONLine(text string) (line string, ok bool) {
	if !strings.HasPrefix(text, "{") || !strings.HasSuffix(text, "}") {
		return text, false
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if _, err := d.Token(); err != nil {
		return text, false
	}
	var level, message string
	var rest []string
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return text, false
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return text, false
		}
		name := key.(string)
		switch {
		case level == "" && is(name, levelKeys):
			level = levelName(plainly(value))
		case message == "" && is(name, messageKeys):
			message = plainly(value)
		case !is(name, timeKeys):
			rest = append(rest, oneLine(name)+"="+briefly(value))
		}
	}
	if _, err := d.Token(); err != nil || message == "" {
		return text, false
	}
	if _, err := d.Token(); err != io.EOF {
		return text, false
	}
	if level != "" {
		message = level + " " + message
	}
	if len(rest) > 0 {
		message += "  " + strings.Join(rest, " ")
	}
	return message, true
}

func is(name string, names []string) bool {
	for _, n := range names {
		if strings.EqualFold(name, n) {
			return true
		}
	}
	return false
}

// levelName is "INFO", also of the numbers of bunyan and pino.
func levelName(level string) string {
	numbers := map[string]string{"10": "TRACE", "20": "DEBUG", "30": "INFO", "40": "WARN", "50": "ERROR", "60": "FATAL"}
	if name := numbers[level]; name != "" {
		return name
	}
	return strings.ToUpper(level)
}

// plainly is a value without quotes, on one line.
func plainly(value json.RawMessage) string {
	var s string
	if value[0] != '"' || json.Unmarshal(value, &s) != nil {
		return compact(value)
	}
	return oneLine(s)
}

// briefly is a value that stays one word: in quotes where it needs them.
func briefly(value json.RawMessage) string {
	var s string
	switch {
	case value[0] != '"' || json.Unmarshal(value, &s) != nil:
		return compact(value)
	case s == "" || strings.ContainsAny(s, " \t\"=") || oneLine(s) != s:
		return strconv.Quote(s)
	}
	return s
}

func compact(value json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, value) != nil {
		return string(value)
	}
	return b.String()
}

// oneLine has no control characters, which a terminal would act on.
func oneLine(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }) {
		return s
	}
	quoted := strconv.Quote(s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}
