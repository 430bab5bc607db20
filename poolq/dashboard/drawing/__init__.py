"""Drawing (pure): a snapshot, the state of the screen and a size become lines."""
