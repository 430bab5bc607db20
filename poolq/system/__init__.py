"""What the operating system gives: fork, signals, poll, wake-ups, identity, the runtime folder."""
