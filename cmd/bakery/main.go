// Command bakery looks after what the plugin suite leaves on a machine and in
// its registry: the local cloud, the images and their lineage, and what a
// crashed bake has left behind.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes, the same for every command.
const (
	exitOK       = 0
	exitFailed   = 1   // what was asked for could not be done
	exitUsage    = 2   // the command line is wrong
	exitCanceled = 130 // interrupted, as shells have it
)

// logEnv makes the command log what it does to stderr, host commands included.
const logEnv = "BAKERY_LOG"

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	if os.Getenv(logEnv) == "" {
		log.SetOutput(io.Discard)
	}
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitOK
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "bakery: interrupted")
		return exitCanceled
	}
	fmt.Fprintf(os.Stderr, "bakery: %v\n", err)
	if _, wrong := errors.AsType[usageError](err); wrong {
		return exitUsage
	}
	return exitFailed
}
