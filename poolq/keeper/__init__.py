"""The keeper: sends heartbeats, recovers dead workers, waits on the engine and observes it."""
