"""The commands that read or change what an engine stores: jobs, queues, limits, schedules."""
