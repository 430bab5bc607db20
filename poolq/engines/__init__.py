"""Where jobs are stored, with one module or package per engine."""
