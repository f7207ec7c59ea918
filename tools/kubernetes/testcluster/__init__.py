"""Programs and Kubernetes clusters for Seaway's tests. `tools/programs` and `tools/cluster` are the commands."""
