"""The command line: `portico` and its commands. One module a command, imported when it is called."""
