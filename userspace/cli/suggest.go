// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// unknownCommand explains a word that is no subcommand of cmd.
func unknownCommand(cmd *cobra.Command, word string) error {
	about := dockerCommand(cmd, word)
	if about == "" {
		about = didYouMean(similar(word, cmd.Commands()...), "")
	}
	return usagef(cmd, "unknown command %q for %q%s", word, cmd.CommandPath(), about)
}

// unknownFlag explains a flag that cmd doesn't have.
func unknownFlag(cmd *cobra.Command, missing *pflag.NotExistError) error {
	name, short := missing.GetSpecifiedName(), missing.GetSpecifiedShortnames() != ""
	about := dockerFlag(cmd, name)
	if about == "" && !short {
		about = didYouMean(similar(name, flagNames(cmd)...), "--")
	}
	return usagef(cmd, "%s%s", missing, about)
}

// flagNames are the flags of cmd as commands, whose likeness cobra judges.
func flagNames(cmd *cobra.Command) []*cobra.Command {
	var names []*cobra.Command
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, &cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
		}
	})
	return names
}

// similar returns the names that may have been meant by word, as cobra sees it.
func similar(word string, candidates ...*cobra.Command) []string {
	// Any short word is two steps from any other.
	steps := 2
	if len(word) <= 3 {
		steps = 1
	}
	judge := &cobra.Command{SuggestionsMinimumDistance: steps}
	judge.AddCommand(candidates...)
	return judge.SuggestionsFor(word)
}

func didYouMean(names []string, prefix string) string {
	if len(names) == 0 {
		return ""
	}
	for i, n := range names {
		names[i] = `"` + prefix + n + `"`
	}
	return "; did you mean " + strings.Join(names, " or ") + "?"
}

// flagError is flagError for a command with subcommands too: a flag after a word that
// is no subcommand is that word's, and not what is wrong.
func (a *app) flagError(cmd *cobra.Command, err error) error {
	missing := (*pflag.NotExistError)(nil)
	if cmd.HasSubCommands() && errors.As(err, &missing) {
		words := wordsOf(a.args)
		depth := len(strings.Fields(cmd.CommandPath())) - 1
		if len(words) > depth && !hasSubcommand(cmd, words[depth]) {
			return unknownCommand(cmd, words[depth])
		}
	}
	return flagError(cmd, err)
}

func hasSubcommand(cmd *cobra.Command, word string) bool {
	return slices.ContainsFunc(cmd.Commands(), func(sub *cobra.Command) bool {
		return sub.Name() == word || sub.HasAlias(word)
	})
}

// wordsOf are the arguments that are no flags, nor the value of --socket.
func wordsOf(args []string) []string {
	var words []string
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "--socket":
			i++
		case !strings.HasPrefix(args[i], "-"):
			words = append(words, args[i])
		}
	}
	return words
}
