"""Plain array arithmetic: no models, no registry, no files."""
