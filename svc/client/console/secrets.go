package console

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/term"
)

// askSecrets asks the person for what was not given otherwise: only at a
// terminal, where it does not show what is typed. In a pipe standard input is
// lines of chat.
func (c *Console) askSecrets() (err error) {
	in, is := c.app.Stdin.(*os.File)
	asks := is && term.IsTerminal(int(in.Fd()))
	ask := func(what string, into *string) {
		if err == nil && *into == "" {
			*into, err = c.ask(in, what)
		}
	}
	if !asks {
		switch {
		case (c.register || c.change) && c.secret == "", c.change && c.next == "":
			return errors.New("there is no terminal to type the credential at: give it by CELLMESH_CREDENTIAL, with -change the new one by CELLMESH_NEWCREDENTIAL")
		}
		return nil
	}
	typed := c.secret == "" && c.register || c.next == "" && c.change
	if c.platform != "demo" {
		ask(fmt.Sprintf("credential of %s for platform %s: ", c.uid, c.platform), &c.secret)
	}
	if c.change {
		ask("new credential: ", &c.next)
	}
	if !typed || err != nil {
		return err
	}
	again, wanted := "", c.secret
	if c.change {
		wanted = c.next
	}
	if ask("the same again: ", &again); err == nil && again != wanted {
		err = errors.New("that was not the same")
	}
	return err
}

// ask reads a line that does not show.
func (c *Console) ask(in *os.File, what string) (string, error) {
	fmt.Fprint(c.app.Stderr, what)
	text, err := term.ReadPassword(int(in.Fd()))
	fmt.Fprintln(c.app.Stderr)
	if err != nil {
		return "", fmt.Errorf("read what is typed: %w", err)
	}
	return string(text), nil
}
