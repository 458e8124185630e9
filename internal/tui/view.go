package tui

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// View implements tea.Model. The frame is built anew only after a change.
func (m *model) View() string {
	if m.stale {
		m.frame = strings.Join(m.render(), "\n")
		m.stale = false
	}
	return m.frame
}

// render draws the screen: h lines of at most w cells.
func (m *model) render() []string {
	if m.w <= 0 || m.h <= 0 {
		return nil // the terminal has not told its size yet
	}
	s := m.arrange()
	if s.tooSmall {
		text := fmt.Sprintf("too small: %dx%d, clusterd needs %dx%d", m.w, m.h, minWidth, minHeight)
		return []string{m.theme.cut(text, m.w)}
	}
	lines := make([]string, m.h)
	put := func(r rect, text []string) {
		for i, line := range text {
			if i >= r.h {
				break
			}
			lines[r.y+i] += line
		}
	}
	put(s.header, []string{m.renderHeader(s.header.w)})
	if m.help.open {
		whole := rect{0, 1, m.w, s.footer.y - 1}
		put(whole, m.renderHelp(whole.w, whole.h))
	} else {
		if s.tree.h > 0 {
			put(s.tree, m.renderTree(s.tree.w, s.tree.h))
		}
		if s.detail.h > 0 {
			for y := s.detail.y; s.detail.x > 0 && y < s.detail.y+s.detail.h; y++ {
				lines[y] += spaces(s.detail.x-1-width(lines[y])) + m.theme.paint(faint, m.theme.wall)
			}
			put(s.detail, m.renderDetail(s.detail.w, s.detail.h))
		}
		if s.log.h > 0 {
			put(s.log, m.renderLogs(s.log.w, s.log.h))
		}
	}
	put(s.footer, m.renderFooter(s.footer.w, s.footer.h))
	m.over(lines)
	return lines
}

// box is what lies over the middle of the screen, and where; nil: nothing does.
func (m *model) box() (box []string, at rect) {
	switch {
	case m.ask != nil:
		box = m.ask.render(m.theme, m.w)
	case m.palette != nil:
		box = m.palette.render(m.theme, m.w-4)
	default:
		return nil, rect{}
	}
	w, h := width(box[0]), len(box)
	return box, rect{(m.w - w) / 2, max((m.h-h)/2, 0), w, h}
}

// over lays the box over the screen, if there is one.
func (m *model) over(lines []string) {
	box, at := m.box()
	x, y, w := at.x, at.y, at.w
	for i, row := range box[:min(len(box), len(lines)-y)] {
		line := lines[y+i]
		left := m.theme.fit(ansi.Truncate(line, x, ""), x)
		right := ""
		if width(line) > x+w {
			right = ansi.TruncateLeft(line, x+w, "")
		}
		if m.theme.color {
			left, row = left+"\x1b[m", row+"\x1b[m"
		}
		lines[y+i] = left + row + right
	}
}
