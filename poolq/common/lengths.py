"""The greatest length of each text that poolq stores. poolq checks the length before it stores a
text. A longer text in the store is treated as unreadable: poolq has not written it.
"""

from typing import Final

# Bytes, in UTF-8.
MAX_QUEUE_NAME_BYTES: Final = 128
MAX_JOB_NAME_BYTES: Final = 255  # also for the name of a schedule
MAX_KEY_BYTES: Final = 255  # of a limit
MAX_UNIQUE_KEY_BYTES: Final = 255
MAX_HASH_BYTES: Final = 64
#: A schedule with its job's payload, which each tick stores again. schedules.lua has this number.
MAX_SPEC_BYTES: Final = 1 << 18

# Characters. Longer errors and tracebacks are cut.
MAX_CRON_CHARS: Final = 1_000
MAX_ZONE_CHARS: Final = 64
MAX_ERROR_CHARS: Final = 2_000
MAX_TRACEBACK_CHARS: Final = 8_000
