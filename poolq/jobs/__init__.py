"""The application's side: what users write (jobs, options, limits) and how it is dispatched."""
