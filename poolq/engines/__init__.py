"""Where jobs live: one module or package an engine."""
