"""The engine on Redis 7 and later, or Valkey 8 and later. The keys stand in lua/lib/base.lua."""
