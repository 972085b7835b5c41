"""Plain arithmetic on arrays: no models, no registry, no files."""
