"""What connects poolq to frameworks and tools: a module for each, which an application imports by
name. No other package of poolq imports one. Each needs the extra of its name; see docs/web.md."""
