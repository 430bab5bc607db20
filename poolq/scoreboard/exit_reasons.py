"""The reasons for which workers end (pure). `master/exits.py` determines the reason of an exit."""

#: Each reason with its meaning.
EXIT_REASONS = {
    "crash": "it was killed by a signal, or exited with a code other than 0",
    "boot": "it did not become ready",
    "timeout": "killed at its job's deadline",
    "max_memory_hard": "killed because it was over --max-memory-hard",
    "request": "killed because a person has ended its job",
    "silent": "killed because it gave no sign of life",
    "cooldown": "its --cooldown was over",
    "max_jobs": "it had run --max-jobs jobs",
    "max_memory": "it was over --max-memory",
    "reload": "replaced by newer code",
    "scale": "fewer workers are wanted",
    "stop": "the pool stops",
    "left": "it exited by itself: declared dead by another pool, or unable to continue",
}
