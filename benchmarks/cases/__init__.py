"""The groups of benchmarks; each module has run(settings, skipped) -> rows."""
