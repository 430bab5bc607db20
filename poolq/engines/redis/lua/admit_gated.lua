#!lua flags=allow-oom
-- Take slots and starts for a claim, see part `gated_admission`.
-- Parts: base, wake_tokens, gates, claims, bodies, holds, gated_admission, window_opening, limit_windows,
--        released_first, windowed_admission.

return reply
