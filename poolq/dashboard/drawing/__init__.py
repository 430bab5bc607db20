"""Drawing a pool (pure): a snapshot, a size and what the person has chosen become lines."""
