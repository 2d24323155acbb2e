package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/imagebakery/packer-plugin-bakery/registry"
)

func newImagesTreeCommand(spec *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tree [IMAGE]",
		Short: "Draw what was baked from what",
		Long: `Draw what was baked from what: all images, or IMAGE and what was baked from it.

Behind each image stand its layer, its status, how many checks of its newest
test results passed, its id in the cloud, and its age.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) <= 1 {
				return nil
			}
			return exactArgs(1)(cmd, args)
		},
	}
	output := addOutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		forest := []registry.Tree{}
		none := func() error { return nil }
		if len(args) == 1 {
			none = nil
		}
		err := readRegistry(cmd.Context(), *spec, func(reg *registry.Registry) (err error) {
			if len(args) == 1 {
				var tree registry.Tree
				tree, err = reg.Descendants(cmd.Context(), args[0])
				forest = []registry.Tree{tree}
				return err
			}
			forest, err = reg.Forest(cmd.Context())
			return err
		}, none)
		if err != nil {
			return err
		}
		if *output == outputJSON {
			return writeJSON(cmd.OutOrStdout(), forest)
		}
		return writeTree(cmd.OutOrStdout(), forest)
	}
	return cmd
}

// writeTree draws trees, a line for each image, columns aligned.
func writeTree(w io.Writer, forest []registry.Tree) error {
	buffer := &strings.Builder{}
	tw := tabwriter.NewWriter(buffer, 0, 0, 2, ' ', 0)
	for _, tree := range forest {
		branch(tw, tree, "", "")
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, buffer.String())
	return err
}

// branch writes a tree: its own line begins with first, all below it with rest.
func branch(w io.Writer, tree registry.Tree, first, rest string) {
	passed, total := tree.Checks()
	checks := "no tests"
	if total > 0 {
		checks = fmt.Sprintf("%d/%d checks", passed, total)
	}
	// Flush says what went wrong.
	_, _ = fmt.Fprintf(w, "%s%s %s\t%s\t%s\t%s\t%s\t%s\n", first, tree.Application, tree.Version,
		tree.Layer, statusOf(tree.State), checks, imageIDs(tree.Image), ago(tree.CreatedAt))
	for i, child := range tree.Children {
		if i < len(tree.Children)-1 {
			branch(w, child, rest+"├─ ", rest+"│  ")
		} else {
			branch(w, child, rest+"└─ ", rest+"   ")
		}
	}
}
