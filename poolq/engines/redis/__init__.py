"""The engine on Redis 7 and later, or Valkey 8 and later. lua/lib/base.lua lists the keys."""
