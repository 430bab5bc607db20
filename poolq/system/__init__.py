"""What the operating system gives: fork, signals, wake-ups, identity, the runtime folder."""
