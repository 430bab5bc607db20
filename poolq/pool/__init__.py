"""The pool: master, keeper, and the shared memory between them and the workers."""
