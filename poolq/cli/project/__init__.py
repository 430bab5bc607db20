"""The commands for an application that uses poolq: its settings, tables and files; the demo."""
