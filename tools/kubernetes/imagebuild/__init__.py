"""Builds Seaway's container images; see `tools/images --help`."""
