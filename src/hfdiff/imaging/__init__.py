"""Pictures as samples and metadata: read, cut into windows, resize, write."""
