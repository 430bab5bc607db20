"""The greatest length of each text that poolq stores. Whoever writes one checks it, and whoever
reads a longer one takes it for unreadable, as somebody else has written it.
"""

from typing import Final

# Bytes, in UTF-8.
MAX_QUEUE_NAME_BYTES: Final = 128
MAX_JOB_NAME_BYTES: Final = 255  # also of a schedule
MAX_KEY_BYTES: Final = 255  # of a limit
MAX_UNIQUE_KEY_BYTES: Final = 255
MAX_HASH_BYTES: Final = 64
#: A schedule with its job's payload, which each tick stores again. schedules.lua has it, too.
MAX_SPEC_BYTES: Final = 1 << 18

# Characters. What is longer of an error is cut.
MAX_CRON_CHARS: Final = 1_000
MAX_ZONE_CHARS: Final = 64
MAX_ERROR_CHARS: Final = 2_000
MAX_TRACEBACK_CHARS: Final = 8_000
