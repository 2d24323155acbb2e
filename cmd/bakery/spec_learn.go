package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/imagebakery/packer-plugin-bakery/internal/check"
)

func newSpecLearnCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "learn {--root DIR | --here} [FILE]",
		Short: "Write a suite that a good image passes",
		Long: `Look at a good image and write a suite that holds on it: its packages by choice,
what starts at boot, who can log in, where packages come from, what is mounted, the
permissions of key files and, with --here on a booted system, the ports that listen.

Read it before you use it: it says what is so, not what should be. The same image
gives the same suite. It goes to FILE, which must not exist, or else to stdout.

Exit codes: 0 written, 1 the image cannot be read or the suite does not hold on it,
2 wrong usage.`,
		Example: `  bakery spec learn --root /mnt base.spec.hcl`,
		Args:    upToOneArg,
	}
	var o specRun
	mode := addModeFlag(cmd)
	cmd.Flags().StringVar(&o.root, "root", "", "folder in which the image is mounted")
	cmd.Flags().BoolVar(&o.here, "here", false, "look at this machine")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.mode = check.Mode(*mode)
		if err := o.valid(); err != nil {
			return err
		}
		if len(args) == 0 {
			text, err := o.learn(cmd)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		}
		return o.learnTo(cmd, args[0])
	}
	return cmd
}

// learn returns the text of a suite.
func (o specRun) learn(cmd *cobra.Command) (text []byte, err error) {
	shell, leave, err := o.enter(cmd.Context())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, leave()) }()
	return check.Learn(cmd.Context(), check.Target{Shell: shell, Mode: o.mode, Mounted: o.root != ""})
}

// learnTo writes the suite to a new file, or none.
func (o specRun) learnTo(cmd *cobra.Command, name string) (err error) {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return usageError{fmt.Errorf("write the suite: %w", err)}
	}
	defer func() {
		if err = errors.Join(err, file.Close()); err != nil {
			err = errors.Join(err, os.Remove(name))
		}
	}()
	text, err := o.learn(cmd)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	return err
}
