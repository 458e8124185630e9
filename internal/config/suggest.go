package config

import (
	"strings"
)

// closest is the candidate that word most probably was meant to be, or "" when
// none is close. Case and the choice between "-" and "_" do not count; about
// one typing mistake in three letters does.
func closest(word string, candidates []string) string {
	best, bestDistance := "", 4
	for _, c := range candidates {
		allowed := min(3, max(1, max(len(word), len(c))/3))
		if d := editDistance(plain(word), plain(c), allowed); d <= allowed && d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

func plain(word string) string {
	return strings.ReplaceAll(strings.ToLower(word), "-", "_")
}

// editDistance is how many insertions, deletions, replacements and swaps of
// neighbours lead from a to b (optimal string alignment), in bytes. Beyond
// limit it may answer limit+1.
func editDistance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	var beforeLast []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], beforeLast[j-2]+1)
			}
		}
		beforeLast, last = last, row
	}
	return last[len(b)]
}

// didYouMean is the end of an error about word: `; did you mean "c"?`, or ""
// when no candidate is close.
func didYouMean(word string, candidates []string) string {
	if c := closest(word, candidates); c != "" {
		return "; did you mean " + cite(c) + "?"
	}
	return ""
}
