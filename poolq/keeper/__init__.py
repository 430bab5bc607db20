"""The keeper: beats, recovers dead workers, waits on the engine and observes it."""
