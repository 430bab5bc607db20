"""The errors that msgspec raises for bytes that are not JSON, or not the expected JSON."""

import msgspec

UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)
