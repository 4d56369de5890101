package cmdline

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// Page is a manual page of section 1, from what the help of a command is made of.
type Page struct {
	Name     string // zkelect-run
	Usage    string // in a few words
	Synopsis string // one use a line
	// Description is paragraphs, as the help has them: one that begins with "Exit
	// code" and one that begins with "Examples:" get sections of their own.
	Description string
	Commands    [][2]string // names and what they do
	Flags       []*Flag
	SeeAlso     []string // other pages of section 1
	Version     string
}

// WriteTo writes the page in the man macros, which every man reads. It bears no date,
// so that the same version has the same page.
func (p *Page) WriteTo(to io.Writer) (int64, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, ".TH %s 1 \"\" \"%s\" \"User Commands\"\n", roff(strings.ToUpper(p.Name)), roff("zkelect "+p.Version))
	// No word is broken and no line is spread: many are typed as they stand here.
	fmt.Fprintf(&b, ".nh\n.ad l\n.SH NAME\n%s \\- %s\n.SH SYNOPSIS\n.nf\n", roff(p.Name), roff(p.Usage))
	for line := range strings.SplitSeq(p.Synopsis, "\n") {
		// The command is bold, what follows its name is not.
		words := strings.SplitN(line, " ", 3)
		bold := strings.Join(words[:min(2, len(words))], " ")
		fmt.Fprintf(&b, "\\fB%s\\fR%s\n", roff(bold), roff(strings.TrimPrefix(line, bold)))
	}
	fmt.Fprint(&b, ".fi\n.SH DESCRIPTION\n")
	var exit, examples string
	for n, text := range strings.Split(p.Description, "\n\n") {
		switch {
		case strings.HasPrefix(text, "Exit code"):
			exit = text
		case strings.HasPrefix(text, "Examples:\n"):
			examples = text
		case n == 0:
			fmt.Fprintf(&b, "%s\n", roff(text))
		default:
			fmt.Fprintf(&b, ".PP\n%s\n", roff(text))
		}
	}
	p.lists(&b)
	if exit != "" {
		fmt.Fprintf(&b, ".SH EXIT STATUS\n%s\n", roff(exit))
	}
	if examples != "" {
		fmt.Fprint(&b, ".SH EXAMPLES\n")
		writeExamples(&b, examples)
	}
	if len(p.SeeAlso) > 0 {
		fmt.Fprint(&b, ".SH SEE ALSO\n")
		for n, name := range p.SeeAlso {
			fmt.Fprintf(&b, ".BR %s (1)%s\n", roff(name), map[bool]string{true: ","}[n < len(p.SeeAlso)-1])
		}
	}
	return b.WriteTo(to)
}

// lists are the sections that consist of terms.
func (p *Page) lists(b *bytes.Buffer) {
	if len(p.Commands) > 0 {
		fmt.Fprint(b, ".SH COMMANDS\n")
	}
	for _, c := range p.Commands {
		fmt.Fprintf(b, ".TP\n\\fB%s\\fR\n%s\n", roff(c[0]), roff(c[1]))
	}
	if len(p.Flags) == 0 {
		return
	}
	fmt.Fprint(b, ".SH OPTIONS\n")
	for _, f := range p.Flags {
		name := "\\fB" + roff("--"+f.Name) + "\\fR"
		if f.Short != "" {
			name = "\\fB" + roff("-"+f.Short) + "\\fR, " + name
		}
		if f.Arg != "" {
			name += " \\fI" + roff(f.Arg) + "\\fR"
		}
		_, text, _ := strings.Cut(f.String(), "\n")
		fmt.Fprintf(b, ".TP\n%s\n%s\n", name, roff(text))
	}
	heading := ".SH ENVIRONMENT\n"
	for _, f := range p.Flags {
		if f.Env != "" {
			fmt.Fprintf(b, "%s.TP\n\\fB%s\\fR\nstands in for \\fB%s\\fR\n", heading, roff(f.Env), roff("--"+f.Name))
			heading = ""
		}
	}
}

// writeExamples shows commands as they are typed, below what their comments say.
func writeExamples(b *bytes.Buffer, examples string) {
	open, between := false, "" // what stands before the next, which is nothing for the first
	for _, line := range strings.Split(examples, "\n")[1:] {
		line = strings.TrimSpace(line)
		comment, isComment := strings.CutPrefix(line, "# ")
		if isComment && open {
			fmt.Fprint(b, ".fi\n.RE\n")
			open = false
		}
		switch {
		case isComment:
			if !strings.HasSuffix(comment, "?") {
				comment += ":"
			}
			fmt.Fprintf(b, "%s%s\n", between, roff(comment))
			between = ".PP\n"
			continue
		case !open:
			fmt.Fprintf(b, "%s.RS 4\n.nf\n", between)
			open, between = true, ".PP\n"
		}
		fmt.Fprintf(b, "%s\n", roff(line))
	}
	if open {
		fmt.Fprint(b, ".fi\n.RE\n")
	}
}

// roff is text that the formatter takes as it is.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, `"`, `\(dq`).Replace(s)
	lines := strings.Split(s, "\n")
	for n, line := range lines {
		if strings.HasPrefix(line, ".") {
			lines[n] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
