"""The worker: claim, run, settle. What other processes share with it stands in the rooms below."""
