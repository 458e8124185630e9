package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"clusterd/internal/doctor"
)

func doctorCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine allows, and what that means",
		Long: `Tries out what this machine, and the rights of this user on it, allow clusterd to
do: each with what it would take and what it means. At the end it says which way
unmodified servers get onto their port here, and how requests are counted.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := doctor.Examine()
			if err != nil {
				return failed(err)
			}
			if asJSON {
				return failed(printDiagnosisJSON(cmd.OutOrStdout(), f))
			}
			_, err = io.WriteString(cmd.OutOrStdout(), diagnosis(f))
			return failed(err)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, for scripts")
	return cmd
}

// diagnosis says what has been found for people.
func diagnosis(f doctor.Facts) string {
	var b strings.Builder
	fmt.Fprintf(&b, "What this machine allows user %d\n\n", f.UID)
	glyphs := map[doctor.State]string{doctor.OK: "✓", doctor.Limited: "!", doctor.Missing: "✗", doctor.Unknown: "?"}
	for _, d := range f.Findings() {
		b.WriteString(paragraph(fmt.Sprintf("%s %-7s  %-12s  ", glyphs[d.State], d.State, d.Name), d.Found))
		rest := strings.Repeat(" ", 11)
		if d.Takes != "" {
			b.WriteString(paragraph(rest+"takes: ", d.Takes))
		}
		b.WriteString(paragraph(rest+"means: ", d.Means))
	}
	b.WriteString("\nAn unmodified server that listens on its app's port\n\n")
	item := itemsOf(&b)
	adopt := "it works here"
	if err := f.Machine.Adoption(); err != nil {
		adopt = "it does not work here: " + err.Error()
	}
	item("auto", because(f.Plan.Listen, f.Plan.ListenWhy))
	item("adopt", adopt)
	item("requests", counted(f.Plan.Count, f.Plan.CountWhy))
	return b.String()
}

func printDiagnosisJSON(w io.Writer, f doctor.Facts) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		UID       int              `json:"uid"`
		Findings  []doctor.Finding `json:"findings"`
		Adopt     bool             `json:"adopt"`  // listen = "adopt" works
		Listen    string           `json:"listen"` // what listen = "auto" comes to
		ListenWhy string           `json:"listen_why"`
		Count     string           `json:"count"` // what count = "auto" comes to
		CountWhy  string           `json:"count_why"`
	}{
		f.UID, f.Findings(), f.Machine.Adoption() == nil,
		f.Plan.Listen, f.Plan.ListenWhy, f.Plan.Count, f.Plan.CountWhy,
	})
}
